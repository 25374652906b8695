"""Reading scene products back, and looking whether they are as they were written."""

from functools import lru_cache
from hashlib import sha256

import xarray as xr

from deepsalt.errors import MissingObjectError, StoreError
from deepsalt.layers import SCENE_LAYERS
from deepsalt.products.done import read_marker, unmark
from deepsalt.products.marker import ProductMarker, prefix_of
from deepsalt.store import Store, Where
from deepsalt.store.arrays import Array, open_layers


def open_product(store: Where, name: str) -> xr.Dataset:
    """Open a complete product, lazily: `SCENE_LAYERS` (y, x) on the scene's own grid.

    Parameters
    ----------
    store
        Path or URI of the store.
    name
        Name of the product.

    Returns
    -------
    xr.Dataset
        Layers as Dask arrays, with coordinates `y`, `x` and `spatial_ref`.

    Raises
    ------
    StoreMissingError
        There is no such store.
    StoreError
        The product is not complete, or the store cannot be read.
    """
    found = store if isinstance(store, Store) else Store.open(store)
    read_marker(found, name)
    group = found.objects.zarr_store(prefix_of(name), read_only=True)
    ds: xr.Dataset = xr.open_zarr(group, chunks={}, consolidated=True)
    return ds


@lru_cache(maxsize=64)
def product_layers(
    store: Store, name: str, build: str = ""
) -> tuple[ProductMarker, dict[str, Array]]:
    """Return what a complete product is and its `SCENE_LAYERS` (y, x), without Dask.

    Kept for the process: the next tile over a product finds it open. All its objects are there and
    of the size that they had, and the document that says how they are read is as it was written;
    a bit that changed in the others is noticed when it is read.

    Parameters
    ----------
    store, name
        The product.
    build
        For whom; whether its objects are there is looked at once for each.

    Raises
    ------
    StoreError
        The product is not complete, or damaged: then it counts no more.
    """
    marker = read_marker(store, name)
    refuse_incomplete(store, marker)
    refuse_changed(store, marker)
    group = store.objects.zarr_store(prefix_of(name), read_only=True)
    return marker, open_layers(group, SCENE_LAYERS, f"product {name} of {store}")


def refuse_incomplete(store: Store, marker: ProductMarker) -> None:
    """Refuse a product that lacks objects: Zarr would read them as never measured.

    Raises
    ------
    StoreError
        Names the first object that is missing or of another size; the product counts no more.
    """
    prefix = prefix_of(marker.name)
    there = {e.key.removeprefix(f"{prefix}/"): e.size for e in store.objects.list(prefix)}
    for key, _, size in marker.files:
        if there.get(key) != size:
            found = "is missing" if key not in there else f"has {there[key]} bytes of {size}"
            raise damaged(store, marker.name, f"{key} {found}")


def refuse_changed(store: Store, marker: ProductMarker) -> None:
    """Refuse a product whose group has another document than was written: it has no checksum.

    Raises
    ------
    StoreError
        It has; the product counts no more.
    """
    written = {key: digest for key, digest, _ in marker.files}
    data = store.objects.read(f"{prefix_of(marker.name)}/{_DOCUMENT}")
    if sha256(data).hexdigest() != written[_DOCUMENT]:
        raise damaged(store, marker.name, f"{_DOCUMENT} has another checksum")


def damaged(store: Store, name: str, found: str) -> StoreError:
    """Return the error of a damaged product, which counts no more: the next run maps it anew."""
    unmark(store, name)
    return StoreError(
        f"product {name} of {store} is damaged ({found}) and counts as unfinished now; run its "
        "scene again"
    )


def verify_product(store: Store, marker: ProductMarker) -> None:
    """Compare every object of a product with its checksum.

    Raises
    ------
    StoreError
        Names the first object that is missing or damaged.
    """
    for key, digest, _ in marker.files:
        where = f"{prefix_of(marker.name)}/{key}"
        try:
            data = store.objects.read(where)
        except MissingObjectError:
            raise StoreError(f"{store}/{where} is missing; {_ADVICE}") from None
        if sha256(data).hexdigest() != digest:
            raise StoreError(
                f"{store}/{where} is damaged (another checksum than when it was written); {_ADVICE}"
            )


_DOCUMENT = "zarr.json"
_ADVICE = "remove the product's marker and run its scene again"
