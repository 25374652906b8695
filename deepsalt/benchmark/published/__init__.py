"""The published method (DeepSalt, arXiv 2510.23124), its faults put right; for comparison only.

In come laboratory and satellite spectra with their pairs, out comes an estimator of satellite
spectra.

Open first `method.py`; `stages.py` trains the `networks.py` one after another.
"""
