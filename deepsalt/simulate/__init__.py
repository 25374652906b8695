"""Spectra, landscapes and true-to-format products with known salinity."""
