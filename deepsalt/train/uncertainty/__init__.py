"""How far an answer may be off, and whether a spectrum is like those of the training.

In come held-out residuals and training spectra, out come conformal factors and quantiles (`spread`)
and the limits of the out-of-domain test (`domain`).

Open first `spread.py`.
"""
