"""Any GeoTIFF or ENVI cube that carries a wavelength and FWHM per band.

Takes a path, returns an `Acquisition` and pixels by window. Open `reader.py` first; `header.py`
reads the file's description of its bands.
"""

from deepsalt.scenes.generic.reader import GenericReader, is_product, read_acquisition

__all__ = ["GenericReader", "is_product", "read_acquisition"]
