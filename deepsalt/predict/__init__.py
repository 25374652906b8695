"""Predictions of the student for a chunk, a lazy cube, or a table of spectra.

Takes spectra and a `ModelRef`; returns salinity, its interval and flags. Open `cube.py` first;
`table.py` does the same for the rows of a file. Both skip spectra that cannot be estimated.
"""
