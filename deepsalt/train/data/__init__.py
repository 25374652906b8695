"""Tables and samples: what is trained on, checked, seen through sensors, and split.

Takes files, returns `Samples`: features, labels and the names that splits use. Unusable data are
refused here, with the cause.

Open `training_set.py` first; `tables.py` reads one table, `samples.py` turns it into features.
"""
