"""Product files: metadata to `Acquisition`, pixels by window; a room per format.

Takes a path, untrusted until parsed; returns an `Acquisition` and a `SceneReader`, or an error that
says what is wrong. Open `base.py` first, then `enmap/reader.py`. `geotiff.py`, `blocks.py` and
`gdal.py` read the rasters of several formats.
"""
