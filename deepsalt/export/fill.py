"""Updates a Zarr group to a version: only shards that differ are written.

The order makes a kill safe at any point: the record names the changes before they start, the group
names no version meanwhile, and both name the new one at the end.
"""

import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from deepsalt.concurrency import submitted
from deepsalt.errors import MissingObjectError, OvertakenError, StoreError, UsageError
from deepsalt.export.group import ARRAYS, ROOT, VERSION, documents, emptied
from deepsalt.export.layout import Layout, pieces_of
from deepsalt.export.record import RECORD, GaveWay, State, Writer, keys_below, read_state
from deepsalt.export.tiles import (
    Content,
    CopySource,
    Counts,
    TileExporter,
    UnchangedTiles,
    changed_tiles,
)
from deepsalt.objects import Objects, trim
from deepsalt.progress import Progress
from deepsalt.store.documents import decode
from deepsalt.versions import Piece

logger = logging.getLogger(__name__)

_AT_ONCE = 16  # tiles in progress, with a shard of each in memory


@dataclass(frozen=True, slots=True)
class FillReport:
    """Outcome of updating a group to a version.

    Parameters
    ----------
    counts
        Counts of objects.
    is_full
        Whether everything was written again.
    grown
        Whether that was because data or periods lie outside the group's earlier extent.
    """

    counts: Counts
    is_full: bool = False
    grown: bool = False


@dataclass(frozen=True)
class _FillPlan:
    """The plan: tiles to rewrite, tiles to complete, and the layouts after and before."""

    layout: Layout
    reach: Layout
    again: Collection[Piece]
    missing: Collection[Piece]
    is_full: bool = False
    grown: bool = False


def bring(
    place: Objects,
    content: Content,
    *,
    is_sharded: bool,
    is_shared: bool = False,
    seed: CopySource | None = None,
    progress: Progress | None = None,
) -> FillReport:
    """Update a group to a version.

    Parameters
    ----------
    place
        The group.
    content
        The content to export.
    is_sharded
        Whether each shard is an object; otherwise each chunk is.
    is_shared
        Whether the group belongs to this version alone, so that all writers write the same.
    seed
        Another group from which to copy unchanged shards.
    progress
        Receives progress on tiles.

    Raises
    ------
    UsageError
        The group belongs to another mosaic.
    OvertakenError
        Another export into the group started meanwhile.
    StoreError
        A shard is damaged, the version was pruned meanwhile, or the location cannot be written.
    """
    since: int | None = None
    while True:
        try:
            return bring_once(
                place,
                content,
                is_sharded=is_sharded,
                is_shared=is_shared,
                seed=seed,
                progress=progress,
                since=since,
            )
        except GaveWay as gave:
            # Exports that this one overtook have named tiles: they are written again.
            logger.info("another export into %s gave way; its tiles are exported again", place)
            since = gave.number


def bring_once(
    place: Objects,
    content: Content,
    *,
    is_sharded: bool,
    is_shared: bool,
    seed: CopySource | None,
    progress: Progress | None,
    since: int | None,
) -> FillReport:
    """Update a group; `since` is the last entry of an earlier round of this export."""
    number, state = read_state(place)
    if since is not None:
        Writer(place, since, is_shared).refuse_started(number)
    root = _read(place, ROOT)
    _refuse_other(place, state, content)
    if state is not None and state.is_whole and (root is None or _version(root, place) is None):
        state = None  # its removal has started, or an export that gave way was killed
    if _is_there(state, root, content, is_sharded):
        return FillReport(Counts())
    _, before = read_state(seed.root.below(seed.group)) if seed is not None else (0, None)
    unchanged = UnchangedTiles.of(seed, before, content, is_sharded) if seed and before else None
    plan = _plan(state, content, is_sharded, unchanged.layout if unchanged else None)
    if unchanged is not None and unchanged.layout.extent != plan.reach.extent:
        unchanged = None
    grown = plan.grown or _is_outgrown(before, content, is_sharded)
    if grown and plan.is_full:
        logger.warning(
            "%s does not cover version %s; exporting all of it again",
            place,
            content.version.short,
        )
    writer = Writer(place, number, is_shared)
    try:
        counts = _bring(writer, content, state, plan, unchanged=unchanged, progress=progress)
    except (GaveWay, StoreError):
        # Nothing more is written by now: another export that began meanwhile is told what was.
        _give_way(writer, plan)
        raise
    return FillReport(counts, plan.is_full and unchanged is None, grown)


def _give_way(writer: Writer, plan: _FillPlan) -> None:
    """Name what was written, if another export has begun since."""
    try:
        writer.check()
    except GaveWay:
        return
    except OvertakenError:
        _say_of_none(writer.place)
        pieces = [*plan.again, *plan.missing]
        if writer.give_way(plan.reach, pieces, is_full=plan.is_full):
            # The other one had finished, and may have named its version in between.
            _say_of_none(writer.place)
        raise
    except StoreError:
        return  # what stopped this one is told; the place cannot be reached either


def _bring(
    writer: Writer,
    content: Content,
    state: State | None,
    plan: _FillPlan,
    *,
    unchanged: "UnchangedTiles | None",
    progress: Progress | None,
) -> Counts:
    place = writer.place
    tiles = pieces_of(content.filled)
    id = content.version.id
    objects = documents(content.source, plan.layout, content.filled, content.attrs)
    whole = State(content.model, plan.layout, id, tiles)
    if state is None or plan.is_full:
        writer.note(State(content.model, plan.layout))
        _say_of_none(place)
        _clear(place)
        writer.note(replace(whole, is_partial=True))
        place.write(ROOT, emptied(objects[ROOT]))
        present = set[str]()
    else:
        writer.note(_under_way(state, whole, plan))
        _say_of_none(place)
        present = keys_below(place, ARRAYS) if plan.missing else set()
    exporter = TileExporter(writer, content, plan.reach, present, unchanged)
    counts = _export_tiles(exporter, plan, progress)
    writer.check()
    for key, data in objects.items():
        if key != ROOT:
            place.write(key, data)
    writer.check()
    place.write(ROOT, objects[ROOT])
    writer.note(whole)
    trim(place, RECORD)
    return counts + Counts(len(objects), sum(map(len, objects.values())))


def _say_of_none(place: Objects) -> None:
    """Remove the version from a group's document, if it names one."""
    root = _read(place, ROOT)
    if root is not None and _version(root, place):
        place.write(ROOT, emptied(root))


def _version(root: bytes, place: Objects) -> str | None:
    """Return the version that a group's document names."""
    version = decode(root, f"{place}/{ROOT}").get("attributes", {}).get(VERSION)
    return None if version is None else str(version)


def _is_there(state: State | None, root: bytes | None, content: Content, is_sharded: bool) -> bool:
    """Return whether the group already holds the version."""
    return (
        state is not None
        and root is not None
        and state.is_whole
        and state.version == content.version.id
        and state.layout.is_sharded == is_sharded
        and decode(root, ROOT).get("attributes", {}).get(VERSION) == content.version.short
    )


def _plan(
    state: State | None, content: Content, is_sharded: bool, other: Layout | None
) -> _FillPlan:
    """Return the plan for a group of this state; `other` is the layout of a new group."""
    tiles = pieces_of(content.filled)
    grown = False
    if state is not None and state.version is not None and state.layout.is_sharded == is_sharded:
        layout = state.layout.holding(content.filled)
        if layout is not None:
            reach = layout.longer(state.layout)
            again = {
                each
                for each in changed_tiles(state, content) | state.dirty
                if _is_within(reach, each)
            }
            missing = {*tiles} - again if state.is_partial else set()
            return _FillPlan(layout, reach, again, missing)
        grown = True
    layout = other or Layout.of(content.mosaic.frame, content.filled, is_sharded=is_sharded)
    return _FillPlan(layout, layout, (), {*tiles}, is_full=True, grown=grown)


def _is_outgrown(state: State | None, content: Content, is_sharded: bool) -> bool:
    """Return whether a group does not cover a version."""
    if state is None or state.layout.is_sharded != is_sharded:
        return False
    return state.layout.holding(content.filled) is None


def _is_within(layout: Layout, piece: Piece) -> bool:
    """Return whether a tile lies inside the extent; one may have come and gone outside it."""
    (slot, tile), e = piece, layout.extent
    return slot in layout.slots and e.ix0 <= tile.ix < e.ix1 and e.iy0 <= tile.iy < e.iy1


def _under_way(state: State, whole: State, plan: _FillPlan) -> State:
    """Return the group's state while tiles are rewritten."""
    dirty = frozenset(plan.again)
    if state.is_partial:
        # Other tiles are the same in the new version, so they belong to it.
        return State(whole.model, plan.reach, whole.version, whole.tiles, dirty, is_partial=True)
    return State(whole.model, plan.reach, state.version, state.tiles, dirty)


def _export_tiles(exporter: "TileExporter", plan: _FillPlan, progress: Progress | None) -> Counts:
    pieces = [*sorted(plan.again), *sorted(plan.missing)]
    if progress is not None:
        progress.start("export", len(pieces))
    work = partial(exporter, {*plan.again})
    counts = Counts()
    with ThreadPoolExecutor(_AT_ONCE) as pool, submitted(pool, work, pieces) as calls:
        for call in as_completed(calls):
            counts += call.result()
            if progress is not None:
                progress.advance("export")
    return counts


def _clear(place: Objects) -> None:
    """Remove all arrays of a group."""
    for name in ARRAYS:
        delete_all(place, [entry.key for entry in place.list(name)])


def delete_all(place: Objects, keys: Iterable[str]) -> None:
    """Remove many objects."""
    rest = iter(keys)
    while some := [*islice(rest, 1000)]:
        place.delete(some)


def _refuse_other(place: Objects, state: State | None, content: Content) -> None:
    if state is None:
        return
    if state.layout.grid != content.mosaic.frame.grid or state.model != content.model:
        raise UsageError(
            f"{place} is the export of a mosaic with another grid or model; export to another "
            f"location"
        )


def _read(place: Objects, key: str) -> bytes | None:
    try:
        return place.read(key)
    except MissingObjectError:
        return None
