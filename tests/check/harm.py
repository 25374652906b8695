"""A store that is sound, and every way to damage it: objects found by their keys, then harmed."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pystac
import zarr

from catalog.publish.products import MOSAICS, PRODUCTS
from catalog.publish.store_catalog import href_of, publish_items, write_item
from deepsalt.check import check_store
from deepsalt.layers import DATE_FILL, SCENE_LAYERS
from deepsalt.products import (
    complete_names,
    prefix_of,
    write_product,
)
from deepsalt.store import Store
from deepsalt.types import QualityFlag
from deepsalt.validate import Finding
from deepsalt.versions import (
    Version,
    filled_periods,
    open_repository,
)
from deepsalt.versions.records import BuildRecord
from tests.store.builders import (
    REF,
    acquisition,
    add_product,
    build,
    layers,
    scene_grid,
)

TODAY = datetime.now(UTC).date()
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
GRIDS = (
    scene_grid(height=30, width=30),
    scene_grid(row=10, column=10, height=30, width=40),
)


def fill(store: Store) -> Store:
    """Map two scenes and publish their mosaic and a catalogue."""
    for i, grid in enumerate(GRIDS):
        add_product(store, acquisition(f"s{i}", grid=grid), seed=i)
    build(store)
    publish(store)
    return store


def publish(store: Store) -> None:
    """Publish a catalogue of the products and the published version."""
    version = head(store)
    items = [item(name, prefix_of(name), PRODUCTS) for name in complete_names(store)]
    items.append(item(f"mosaic-{version.short}", "mosaic", MOSAICS, version.short))
    publish_items(store.objects, [write_item(store.objects, each) for each in items])


def item(name: str, target: str, collection: str, version: str = "") -> pystac.Item:
    where = {"type": "Point", "coordinates": [15.0, 52.0]}
    about = {"deepsalt:version": version} if version else {}
    made = pystac.Item(name, where, [15.0, 52.0, 15.0, 52.0], START, about, collection=collection)
    made.add_asset("data", pystac.Asset(href_of(target)))
    return made


def head(store: Store) -> Version:
    found = open_repository(store.objects).head()
    assert found is not None
    return found


def problems(store: Store, **options: Any) -> list[Finding]:
    return [each for each in check_store(store.objects, **options) if each.severity != "info"]


def errors(store: Store, **options: Any) -> list[Finding]:
    return [each for each in check_store(store.objects, **options) if each.severity == "error"]


# What is harmed: objects, found by their keys.


def keys(store: Store, prefix: str, part: str = "") -> list[str]:
    """Return the keys below a prefix that hold a part, the largest objects first."""
    found = [each for each in store.objects.list(prefix) if part in each.key]
    return [each.key for each in sorted(found, key=lambda each: (-each.size, each.key))]


def flip(store: Store, key: str) -> None:
    content = bytearray(store.objects.read(key))
    content[len(content) // 2] ^= 255
    store.objects.write(key, bytes(content))


def truncate(store: Store, key: str) -> None:
    store.objects.write(key, store.objects.read(key)[:-10])


def lose(store: Store, key: str) -> None:
    store.objects.delete([key])


def chunk(store: Store) -> str:
    """Return the key of a chunk object of the mosaic."""
    return keys(store, "mosaic/chunks")[0]


def shard(store: Store, layer: str = "salinity") -> str:
    """Return the key of a shard of a product."""
    return keys(store, "scenes", f"/{layer}/c/")[0]


def product(store: Store) -> str:
    return min(complete_names(store))


def marker_key(store: Store) -> str:
    return f"records/done/{product(store)}.json"


def tamper(store: Store, change: Callable[[zarr.Group], object]) -> None:
    """Publish a version whose arrays somebody changed, with sound checksums as by a bad build."""
    mosaic = open_repository(store.objects)
    found = mosaic.repository.lookup_branch("main")
    said = mosaic.repository.lookup_snapshot(found).metadata
    session = mosaic.repository.writable_session("main")
    change(zarr.open_group(session.store, mode="r+", zarr_format=3))
    session.commit("tampered", metadata=said)


def array(group: zarr.Group, layer: str) -> "zarr.Array[Any]":
    found = group[layer]
    assert isinstance(found, zarr.Array)
    return found


def tiles_of(store: Store) -> list[tuple[int, slice, slice]]:
    """Return the pixels of each tile with data."""
    mosaic, n = open_repository(store.objects), store.grid.tile_px
    cells = [
        mosaic.frame.cell(filled.slot, tile)
        for filled in filled_periods(mosaic, head(store))
        for tile in filled.tiles
    ]
    return [(t, slice(y * n, y * n + n), slice(x * n, x * n + n)) for t, y, x in cells]


def poke(store: Store, layer: str, value: float) -> None:
    """Set one estimated pixel of a layer."""

    def change(group: zarr.Group) -> None:
        place, rows, columns = tiles_of(store)[0]
        seen = np.isfinite(np.asarray(array(group, "salinity")[place, rows, columns]))
        i, j = (int(k[0]) for k in seen.nonzero())
        array(group, layer)[place, rows.start + i, columns.start + j] = value

    tamper(store, change)


def swap_ends(store: Store) -> None:
    def change(group: zarr.Group) -> None:
        for place in tiles_of(store):
            lower, upper = (array(group, f"salinity_{end}") for end in ("lower", "upper"))
            kept = np.asarray(lower[place])
            lower[place] = np.asarray(upper[place])
            upper[place] = kept

    tamper(store, change)


def flood(store: Store, reason: QualityFlag | None = None) -> None:
    """Take all estimates away, as a build with a broken model would."""
    blank = {layer.name: layer.fill for layer in SCENE_LAYERS if layer.name != "quality_flags"}
    blank |= {"disagreement": np.nan, "observations": 0, "last_observed": DATE_FILL}

    def change(group: zarr.Group) -> None:
        for place in tiles_of(store):
            flags = np.asarray(array(group, "quality_flags")[place])
            outside = (flags & np.uint16(QualityFlag.OUTSIDE)) != 0
            for name, value in blank.items():
                array(group, name)[place] = np.full(flags.shape, value, array(group, name).dtype)
            if reason is not None:
                array(group, "quality_flags")[place] = np.where(outside, flags, np.uint16(reason))

    tamper(store, change)


def drop(store: Store, name: str) -> None:
    def change(group: zarr.Group) -> None:
        del group[name]

    tamper(store, change)


def retype(store: Store) -> None:
    """Replace a layer by one of another type, shape and place."""

    def change(group: zarr.Group) -> None:
        del group["observations"]
        group.create_array("observations", shape=(2, 2, 2), dtype="float64", chunks=(1, 2, 2))

    tamper(store, change)


def edit(store: Store, key: str, **changed: Any) -> None:
    document = json.loads(store.objects.read(key))
    store.objects.write(key, json.dumps({**document, **changed}).encode())


def item_key_of(store: Store, name: str) -> str:
    return keys(store, "collections", f"/{name}")[0]


def month_of(store: Store, name: str) -> str:
    return item_key_of(store, name).rpartition("/")[0] + "/catalog.json"


def link_too(store: Store, href: str, rel: str = "item") -> None:
    key = month_of(store, product(store))
    links = json.loads(store.objects.read(key))["links"]
    edit(store, key, links=[*links, {"rel": rel, "href": href}])


def point(store: Store, href: str) -> None:
    edit(store, item_key_of(store, product(store)), assets={"data": {"href": href}})


def age(store: Store, prefix: str) -> None:
    """Let everything below a prefix be a day old."""
    for path in (store.objects.path / prefix).rglob("*"):
        os.utime(path, (time.time() - 86400,) * 2)


def leave_unfinished(store: Store) -> None:
    write_product(layers(GRIDS[0]), store, acquisition("left", grid=GRIDS[0]), REF)
    age(store, "scenes")


def leave_build(store: Store) -> None:
    BuildRecord(store.objects)
    age(store, "records/builds")
