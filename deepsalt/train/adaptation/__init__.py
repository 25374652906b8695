"""Laboratory knowledge alongside satellite sites: adapted to what satellites see, and weighted.

Takes labelled sites and views of laboratory samples, returns `Combined`: the sites' own machine,
and the teacher behind an `Adaptation` with a weight chosen by held-out regions. At weight 0 it
equals the sites alone, bit for bit.

Open `combine.py` first; `fits.py` and `alignment.py` are the adaptations it tries.
"""
