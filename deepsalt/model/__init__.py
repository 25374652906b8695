"""The student, its card and the shipped weights.

In comes a folder of weights, out comes a `Student` that says salinity, its interval and whether a
spectrum is like those of the training. Open first `student.py`, then `folded.py` (the same student
for one sensor, on digital numbers) and `load.py`; `card.py` says what a model was trained on.
"""
