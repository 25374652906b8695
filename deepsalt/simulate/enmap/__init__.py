"""EnMAP L2A products, true to format, with known salinity.

Takes a scene, its weather and a `Variant`; writes a product's folder. Open `product.py` first;
`metadata.py` writes METADATA.XML.
"""

from deepsalt.simulate.enmap.product import EMPTY_BANDS, NODATA, Variant, write_enmap

__all__ = ["EMPTY_BANDS", "NODATA", "Variant", "write_enmap"]
