"""The student, its card and the shipped weights.

Takes a folder of weights, returns a `Student` that estimates salinity, its interval and whether a
spectrum resembles the training's. Open `student.py` first, then `folded.py` (the same student for
one sensor, on digital numbers) and `load.py`; `card.py` records what a model was trained on.
"""
