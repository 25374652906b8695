"""The service on one machine; open first `metrics.py`, which says what is measured of it."""
