"""Reading scene products back, and checking that they are undamaged."""

from functools import lru_cache
from hashlib import sha256

import xarray as xr
from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from deepsalt.errors import MissingObjectError, StoreAccessError, StoreError
from deepsalt.extras import installed
from deepsalt.grid.georef import plain_attrs
from deepsalt.layers import SCENE_LAYERS
from deepsalt.products.done import read_marker, unmark
from deepsalt.products.marker import ProductMarker, prefix_of
from deepsalt.store import Store, Where
from deepsalt.store.arrays import Array, open_layers


def open_product(store: Where | Store, name: str) -> xr.Dataset:
    """Open a complete product, lazily: `SCENE_LAYERS` (y, x) on the scene's own grid.

    Parameters
    ----------
    store
        A store, or its path or URI.
    name
        Name of the product.

    Returns
    -------
    xr.Dataset
        Layers with coordinates `y`, `x` and `spatial_ref`: Dask arrays, or without Dask arrays that
        read a selection when its values are used. Attributes are text and numbers, as netCDF holds
        them.

    Raises
    ------
    StoreMissingError
        The store does not exist.
    StoreError
        The product is incomplete or damaged, or the store cannot be read. Reading the layers raises
        it, too, if an object was lost meanwhile.

    Examples
    --------
    >>> import deepsalt
    >>> store = deepsalt.Store.open("store")
    >>> with deepsalt.Context.local() as context:
    ...     scene = deepsalt.map_scene(deepsalt.read_acquisition("enmap-scene"), store, context)
    >>> deepsalt.open_product(store, scene.product).salinity.dims
    ('y', 'x')
    """
    found = store if isinstance(store, Store) else Store.open(store)
    marker = read_marker(found, name)
    refuse_incomplete(found, marker)
    chunks: dict[str, int] | None = {} if installed("dask") else None
    ds: xr.Dataset = xr.open_zarr(_Whole.of(found, marker), chunks=chunks, consolidated=True)
    ds.attrs = plain_attrs(ds.attrs)
    return ds


@lru_cache(maxsize=64)
def product_layers(
    store: Store, name: str, build: str = ""
) -> tuple[ProductMarker, dict[str, Array]]:
    """Return the marker of a complete product and its `SCENE_LAYERS` (y, x), without Dask.

    Kept for the process: the next tile over a product finds it open. All its objects exist and have
    their sizes, and the document that says how to read them is verified; changed bits in the others
    are detected on reading.

    Parameters
    ----------
    store, name
        The product.
    build
        The build; the product's objects are checked once per build.

    Raises
    ------
    StoreError
        The product is incomplete, or damaged: then it no longer counts.
    """
    marker = read_marker(store, name)
    refuse_incomplete(store, marker)
    refuse_changed(store, marker)
    return marker, open_layers(_Whole.of(store, marker), SCENE_LAYERS, f"product {name} of {store}")


class _Whole(WrapperStore[ZarrStore]):
    """Raises an error for a missing object of its marker, which Zarr would read as never measured.

    Parameters
    ----------
    inner
        The product's objects.
    store, name
        The product.
    keys
        Its objects, as the marker names them.
    """

    def __init__(
        self, inner: ZarrStore, store: Store, name: str, keys: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(inner)
        self._of = store
        self._name = name
        self._keys = keys

    @classmethod
    def of(cls, store: Store, marker: ProductMarker) -> "_Whole":
        """Return the Zarr store of a complete product."""
        inner = store.objects.zarr_store(prefix_of(marker.name), read_only=True)
        return cls(inner, store, marker.name, frozenset(key for key, _, _ in marker.files))

    def _with_store(self, store: ZarrStore) -> "_Whole":
        return _Whole(store, self._of, self._name, self._keys)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value, see zarr."""
        found = await self._store.get(key, prototype, byte_range)
        if found is None and key in self._keys:
            raise damaged(self._of, self._name, f"{key} is missing")
        return found


def refuse_incomplete(store: Store, marker: ProductMarker) -> None:
    """Refuse a product that lacks objects: Zarr would read them as never measured.

    Raises
    ------
    StoreError
        Names the first object that is missing or has another size; the product no longer counts.
    """
    if found := lacking(store, marker):
        raise damaged(store, marker.name, found)


def lacking(store: Store, marker: ProductMarker) -> str:
    """Return the first missing or wrongly sized object of a product, from a listing if complete.

    Returns
    -------
    The object and what is wrong with it; empty if all are correct.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    prefix = prefix_of(marker.name)
    stored = {e.key.removeprefix(f"{prefix}/"): e.size for e in store.objects.list(prefix)}
    for key, _, size in marker.files:
        if stored.get(key) != size and (found := _amiss(store, f"{prefix}/{key}", size)):
            return f"{key} {found}"
    return ""


def _amiss(store: Store, key: str, size: int) -> str:
    """Return what is wrong with an object that a listing does not show correctly."""
    try:
        found = len(store.objects.read(key))  # a listing may lag behind
    except MissingObjectError:
        return "is missing"
    return f"has {found} bytes of {size}" if found != size else ""


def refuse_changed(store: Store, marker: ProductMarker) -> None:
    """Refuse a product whose group document changed, since Zarr has no checksum for it.

    Raises
    ------
    StoreError
        It changed; the product no longer counts.
    """
    written = {key: digest for key, digest, _ in marker.files}
    data = store.objects.read(f"{prefix_of(marker.name)}/{_DOCUMENT}")
    if sha256(data).hexdigest() != written[_DOCUMENT]:
        raise damaged(store, marker.name, f"{_DOCUMENT} has another checksum")


def damaged(store: Store, name: str, found: str) -> StoreError:
    """Return the error of a damaged product, which no longer counts: the next run maps it again."""
    try:
        unmark(store, name)
    except StoreAccessError:  # with read-only access
        follows = "; ask the owner of the store to run `deepsalt mosaic repair`"
    else:
        follows = " and now counts as unfinished; run its scene again"
    return StoreError(f"product {name} of {store} is damaged ({found}){follows}")


def verify_product(store: Store, marker: ProductMarker) -> None:
    """Compare every object of a product with its checksum; changes nothing.

    Raises
    ------
    StoreError
        Names the first object that is missing or damaged.
    """
    for key, digest, size in marker.files:
        where = f"{prefix_of(marker.name)}/{key}"
        try:
            data = store.objects.read(where)
        except MissingObjectError:
            raise StoreError(f"{store}/{where} is missing") from None
        if sha256(data).hexdigest() != digest:
            same = len(data) == size
            found = "another checksum" if same else f"{len(data)} bytes of {size}"
            raise StoreError(f"{store}/{where} is damaged ({found})")


_DOCUMENT = "zarr.json"
