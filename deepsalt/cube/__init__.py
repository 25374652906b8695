"""The lazy cube of a scene: digital numbers (band, y, x), and flags of pixels without an estimate.

Takes an `Acquisition`, returns a lazy Dask-backed Dataset on the scene's own grid. Open `load.py`
first; `quality.py` flags pixels, and `contract.py` says what every later step relies on.
"""
