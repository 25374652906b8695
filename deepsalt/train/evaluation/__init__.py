"""Evaluation of a model: scores on held-out groups and regions, its card, its report.

In come samples and the fit, out come scores beside those of PLS and the mean on the same rows, and
what card and page say of them.

Open first `evaluate.py`.
"""
