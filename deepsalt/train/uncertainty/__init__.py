"""How far an answer may be off, how likely salt is, and whether a spectrum is like the training's.

Takes held-out answers and training spectra, returns widths and quantiles of residuals (`spread`),
intervals by class of EC (`intervals`), probabilities of an EC above a threshold (`chance`), and the
limits of the out-of-domain test (`domain`), with the odds of a built surface (`contrast`).

Open `spread.py` first.
"""
