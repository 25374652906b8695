"""A scene product: the result layers of one scene on its own grid, written once.

In go the layers of a scene, out comes a plain Zarr group (y, x) in the store, and a marker that
says that it is complete. Products are named after everything that changes their values, so
reprocessing makes another product and the same work is found again. Open `done.py` first: it says
in which order a product comes to count.

============  =======================================================================
`marker.py`   what a product is called, and what is known of it
`write.py`    its arrays are written, and it is marked
`done.py`     it counts: markers, and the index by tile
`read.py`     its arrays are read, and looked whether they are whole
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
