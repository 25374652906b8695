"""What verbs of the command share: options, phrases, how they stop, which extra they need.

`options.py` has options that mean the same everywhere, `of_a_run.py` all of a run; `text.py` says
results; `stopping.py` ends a command cleanly; `extras.py` names what a light install lacks.
"""
