"""Items of scenes: `parse_item` turns an Item into an `Acquisition`, `to_item` turns it back.

Takes Items of any catalogue, untrusted until parsed; returns values without STAC fields, or an
error that says which field is wrong. Open `parse.py` first, then `recognise.py` (which sensor,
whether it suits salinity) and `bands.py`; `enmap.py` handles the conventions of DLR's Items.
"""

from catalog.items.parse import parse_item
from catalog.items.write import to_item

__all__ = ["parse_item", "to_item"]
