"""The student: few inducing points that answer as the teacher does.

In come samples, out comes `Fitted`: a `Student` and what was chosen on held-out groups.

Open first `fit.py`: `fit_model` is all that the evaluation and the command call. `distil.py` has
the steps of every fit, `satellite.py` the way from satellite sites.
"""
