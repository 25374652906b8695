"""The lazy cube of a scene: digital numbers (band, y, x), and flags of pixels without an estimate.

In comes an `Acquisition`, out comes a Dask-backed Dataset on the scene's own grid, of which nothing
is read yet. Open first `load.py`; `quality.py` flags pixels, and `contract.py` says what every
later step relies on.
"""
