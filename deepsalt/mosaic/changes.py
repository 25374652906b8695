"""What an operator changes by hand: scenes withdrawn and readmitted, versions rolled back.

`withdraw` and `readmit` write records; the mosaic follows with the next build, whoever starts it.
So a crash between the two loses nothing, and the same call again ends in the same state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from deepsalt.errors import UsageError
from deepsalt.mosaic.sets import chosen, is_withdrawn, published_sets
from deepsalt.products import ProductMarker, complete_products, read_marker
from deepsalt.store import (
    Store,
    Tombstone,
    Version,
    complete_versions,
    current_version,
    tombstones,
)
from deepsalt.store.journal import point_to, previous_version
from deepsalt.store.tombstones import Place


def withdraw(store: Store, scenes: Sequence[str], *, reason: str = "") -> tuple[str, ...]:
    """Record that scenes are withdrawn: no later run or build uses them or older versions of them.

    Parameters
    ----------
    store
        The store.
    scenes
        Scene keys or product names.
    reason
        Why, for whoever meets the record.

    Returns
    -------
    tuple of str
        Their scene keys, sorted.

    Raises
    ------
    UsageError
        A scene is not in the store, or none would be left in the published mosaic. Then nothing
        is recorded.
    StoreError
        A build is going on, or the store cannot be written.
    """
    with store.locked():
        found = _named(store, scenes)
        before = tombstones(store)
        after = dict(before)
        for marker in found:
            if not is_withdrawn(marker, after):
                record = Tombstone(*marker.place, marker.version, reason, datetime.now(UTC))
                after[record.place] = record
        _refuse_emptying(store, after)
        for place, record in after.items():
            if record is not before.get(place):
                record.write(store)
    return tuple(sorted({marker.scene_key for marker in found}))


def readmit(store: Store, scenes: Sequence[str]) -> tuple[ProductMarker, ...]:
    """Take the withdrawal of scenes back.

    Parameters
    ----------
    store
        The store.
    scenes
        Scene keys or product names.

    Returns
    -------
    tuple of ProductMarker
        Products that count again; `readmitted_sets` adds them to the mosaic.

    Raises
    ------
    UsageError
        A scene was never withdrawn. Then nothing is recorded.
    StoreError
        A build is going on, or the store cannot be written.
    """
    with store.locked():
        records = {record.scene: record for record in tombstones(store).values()}
        products = complete_products(store.scenes)
        by_name = {marker.name: marker.scene_key for marker in products}
        keys = [by_name.get(scene, scene) for scene in scenes]
        for scene, key in zip(scenes, keys, strict=True):
            if key not in records:
                holding = (name for name, record in records.items() if record.lifted is None)
                raise UsageError(
                    f"scene {scene} is not withdrawn from {store.path}; "
                    f"{_some('withdrawn are', holding)}"
                )
        for key in keys:
            records[key].lift(store)
        places = {records[key].place for key in keys}
    return tuple(marker for marker in products if marker.place in places)


@contextmanager
def rolled_back(store: Store, version: str | None = None) -> Iterator[Version]:
    """Publish an earlier version again; only the link moves. The block runs with the lock held.

    Parameters
    ----------
    store
        The store.
    version
        Id of the version; without, the one that was published before the present one.

    Raises
    ------
    UsageError
        There is no such version, or it holds a scene that is withdrawn.
    StoreError
        A build is going on, or the store cannot be written.
    """
    with store.locked() as lease:
        target = _target(store, version)
        _refuse_withdrawn(store, target)
        previous = previous_version(store, target.id)
        point_to(store, target.id, why="rollback", previous=previous, lease=lease)
        yield target


def _named(store: Store, scenes: Sequence[str]) -> list[ProductMarker]:
    products = complete_products(store.scenes)
    known = {marker.scene_key: marker for marker in products}
    known |= {marker.name: marker for marker in products}
    for scene in scenes:
        if scene not in known:
            keys = sorted({marker.scene_key for marker in products})
            raise UsageError(f"store {store.path} has no scene {scene}; {_some('it has', keys)}")
    return [known[scene] for scene in scenes]


def _some(lead: str, names: Iterable[str], shown: int = 3) -> str:
    listed = sorted(names)
    if not listed:
        return f"{lead} none"
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return f"{lead} {', '.join(listed[:shown])}{more}"


def _refuse_emptying(store: Store, withdrawn: Mapping[Place, Tombstone]) -> None:
    published = [name for names in published_sets(store).values() for name in names]
    markers = [read_marker(store.scenes / f"{name}.zarr") for name in published]
    if markers and not chosen(markers, withdrawn):
        raise UsageError(
            f"without these scenes the mosaic of {store.path} would be empty; add others first, "
            "or delete the store"
        )


def _target(store: Store, version: str | None) -> Version:
    current = current_version(store)
    if current is None:
        raise UsageError(f"store {store.path} has no published mosaic to roll back")
    wanted = version or previous_version(store, current.id)
    if wanted is None:
        raise UsageError(f"version {current.id} is the first; there is none to roll back to")
    kept = {each.id: each for each in complete_versions(store)}
    if wanted not in kept:
        raise UsageError(
            f"store {store.path} does not keep version {wanted}; {_some('it keeps', kept)}"
        )
    return kept[wanted]


def _refuse_withdrawn(store: Store, target: Version) -> None:
    withdrawn = tombstones(store)
    if not withdrawn:
        return
    for name in target.products:
        marker = read_marker(store.scenes / f"{name}.zarr")
        if is_withdrawn(marker, withdrawn):
            record = withdrawn[marker.place]
            raise UsageError(
                f"version {target.id} holds scene {marker.scene_key}, {record}; take that back "
                f"first: `deepsalt mosaic withdraw --undo STORE {record.scene}`"
            )
