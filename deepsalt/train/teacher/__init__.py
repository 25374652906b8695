"""The teacher: machines with each sample as an inducing point, and small networks beside them.

Takes samples, returns a `Teacher` that predicts log(EC + 0.03) for any features.

Open `teacher.py` first; `encoder.py` and `machine.py` are the parts of every fit.
"""
