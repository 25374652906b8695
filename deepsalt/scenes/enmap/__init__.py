"""EnMAP L2A: a folder of GeoTIFFs and METADATA.XML.

Takes a path, returns an `Acquisition` and pixels by window. Open `reader.py` first; `metadata.py`
reads METADATA.XML as untrusted input.
"""

from deepsalt.scenes.enmap.reader import EnmapReader, is_product, read_acquisition

__all__ = ["EnmapReader", "is_product", "read_acquisition"]
