"""The scene products of a store: complete, undamaged, and found from every tile."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from deepsalt.concurrency import in_order
from deepsalt.errors import DeepsaltError, MissingObjectError
from deepsalt.mosaic.wanted import chosen
from deepsalt.products import (
    ProductMarker,
    acquisition_entries,
    acquisition_entry,
    acquisition_key,
    complete_names,
    find_marker,
    index_entries,
    index_key,
    lacking,
    prefix_of,
    verify_product,
)
from deepsalt.progress import Progress
from deepsalt.store import Store, Tombstone
from deepsalt.store.tombstones import AcquisitionKey
from deepsalt.validate import REPAIR, Finding

_REQUESTS = 16
"""Number of products checked at a time if only requests are made."""
_READERS = 4
"""Number of products read at a time: their objects are in memory."""
_STILL_WRITING = timedelta(hours=1)

_INDEX_ADVICE = "run `deepsalt check --repair-index`"
_RUN_SCENE = "run its scene again"


@dataclass
class Products:
    """Products, and results so far.

    Parameters
    ----------
    names
        Names of complete products.
    counting
        Names of those that are not withdrawn and the newest of their acquisition.
    """

    names: set[str] = field(default_factory=set)
    counting: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class ProductCheck:
    """How the products of a store are checked.

    Parameters
    ----------
    store
        The store.
    withdrawn
        Its tombstones.
    quick
        Leave out checksums.
    repair_index
        Restore missing entries of the index.
    progress
        Receives progress on products.
    """

    store: Store
    withdrawn: Mapping[AcquisitionKey, Tombstone]
    quick: bool
    repair_index: bool
    progress: Progress

    def __call__(self, products: Products) -> Iterator[Finding]:
        """Yield what is found; `products` is filled meanwhile.

        Raises
        ------
        StoreError
            The store cannot be read, or an entry cannot be written.
        """
        products.names = complete_names(self.store)
        self.progress.start("products", len(products.names))
        groups, idle = self._acquisitions(products.names)
        index = _Index.of(self.store, products.names)
        yield from _count_idle(idle, "records/acquisitions")
        yield from _count_idle(index.idle, "records/index")
        check = partial(self._acquisition, index)
        with ThreadPoolExecutor(_REQUESTS if self.quick else _READERS) as pool:
            for names, findings, counting in in_order(pool, check, groups.values()):
                yield from findings
                products.counting |= counting
                self.progress.advance("products", names)
            yield from self._unfinished(products.names, pool)

    def _acquisitions(self, complete: set[str]) -> tuple[dict[str, list[str]], int]:
        """Return the complete products of each acquisition, and the number of other entries."""
        groups: dict[str, list[str]] = {}
        idle = 0
        left = set(complete)
        for acquisition, name in acquisition_entries(self.store):
            if name in left:
                groups.setdefault(acquisition, []).append(name)
                left.remove(name)
            else:
                idle += 1
        for name in sorted(left):
            # Without an entry only the marker knows; its errors are reported later.
            try:
                marker = find_marker(self.store, name)
            except DeepsaltError:
                marker = None
            where = acquisition_key(marker).split("/")[-2] if marker else f"{name}?"
            groups.setdefault(where, []).append(name)
        return groups, idle

    def _acquisition(
        self, index: "_Index", names: list[str]
    ) -> tuple[int, list[Finding], set[str]]:
        """Check the products of an acquisition: their number, findings, and which count."""
        findings: list[Finding] = []
        markers: list[ProductMarker] = []
        for name in sorted(names):
            try:
                if (marker := find_marker(self.store, name)) is not None:
                    findings += self._product(name, marker)
                    markers.append(marker)
            except DeepsaltError as error:
                found = Finding("error", "products", f"records/done/{name}.json", str(error))
                findings.append(found)
        findings += self._entries(index, markers)
        return len(names), findings, {each.name for each in chosen(markers, self.withdrawn)}

    def _product(self, name: str, marker: ProductMarker) -> Iterator[Finding]:
        where = prefix_of(name)
        if marker.name != name:
            found = f"the marker of {name} belongs to {marker.name}"
            advice = f"remove records/done/{name}.json and {_RUN_SCENE}"
            yield Finding("error", "products", f"records/done/{name}.json", found, advice)
            return
        if marker.model_digest != self.store.model:
            found = (
                f"the product belongs to model {marker.model_digest[:12]}, but the store to "
                f"{self.store.model[:12]}"
            )
            yield Finding("error", "products", where, found, f"remove records/done/{name}.json")
        found = lacking(self.store, marker)
        if not found and not self.quick:
            try:
                verify_product(self.store, marker)
            except DeepsaltError as error:
                found = str(error)
        if found:
            found = f"the product is damaged: {found}"
            yield Finding("error", "products", where, found, f"{REPAIR}, then {_RUN_SCENE}")

    def _entries(self, index: "_Index", markers: list[ProductMarker]) -> Iterator[Finding]:
        """Check that the products of an acquisition are found from it and from its tiles."""
        own: dict[str, list[str]] = {}
        for marker in markers:
            try:
                tiles = self.store.grid.tiles_over(marker.grid)
            except DeepsaltError as error:
                yield Finding("error", "products", prefix_of(marker.name), str(error))
                continue
            own[marker.name] = sorted(tile.id for tile in tiles)
        over = sorted({tile for tiles in own.values() for tile in tiles})
        for marker in markers:
            if marker.name not in own:
                continue
            entry = acquisition_entry(own[marker.name])
            key = acquisition_key(marker)
            lost = [tile for tile in over if not index.has(tile, marker.name)]
            yield from self._missing(marker.name, {index_key(t, marker.name): b"" for t in lost})
            try:
                if self.store.objects.read(key) == entry:
                    continue
                found = f"{key} does not list the tiles under the product"
            except MissingObjectError:
                found = f"{key} is missing"
            yield self._again(marker.name, found, {key: entry})

    def _missing(self, name: str, entries: dict[str, bytes]) -> Iterator[Finding]:
        if entries:
            more = f" ({len(entries) - 1} more)" if len(entries) > 1 else ""
            yield self._again(name, f"{next(iter(entries))} is missing{more}", entries)

    def _again(self, name: str, found: str, entries: Mapping[str, bytes]) -> Finding:
        """Return what is wrong with entries of a product; write them on request."""
        found = f"the index does not lead to the product: {found}"
        if not self.repair_index:
            return Finding("error", "index", prefix_of(name), found, _INDEX_ADVICE)
        for key, data in entries.items():
            self.store.objects.write(key, data)
        found = f"{found}; the entries were restored"
        return Finding("warning", "index", prefix_of(name), found, "run `deepsalt mosaic build`")

    def _unfinished(self, complete: set[str], pool: ThreadPoolExecutor) -> Iterator[Finding]:
        folders = {prefix_of(name).removeprefix("scenes/") for name in complete}
        others = (each for each in self.store.objects.folders("scenes") if each not in folders)
        yield from in_order(pool, self._leftover, others)

    def _leftover(self, folder: str) -> Finding:
        where = f"scenes/{folder}"
        times = (entry.modified for entry in self.store.objects.list(where))
        newest = max(times, default=datetime.now(UTC))
        if datetime.now(UTC) - newest < _STILL_WRITING:
            found = "the product is being written, or was just interrupted"
            advice = f"if no run is active, {_RUN_SCENE}"
            return Finding("info", "leftovers", where, found, advice)
        found = f"the product has been unfinished since {newest:%Y-%m-%d %H:%M} UTC"
        advice = f"{_RUN_SCENE}, or remove it"
        return Finding("warning", "leftovers", where, found, advice)


def _count_idle(count: int, where: str) -> Iterator[Finding]:
    if count:
        found = f"{count} entries belong to incomplete products and do not count"
        yield Finding("info", "index", where, found)


@dataclass(frozen=True)
class _Index:
    """The entries of the index of complete products, 8 bytes each, and the number of others."""

    digests: NDArray[np.uint64]
    idle: int

    @classmethod
    def of(cls, store: Store, complete: set[str]) -> "_Index":
        idle = 0

        def found() -> Iterable[int]:
            nonlocal idle
            for tile, name in index_entries(store):
                if name in complete:
                    yield _digest(tile, name)
                else:
                    idle += 1

        digests = np.frombuffer(array("Q", found()), np.uint64)
        return cls(np.sort(digests), idle)

    def has(self, tile: str, name: str) -> bool:
        digest = np.uint64(_digest(tile, name))
        place = int(np.searchsorted(self.digests, digest))
        return place < self.digests.size and bool(self.digests[place] == digest)


def _digest(tile: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{tile}/{name}".encode(), digest_size=8).digest())
