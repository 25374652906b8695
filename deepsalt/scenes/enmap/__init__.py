"""EnMAP L2A: a folder of GeoTIFFs and METADATA.XML.

In comes a path, out come an `Acquisition` and pixels by window. Open first `reader.py`;
`metadata.py` reads METADATA.XML, the hostile input it may be.
"""

from deepsalt.scenes.enmap.reader import EnmapReader, is_product, read_acquisition

__all__ = ["EnmapReader", "is_product", "read_acquisition"]
