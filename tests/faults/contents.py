"""What a store holds, for comparison with another: everything but moments and ids of versions."""

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import product

import numpy as np
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from catalog.publish.products import MODELS, MOSAICS
from deepsalt import open_mosaic
from deepsalt.export.target import group_at
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store import Store, quarantined
from deepsalt.store.documents import decode
from deepsalt.versions import (
    Mosaic,
    Version,
    encoded,
    filled_periods,
    open_repository,
    products_of,
)

_SCENES = (83.9, 40.8, 84.2, 40.95)  # what is decoded besides; west, south, east, north
_BY_BYTES = ("models", "records/acquisitions", "records/index", "records/periods", "scenes")
_BY_NAME = ("records/done", "records/tombstones")


def contents_of(store: str, export: str, secrets: Sequence[str]) -> dict[str, str]:
    """Return what is compared, by name; a name with a secret where one lies in the store."""
    objects = Objects.of(store)
    found = {f"{entry.key}": "" for name in _BY_NAME for entry in objects.list(name)}
    keys = [entry.key for name in _BY_BYTES for entry in objects.list(name)]
    with ThreadPoolExecutor(16) as pool:
        for key, data in zip(keys, pool.map(objects.read, keys), strict=True):
            found[key] = sha256(data).hexdigest()
            if any(secret.encode() in data for secret in secrets):
                found[f"{key} with a secret"] = ""
    found |= {f"quarantined {scene}": why for scene, why in quarantined(Store.open(store)).items()}
    found |= {name: f"{count}x" for name, count in Counter(_linked(objects)).items()}
    mosaic = open_repository(objects)
    head = mosaic.head()
    assert head is not None
    for slot, tile, names in products_of(mosaic, head):
        found[f"tile {slot}/{tile.id}"] = " ".join(names)
    totals = head.totals
    found["totals"] = f"{totals.pixels} {totals.estimated} {totals.by_flag}"
    found |= _shards(mosaic, head)
    found |= _export(export)
    for name, where in (("mosaic", store), ("export", export)):
        for layer, values in open_mosaic(where, bbox=_SCENES).variables.items():
            data = np.ascontiguousarray(values.values).tobytes()
            found[f"{name} {layer}"] = sha256(data).hexdigest()
    return found


def _shards(mosaic: Mosaic, head: Version) -> dict[str, str]:
    """Return all shards that a version has, as they are encoded."""
    source, n = encoded(mosaic, head), mosaic.frame.grid.tile_shards
    found = {}
    for each in filled_periods(mosaic, head):
        for tile in each.tiles:
            slot, row, column = mosaic.frame.cell(each.slot, tile)
            for layer, dy, dx in product(MOSAIC_LAYERS, range(n), range(n)):
                key = layer.key((slot, row * n + dy, column * n + dx))
                data = sync(source.get(key, default_buffer_prototype()))
                if data is not None:
                    found[f"mosaic {key}"] = sha256(data.to_bytes()).hexdigest()
    return found


def _export(export: str) -> dict[str, str]:
    """Return all shards of an export."""
    place = group_at(Objects.of(export))
    assert place is not None
    keys = [entry.key for layer in MOSAIC_LAYERS for entry in place.list(f"{layer.name}/c")]
    with ThreadPoolExecutor(16) as pool:
        read = zip(keys, pool.map(place.read, keys), strict=True)
        return {f"export {key}": sha256(data).hexdigest() for key, data in read}


def _linked(objects: Objects) -> Iterator[str]:
    """Yield the Items that the catalogue links; of versions that one is, not which.

    The model's lies in the month of its copy by the store's clock, which may have jumped.
    """
    left = ["catalog.json"]
    while left:
        key = left.pop()
        for link in decode(objects.read(key), key)["links"]:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(key), link["href"]))
            if link["rel"] == "child":
                left.append(target)
            elif link["rel"] == "item":
                objects.read(target)
                name = target.rpartition("/")[2] if MODELS in target else target
                yield f"linked {MOSAICS if MOSAICS in target else name}"
