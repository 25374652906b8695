"""Which products are complete: markers, created last, and the index of products by tile.

A product is marked in this order, so that a marker implies the rest: its arrays; an entry for its
acquisition, with the tiles under it; an entry in the index for each tile; the marker. A product
without a marker does not count.

A provider's newer version takes the place of the older ones on all tiles under any of them. So each
version also has an entry on the tiles of the others: then the products of a tile follow from its
own entries alone. Of two versions marked at the same time, one sees the other, because each creates
its entry before it looks for others.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import islice

from deepsalt.errors import GridError, MissingObjectError, StoreError
from deepsalt.grid import Tile
from deepsalt.inputs import parse_json
from deepsalt.products.marker import ProductMarker, prefix_of
from deepsalt.store import Store
from deepsalt.store.documents import decode, record_name

_DONE = "records/done"
_ACQUISITIONS = "records/acquisitions"
_INDEX = "records/index"
_AT_ONCE = 16
"""Number of concurrent requests."""
_PAGE = 1000
"""Objects per request of a listing."""


def join_acquisition(store: Store, marker: ProductMarker, tiles: list[str]) -> dict[str, list[str]]:
    """Add a product to its acquisition; return the tiles of each of its products, by name."""
    key = acquisition_key(marker)
    store.objects.create(key, acquisition_entry(tiles))
    # Its own entry does not depend on a listing, which may lag and leave the product without tiles.
    members = {marker.name: tiles}
    for entry in store.objects.list(key.rpartition("/")[0]):
        name = entry.key.rpartition("/")[2]
        if name not in members:
            members[name] = _tiles_in(store, entry.key)
    return members


def _tiles_in(store: Store, key: str) -> list[str]:
    try:
        found = parse_json(store.objects.read(key))
        return [Tile.from_id(id).id for id in found]
    except (ValueError, TypeError, GridError) as error:
        raise StoreError(f"{store}/{key} is damaged ({error}); restore or remove it") from error


def versions_of(store: Store, acquisition: tuple[str, str]) -> list[str]:
    """Return the names of the products of an acquisition, complete or not.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    prefix = f"{_ACQUISITIONS}/{record_name('/'.join(acquisition))}"
    return [entry.key.removeprefix(f"{prefix}/") for entry in store.objects.list(prefix)]


def unmark(store: Store, name: str) -> None:
    """Make a product incomplete, so that the next run maps its scene again.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    store.objects.delete([done_key(name)])


def remove_product(store: Store, name: str) -> None:
    """Remove a product, complete or not, and its records.

    Raises
    ------
    StoreError
        The store cannot be read or written.
    """
    marker = find_marker(store, name)
    unmark(store, name)
    keys = [entry.key for entry in store.objects.list(prefix_of(name))]
    if marker is not None:
        acquired = f"{_ACQUISITIONS}/{record_name('/'.join(marker.acquisition_key))}/{name}"
        keys += [acquired, *(f"{_INDEX}/{tile}/{name}" for tile in marker.tiles)]
    store.objects.delete(keys)


def unfinished(store: Store, before: datetime) -> list[str]:
    """Return the names of unfinished products that were started before a moment.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    begun = {name.removesuffix(".zarr") for name in store.objects.folders("scenes")}
    found = []
    for name in sorted(begun - complete_names(store)):
        last = max((entry.modified for entry in store.objects.list(prefix_of(name))), default=None)
        if last is not None and last < before:
            found.append(name)
    return found


def find_marker(store: Store, name: str) -> ProductMarker | None:
    """Return the marker of a product; None if it is not complete.

    Raises
    ------
    StoreError
        The marker is damaged, or the store cannot be read.
    """
    try:
        data = store.objects.read(done_key(name))
    except MissingObjectError:
        return None
    where = f"{store}/{done_key(name)}"
    try:
        return ProductMarker.from_dict(decode(data, where))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"marker {where} is damaged ({error!r}); remove it and run its scene again"
        ) from error


def read_marker(store: Store, name: str) -> ProductMarker:
    """Read the marker of a product.

    Raises
    ------
    StoreError
        The product is not complete, or its marker is damaged.
    """
    found = find_marker(store, name)
    if found is None:
        raise StoreError(f"product {name} of {store} is not complete; run its scene again")
    return found


def read_markers(store: Store, names: Iterable[str]) -> dict[str, ProductMarker]:
    """Return the markers of products by name; those of products that are not complete are missing.

    Raises
    ------
    StoreError
        A marker is damaged, or the store cannot be read.
    """
    wanted = sorted(set(names))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = zip(wanted, pool.map(partial(find_marker, store), wanted), strict=True)
        return {name: marker for name, marker in found if marker is not None}


def complete_names(store: Store, among: Collection[str] | None = None) -> set[str]:
    """Return the names of products that are complete.

    Parameters
    ----------
    store
        The store.
    among
        Only these names. Default: all. Costs one request per name or per 1,000 products of the
        store, whichever is less, or twice that if the number of products is unknown.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    listed = _listed(store)
    if among is None:
        return set(listed)
    if len(among) > 1:
        found = set(islice(listed, len(among) * _PAGE))
        if len(found) < len(among) * _PAGE:
            return found & set(among)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        present = pool.map(partial(_is_there, store), among)
        return {name for name, is_there in zip(among, present, strict=True) if is_there}


def _listed(store: Store) -> Iterator[str]:
    for entry in store.objects.list(_DONE):
        yield entry.key.removeprefix(f"{_DONE}/").removesuffix(".json")


def _is_there(store: Store, name: str) -> bool:
    try:
        store.objects.read(done_key(name))
    except MissingObjectError:
        return False
    return True


def products_over(store: Store, tiles: Collection[Tile]) -> dict[Tile, list[str]]:
    """Return the names of the products in the index of tiles, complete or not.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    ordered: Sequence[Tile] = sorted(tiles)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        names = pool.map(lambda tile: _names_over(store, tile), ordered)
        return dict(zip(ordered, names, strict=True))


def _names_over(store: Store, tile: Tile) -> list[str]:
    prefix = f"{_INDEX}/{tile.id}"
    return [entry.key.removeprefix(f"{prefix}/") for entry in store.objects.list(prefix)]


def indexed(store: Store) -> dict[Tile, list[str]]:
    """Return the names of the products over every tile of the index, complete or not.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    found: dict[Tile, list[str]] = {}
    for tile, name in index_entries(store):
        found.setdefault(Tile.from_id(tile), []).append(name)
    return found


def index_entries(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the entries of the index: id of a tile, name of a product over it, complete or not.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    return _pairs(store, _INDEX)


def acquisition_entries(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the entries of acquisitions: name of the acquisition, name of a product of it.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    return _pairs(store, _ACQUISITIONS)


def _pairs(store: Store, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in store.objects.list(prefix):
        first, _, second = entry.key.removeprefix(f"{prefix}/").partition("/")
        yield first, second


def index_key(tile: str, name: str) -> str:
    """Return the key of a product's entry for a tile."""
    return f"{_INDEX}/{tile}/{name}"


def acquisition_key(marker: ProductMarker) -> str:
    """Return the key of a product's entry for its acquisition."""
    return f"{_ACQUISITIONS}/{record_name('/'.join(marker.acquisition_key))}/{marker.name}"


def acquisition_entry(tiles: Iterable[str]) -> bytes:
    """Return the content of a product's entry for its acquisition: the tiles under it."""
    return json.dumps(sorted(tiles)).encode()


def done_key(name: str) -> str:
    """Return the key of a product's marker."""
    return f"{_DONE}/{name}.json"
