"""The published method (DeepSalt, arXiv 2510.23124), its faults put right; for comparison only.

Takes laboratory and satellite spectra with their pairs, returns an estimator for satellite spectra.

Open `method.py` first; `stages.py` trains the `networks.py` one after another.
"""
