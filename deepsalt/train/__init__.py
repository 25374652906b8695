"""Samples, fitting, conformal intervals and metrics."""
