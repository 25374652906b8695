"""How far an answer may be off, and whether a spectrum is like those of the training.

Takes held-out residuals and training spectra, returns conformal factors and quantiles (`spread`)
and the limits of the out-of-domain test (`domain`).

Open `spread.py` first.
"""
