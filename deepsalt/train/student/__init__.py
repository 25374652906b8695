"""The student: few inducing points that answer as the teacher does.

Takes samples, returns `Fitted`: a `Student` and the choices made on held-out groups.

Open `fit.py` first: the evaluation and the command call only `fit_model`. `distil.py` has
the steps of every fit, `satellite.py` the way from satellite sites.
"""
