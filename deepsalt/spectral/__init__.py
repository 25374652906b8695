"""Spectral physics: band tables, responses, common bands, and what a spectrum shows besides soil.

In come spectra and the bands they were measured on, out come features on the bands that all sensors
share, and flags for water, plants and ice. Open first `bands.py`, then `transform.py`.
"""
