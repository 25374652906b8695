"""Laboratory knowledge alongside satellite sites: adapted to what satellites see, and weighted.

In come labelled sites and views of laboratory samples, out comes `Combined`: the sites' own
machine, and with a weight that held-out regions choose the teacher behind an `Adaptation`. At
weight 0 it is the sites alone, to the bit.

Open first `combine.py`; `fits.py` and `alignment.py` are the adaptations it tries.
"""
