"""A scene product: the result layers of one scene on its own grid, written once.

A product is a Zarr group (y, x) with a completion marker `complete.json` inside, written last: a
folder without it is unfinished, never read, and written anew. Products are named after everything
that changes their values, so reprocessing makes another product and the same work is found again.
"""

from deepsalt.products.marker import (
    ALGORITHM_VERSION,
    ProductMarker,
    complete_names,
    complete_products,
    is_complete,
    newest_versions,
    product_key,
    product_name,
    read_marker,
)
from deepsalt.products.write import (
    check_layers,
    open_product,
    refuse_damaged,
    verify_product,
    write_product,
)

__all__ = [
    "ALGORITHM_VERSION",
    "ProductMarker",
    "check_layers",
    "complete_names",
    "complete_products",
    "is_complete",
    "newest_versions",
    "open_product",
    "product_key",
    "product_name",
    "read_marker",
    "refuse_damaged",
    "verify_product",
    "write_product",
]
