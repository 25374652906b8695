"""A Zarr group is brought from what it holds to a version: only shards that differ are written.

The order makes it safe to be killed anywhere: the record says what will be changed before anything
is, the group says of no version while it is, and both say of the new one at the end.
"""

import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from deepsalt.concurrency import submitted
from deepsalt.errors import MissingObjectError, OvertakenError, UsageError
from deepsalt.export.group import ARRAYS, ROOT, VERSION, documents, emptied
from deepsalt.export.layout import Layout, pieces_of
from deepsalt.export.record import RECORD, State, Writer, keys_below, read_state
from deepsalt.export.tiles import Content, Counts, Seed, TileExporter, Twins, changed_tiles
from deepsalt.objects import Objects, trim
from deepsalt.progress import Progress
from deepsalt.store.documents import decode
from deepsalt.versions import Piece

logger = logging.getLogger(__name__)

_AT_ONCE = 16  # tiles under way, a shard of each in memory


@dataclass(frozen=True, slots=True)
class Brought:
    """How a group was brought to a version.

    Parameters
    ----------
    counts
        What was done.
    is_full
        Whether everything was written anew.
    grown
        Whether that was because data lie beyond what the group covered, or periods before others.
    """

    counts: Counts
    is_full: bool = False
    grown: bool = False


@dataclass(frozen=True)
class _FillPlan:
    """What to do: tiles to write again, others to complete, and the layouts after and before."""

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
    seed: Seed | None = None,
    progress: Progress | None = None,
) -> Brought:
    """Bring a group to a version.

    Parameters
    ----------
    place
        The group.
    content
        What is exported.
    is_sharded
        Whether a shard is an object; otherwise each chunk is.
    is_shared
        Whether the group is this version's for good, so that whoever writes it writes the same.
    seed
        Another group to copy from what did not change.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        The group is of another mosaic.
    OvertakenError
        Another export into the group began meanwhile.
    StoreError
        A shard is damaged, the version was pruned meanwhile, or the place cannot be written.
    """
    number, state = read_state(place)
    root = _read(place, ROOT)
    _refuse_other(place, state, content)
    if state is not None and state.is_whole and root is None:
        state = None  # somebody began to remove it
    if _is_there(state, root, content, is_sharded):
        return Brought(Counts())
    _, before = read_state(seed.root.below(seed.group)) if seed is not None else (0, None)
    twins = Twins.of(seed, before, content, is_sharded) if seed and before else None
    plan = _plan(state, content, is_sharded, twins.layout if twins else None)
    if twins is not None and twins.layout.extent != plan.reach.extent:
        twins = None
    grown = plan.grown or _is_outgrown(before, content, is_sharded)
    if grown and plan.is_full:
        logger.warning(
            "%s does not cover what version %s has; all of it is exported anew",
            place,
            content.version.short,
        )
    writer = Writer(place, number, is_shared)
    try:
        counts = _bring(writer, content, state, plan, twins=twins, progress=progress)
    except OvertakenError:
        if not is_shared:
            writer.disown([*plan.again, *plan.missing])
            _say_of_none(place)
        raise
    return Brought(counts, plan.is_full and twins is None, grown)


def _bring(
    writer: Writer,
    content: Content,
    state: State | None,
    plan: _FillPlan,
    *,
    twins: "Twins | None",
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
    exporter = TileExporter(writer, content, plan.reach, present, twins)
    counts = _export_tiles(exporter, plan, progress)
    for key, data in objects.items():
        if key != ROOT:
            place.write(key, data)
    writer.check()
    place.write(ROOT, objects[ROOT])
    writer.note(whole)
    trim(place, RECORD)
    return counts + Counts(len(objects), sum(map(len, objects.values())))


def _say_of_none(place: Objects) -> None:
    """Let a group say that it is of no version, if it says of one."""
    root = _read(place, ROOT)
    if root is not None and decode(root, f"{place}/{ROOT}").get("attributes", {}).get(VERSION):
        place.write(ROOT, emptied(root))


def _is_there(state: State | None, root: bytes | None, content: Content, is_sharded: bool) -> bool:
    """Return whether the group holds the version already."""
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
    """Return what to do in a group of this state; `other` is the layout that a new one takes."""
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
    """Return whether a group does not cover what a version has."""
    if state is None or state.layout.is_sharded != is_sharded:
        return False
    return state.layout.holding(content.filled) is None


def _is_within(layout: Layout, piece: Piece) -> bool:
    """Return whether a tile has a place; one may have come and gone beyond what is covered."""
    (slot, tile), e = piece, layout.extent
    return slot in layout.slots and e.ix0 <= tile.ix < e.ix1 and e.iy0 <= tile.iy < e.iy1


def _under_way(state: State, whole: State, plan: _FillPlan) -> State:
    """Return what the group holds while tiles are written again."""
    dirty = frozenset(plan.again)
    if state.is_partial:
        # What is there of other tiles is the same in the new version, so it is of that one.
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
            f"{place} is the export of a mosaic on another grid or of another model; export to "
            "another place"
        )


def _read(place: Objects, key: str) -> bytes | None:
    try:
        return place.read(key)
    except MissingObjectError:
        return None
