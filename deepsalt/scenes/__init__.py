"""Product files: metadata to `Acquisition`, pixels by window; a room per format.

In comes a path, hostile until parsed; out come an `Acquisition` and a `SceneReader`, or a sentence
that says what is wrong. Open first `base.py`, then `enmap/reader.py`. `geotiff.py`, `blocks.py` and
`gdal.py` read the rasters of several formats.
"""
