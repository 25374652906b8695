"""Field samples and the pixels over them: from a table of places with EC to a table of spectra.

Takes a table of samples and scenes, returns rows that `deepsalt train --satellite` reads. Open
`samples.py` first (what a sample is), then `look.py` (its pixels in one scene) and `rows.py` (which
looks count, and what is written).
"""
