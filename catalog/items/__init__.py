"""Items of scenes: `parse_item` makes an `Acquisition` of one, `to_item` one of an `Acquisition`.

In come Items of anybody's catalogue, hostile until parsed; out come values without STAC fields, or
a sentence that says which field is wrong. Open first `parse.py`, then `recognise.py` (which sensor,
whether it is fit for salinity) and `bands.py`; `enmap.py` has the habits of DLR's Items.
"""

from catalog.items.parse import parse_item
from catalog.items.write import to_item

__all__ = ["parse_item", "to_item"]
