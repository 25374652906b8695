"""Any GeoTIFF or ENVI cube that carries a wavelength and FWHM per band.

In comes a path, out come an `Acquisition` and pixels by window. Open first `reader.py`;
`header.py` reads what the file says of its bands.
"""

from deepsalt.scenes.generic.reader import GenericReader, is_product, read_acquisition

__all__ = ["GenericReader", "is_product", "read_acquisition"]
