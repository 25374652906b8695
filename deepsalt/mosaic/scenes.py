"""Scenes that an operator withdraws from a mosaic, or readmits.

`withdraw` and `readmit` write records; the next build of the tiles that they return updates the
mosaic. So a crash between the two loses nothing, and repeating the call ends in the same state.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from deepsalt.errors import UsageError
from deepsalt.grid import Tile
from deepsalt.mosaic.wanted import is_withdrawn
from deepsalt.products import ProductMarker, complete_names, read_markers, versions_of
from deepsalt.store import Store, lift, record_withdrawal, tombstone, tombstones
from deepsalt.store.tombstones import AcquisitionKey
from deepsalt.versions import Mosaic, Version, periods_of, products_at


@dataclass(frozen=True, slots=True)
class Changed:
    """Scenes whose records changed.

    Parameters
    ----------
    scenes
        Their keys, sorted.
    products
        All products of their acquisitions.
    """

    scenes: tuple[str, ...]
    products: tuple[ProductMarker, ...]

    @property
    def tiles(self) -> set[Tile]:
        """Their tiles."""
        return {tile for marker in self.products for tile in marker.over}


def withdraw(store: Store, scenes: Sequence[str], *, reason: str = "") -> Changed:
    """Record that scenes are withdrawn: no later run or build uses them or older versions of them.

    Parameters
    ----------
    store
        The store.
    scenes
        Scene keys or product names.
    reason
        Reason, kept in the record.

    Raises
    ------
    UsageError
        A scene is not in the store; nothing is recorded.
    StoreError
        The store cannot be read or written.
    """
    # Withdrawn scenes stay withdrawn, even if their products were pruned since.
    before = {
        scene: acquisition
        for scene in scenes
        if (acquisition := _withdrawn_acquisition(store, scene))
    }
    found = [_named(store, scene) for scene in scenes if scene not in before]
    for marker in found:
        record_withdrawal(store, marker.acquisition_key, marker.version, reason)
    keys = {*before, *(marker.scene_key for marker in found)}
    acquisitions = {*before.values(), *(marker.acquisition_key for marker in found)}
    return Changed(tuple(sorted(keys)), _acquired(store, acquisitions))


def readmit(store: Store, scenes: Sequence[str]) -> Changed:
    """Undo the withdrawal of scenes.

    Parameters
    ----------
    store
        The store.
    scenes
        Scene keys or product names.

    Raises
    ------
    UsageError
        A scene was never withdrawn; nothing is recorded.
    StoreError
        The store cannot be read or written.
    """
    acquisitions = []
    for scene in scenes:
        acquisition = _acquisition_of(scene) or _named(store, scene).acquisition_key
        record = tombstone(store, acquisition)
        if record is None or scene not in (record.scene, *versions_of(store, acquisition)):
            holding = (each.scene for each in tombstones(store).values() if each.lifted is None)
            raise UsageError(
                f"scene {scene} is not withdrawn from {store}; {_some('withdrawn are', holding)}"
            )
        acquisitions.append(acquisition)
    keys = sorted({lift(store, acquisition).scene for acquisition in acquisitions})
    return Changed(tuple(keys), _acquired(store, acquisitions))


def refuse_withdrawn(store: Store, mosaic: Mosaic, version: Version) -> None:
    """Refuse to return to a version with scenes withdrawn since.

    Raises
    ------
    UsageError
        It has such a scene.
    StoreError
        The store cannot be read.
    """
    withdrawn = {key: each for key, each in tombstones(store).items() if each.lifted is None}
    slots = [*periods_of(store.objects).values()]
    for marker in _acquired(store, withdrawn):
        if not is_withdrawn(marker, withdrawn):
            continue
        cells = [mosaic.frame.cell(slot, tile) for slot in slots for tile in marker.over]
        if any(marker.name in names for names in products_at(mosaic, version, cells)):
            record = withdrawn[marker.acquisition_key]
            raise UsageError(
                f"version {version.short} has scene {marker.scene_key}, {record}; readmit it "
                f"first: `deepsalt mosaic withdraw --undo STORE {record.scene}`"
            )


def withdrawn_names(store: Store) -> set[str]:
    """Return the names of all complete products that do not count because of a tombstone.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    withdrawn = {key: each for key, each in tombstones(store).items() if each.lifted is None}
    markers = _acquired(store, withdrawn)
    return {marker.name for marker in markers if is_withdrawn(marker, withdrawn)}


def _named(store: Store, scene: str) -> ProductMarker:
    """Return the newest complete product of a scene, given by its key or a product's name."""
    acquisition = _acquisition_of(scene)
    names = [] if "/" in scene else [scene]  # not the name of a product
    if acquisition is not None:
        names = versions_of(store, acquisition)
    found = [
        marker
        for marker in read_markers(store, names).values()
        if scene in (marker.scene_key, marker.name)
    ]
    if not found:
        raise UsageError(f"store {store} has no scene {scene}; {_some('it has', _keys(store))}")
    return max(found, key=lambda marker: marker.created)


def _withdrawn_acquisition(store: Store, scene: str) -> AcquisitionKey | None:
    """Return the acquisition of a withdrawn scene key; None for any other."""
    acquisition = _acquisition_of(scene)
    record = tombstone(store, acquisition) if acquisition else None
    version = scene.rpartition("/")[2]
    return acquisition if record is not None and record.covers(version) else None


def _keys(store: Store) -> Iterable[str]:
    names = sorted(complete_names(store))[:_SHOWN]
    return [marker.scene_key for marker in read_markers(store, names).values()]


def _acquisition_of(scene: str) -> AcquisitionKey | None:
    """Return the acquisition that a scene key names; None if it is not a key."""
    collection, _, rest = scene.partition("/")
    acquisition, _, version = rest.rpartition("/")
    return (collection, acquisition) if collection and acquisition and version else None


def _acquired(store: Store, acquisitions: Iterable[AcquisitionKey]) -> tuple[ProductMarker, ...]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(partial(versions_of, store), sorted(set(acquisitions)))
        names = [name for versions in found for name in versions]
    return tuple(read_markers(store, names).values())


_AT_ONCE = 16  # concurrent requests
_SHOWN = 3


def _some(lead: str, names: Iterable[str]) -> str:
    listed = sorted(names)
    if not listed:
        return f"{lead} none"
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{lead} {', '.join(listed[:_SHOWN])}{more}"
