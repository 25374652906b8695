"""A scene product: the result layers of one scene on its own grid, written once.

Takes the layers of a scene; writes a plain Zarr group (y, x) into the store, and a marker of its
completeness. Products are named after everything that changes their values, so reprocessing makes
another product and repeated work finds the existing one. Open `done.py` first: it shows the order
in which a product becomes complete.

============  =======================================================================
`marker.py`   the name of a product, and its facts
`write.py`    writes its arrays, and marks it
`done.py`     completeness: markers, and the index by tile
`read.py`     reads its arrays, and checks them
============  =======================================================================
"""

from deepsalt.products.done import (
    acquisition_entries,
    acquisition_entry,
    acquisition_key,
    complete_names,
    find_marker,
    index_entries,
    index_key,
    indexed,
    products_over,
    read_marker,
    read_markers,
    remove_product,
    unfinished,
    unmark,
    versions_of,
)
from deepsalt.products.marker import (
    ALGORITHM_VERSION,
    LABEL_ATTRS,
    ProductMarker,
    newest_versions,
    prefix_of,
    product_key,
    product_name,
)
from deepsalt.products.read import damaged, lacking, open_product, product_layers, verify_product
from deepsalt.products.write import check_layers, mark_done, write_product

__all__ = [
    "ALGORITHM_VERSION",
    "LABEL_ATTRS",
    "ProductMarker",
    "acquisition_entries",
    "acquisition_entry",
    "acquisition_key",
    "check_layers",
    "complete_names",
    "damaged",
    "find_marker",
    "index_entries",
    "index_key",
    "indexed",
    "lacking",
    "mark_done",
    "newest_versions",
    "open_product",
    "prefix_of",
    "product_key",
    "product_layers",
    "product_name",
    "products_over",
    "read_marker",
    "read_markers",
    "remove_product",
    "unfinished",
    "unmark",
    "verify_product",
    "versions_of",
    "write_product",
]
