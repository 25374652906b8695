"""The teacher: machines with each sample as an inducing point, and small networks beside them.

In come samples, out comes a `Teacher` that says log(EC + 0.03) of any features.

Open first `teacher.py`; `encoder.py` and `machine.py` are what every fit of training is made of.
"""
