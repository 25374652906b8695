"""Predictions of the student for a chunk, a lazy cube, or a table of spectra.

In come spectra and a `ModelRef`; out come salinity, its interval and flags. Open first `cube.py`;
`table.py` does the same for the rows of a file. Both skip what cannot have an estimate.
"""
