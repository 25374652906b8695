"""Evaluation of a model: scores on held-out groups and regions, its card, its report.

Takes samples and the fit, returns scores next to those of PLS and the mean on the same rows, and
their text for card and report.

Open `evaluate.py` first.
"""
