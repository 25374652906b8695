"""Spectral physics: band tables, responses, common bands, and what a spectrum shows besides soil.

Takes spectra and their bands, returns features on the bands that all sensors share, and flags for
water, plants and ice. Open `bands.py` first, then `transform.py`.
"""
