"""Tables and samples: what is trained on, checked, seen through sensors, and split.

In come files, out come `Samples`: features, labels and the names that splits go by. What cannot be
trained on is refused here, with the cause.

Open first `training_set.py`; `tables.py` reads one table, `samples.py` makes features of it.
"""
