"""A Zarr group is brought from what it holds to a version: only shards that differ are written.

The order makes it safe to be killed anywhere: the record says what will be changed before anything
is, the group says of no version while it is, and both say of the new one at the end.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.errors import MissingObjectError, OvertakenError, UsageError
from deepsalt.export.group import ARRAYS, ROOT, VERSION, documents, emptied
from deepsalt.export.layout import Layout, pieces_of
from deepsalt.export.record import RECORD, State, Writer, keys_below, read_state
from deepsalt.export.shard import chunks_of
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects, trim
from deepsalt.store.documents import decode
from deepsalt.together import submitted
from deepsalt.versions import Filled, Mosaic, Piece, Version, changed_pieces

logger = logging.getLogger(__name__)

_AT_ONCE = 16  # tiles under way, a shard of each in memory


class Listener(Protocol):
    """Told how an export goes on."""

    def start(self, stage: str, total: int) -> None:
        """Announce how many tiles there are."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Say that so many are dealt with."""


@dataclass(frozen=True)
class Content:
    """What is exported.

    Parameters
    ----------
    mosaic, version
        Of which mosaic, and of it which version.
    source
        The version's documents and encoded shards.
    filled
        What the version has.
    attrs
        Attributes of its group.
    """

    mosaic: Mosaic
    version: Version
    source: Store
    filled: Sequence[Filled]
    attrs: Mapping[str, Any] = field(repr=False)

    @property
    def model(self) -> tuple[str, ...]:
        """Digests of the models whose maps these are."""
        return tuple(map(str, self.attrs.get("model_digests", ())))


@dataclass(frozen=True, slots=True)
class Counts:
    """What was done to objects.

    Parameters
    ----------
    objects, bytes
        Objects that were sent, and their size.
    shards
        Shards of the mosaic that were sent or removed.
    copied
        Objects that were copied from the version before, inside the bucket.
    """

    objects: int = 0
    bytes: int = 0
    shards: int = 0
    copied: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.shards + other.shards,
            self.copied + other.copied,
        )


@dataclass(frozen=True, slots=True)
class Seed:
    """Another group of the same target, from which what did not change can be copied.

    Parameters
    ----------
    root
        The target.
    group
        Key of that group.
    new
        Key of the group to fill.
    """

    root: Objects
    group: str
    new: str


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
class _Plan:
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
    listener: Listener | None = None,
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
    listener
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
    twins = _Twins.of(seed, before, content, is_sharded) if seed and before else None
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
        counts = _bring(writer, content, state, plan, twins=twins, listener=listener)
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
    plan: _Plan,
    *,
    twins: "_Twins | None",
    listener: Listener | None,
) -> Counts:
    place, tiles, id = writer.place, pieces_of(content.filled), content.version.id
    objects = documents(content.source, plan.layout, content.filled, content.attrs)
    whole = State(content.model, plan.layout, id, tiles)
    if state is None or plan.is_full:
        writer.note(State(content.model, plan.layout))
        _say_of_none(place)
        _clear(place)
        writer.note(replace(whole, is_partial=True))
        place.write(ROOT, emptied(objects[ROOT]))
        there = set[str]()
    else:
        writer.note(_under_way(state, whole, plan))
        _say_of_none(place)
        there = keys_below(place, ARRAYS) if plan.missing else set()
    carrier = _Carrier(writer, content, plan.reach, there, twins)
    counts = _carry(carrier, plan, listener)
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


def _plan(state: State | None, content: Content, is_sharded: bool, other: Layout | None) -> _Plan:
    """Return what to do in a group of this state; `other` is the layout that a new one takes."""
    tiles, grown = pieces_of(content.filled), False
    if state is not None and state.version is not None and state.layout.is_sharded == is_sharded:
        layout = state.layout.holding(content.filled)
        if layout is not None:
            reach = layout.longer(state.layout)
            again = {
                each for each in _changed(state, content) | state.dirty if _is_within(reach, each)
            }
            missing = {*tiles} - again if state.is_partial else set()
            return _Plan(layout, reach, again, missing)
        grown = True
    layout = other or Layout.of(content.mosaic.frame, content.filled, is_sharded=is_sharded)
    return _Plan(layout, layout, (), {*tiles}, is_full=True, grown=grown)


def _is_outgrown(state: State | None, content: Content, is_sharded: bool) -> bool:
    """Return whether a group does not cover what a version has."""
    if state is None or state.layout.is_sharded != is_sharded:
        return False
    return state.layout.holding(content.filled) is None


def _changed(state: State, content: Content) -> set[Piece]:
    """Return the tiles that differ between what a group holds and what is exported.

    Icechunk knows it of versions that led to each other. After a roll-back, or when the older one
    has expired, digests tell: a tile is a function of its products.
    """
    found = changed_pieces(content.mosaic, state.version or "", content.version)
    if found is not None:
        return found
    tiles = pieces_of(content.filled)
    both = {*state.tiles, *tiles}
    return {each for each in both if state.tiles.get(each) != tiles.get(each)}


@dataclass(frozen=True)
class _Twins:
    """What another group of the target has as it is to be here.

    Parameters
    ----------
    seed
        That group.
    layout
        The layout that both can have.
    pieces
        Tiles that are the same.
    keys
        All its shards.
    """

    seed: Seed
    layout: Layout
    pieces: Collection[Piece]
    keys: Collection[str]

    @classmethod
    def of(cls, seed: Seed, state: State, content: Content, is_sharded: bool) -> "_Twins | None":
        """Return it; None where shards lie otherwise there."""
        if not state.is_whole or state.layout.is_sharded != is_sharded:
            return None
        if state.layout.grid != content.mosaic.frame.grid or state.model != content.model:
            return None
        layout = state.layout.holding(content.filled)
        if layout is None:
            return None
        same = {*pieces_of(content.filled)} - _changed(state, content)
        place = seed.root.below(seed.group)
        keys = keys_below(place, (f"{layer.name}/c" for layer in MOSAIC_LAYERS))
        return cls(seed, layout, same, keys)

    def copy(self, keys: Iterable[str]) -> int | None:
        """Copy those of some keys that are there; None where one was removed meanwhile."""
        there = [key for key in keys if key in self.keys]
        try:
            for key in there:
                self.seed.root.copy(f"{self.seed.group}/{key}", f"{self.seed.new}/{key}")
        except MissingObjectError:
            return None
        return len(there)


def _is_within(layout: Layout, piece: Piece) -> bool:
    """Return whether a tile has a place; one may have come and gone beyond what is covered."""
    (slot, tile), e = piece, layout.extent
    return slot in layout.slots and e.ix0 <= tile.ix < e.ix1 and e.iy0 <= tile.iy < e.iy1


def _under_way(state: State, whole: State, plan: _Plan) -> State:
    """Return what the group holds while tiles are written again."""
    dirty = frozenset(plan.again)
    if state.is_partial:
        # What is there of other tiles is the same in the new version, so it is of that one.
        return State(whole.model, plan.reach, whole.version, whole.tiles, dirty, is_partial=True)
    return State(whole.model, plan.reach, state.version, state.tiles, dirty)


def _carry(carrier: "_Carrier", plan: _Plan, listener: Listener | None) -> Counts:
    pieces = [*sorted(plan.again), *sorted(plan.missing)]
    if listener is not None:
        listener.start("export", len(pieces))
    work, counts = partial(carrier, {*plan.again}), Counts()
    with ThreadPoolExecutor(_AT_ONCE) as pool, submitted(pool, work, pieces) as calls:
        for call in as_completed(calls):
            counts += call.result()
            if listener is not None:
                listener.advance("export")
    return counts


@dataclass(frozen=True)
class _Carrier:
    """Carries tiles over, a shard at a time.

    Parameters
    ----------
    writer
        Of the group's record.
    content
        What is exported.
    layout
        Where shards lie in the group.
    there
        Keys that need not be written, of tiles that are not to be written again.
    twins
        What can be copied from another group.
    """

    writer: Writer
    content: Content
    layout: Layout
    there: Collection[str]
    twins: _Twins | None

    def __call__(self, again: Collection[Piece], piece: Piece) -> Counts:
        """Carry a tile over; where it is to be written again, what it has not is removed."""
        self.writer.check()
        if (copied := self._copied(again, piece)) is not None:
            return Counts(copied=copied)
        frame, counts, gone = self.content.mosaic.frame, Counts(), list[str]()
        slot, row, column = frame.cell(*piece)
        n = frame.grid.tile_shards
        for (dy, dx), index in self.layout.shards(piece):
            for layer in MOSAIC_LAYERS:
                source = f"{layer.name}/c/{slot}/{row * n + dy}/{column * n + dx}"
                found = dict(self._objects(layer.name, index, source))
                if piece in again:
                    gone += {*self._keys(layer.name, index)} - {*found}
                else:
                    found = {key: data for key, data in found.items() if key not in self.there}
                for key, data in found.items():
                    self.writer.place.write(key, data)
                if found or piece in again:
                    size = sum(map(len, found.values()))
                    counts += Counts(len(found), size, 1)
        self.writer.place.delete(gone)
        return counts

    def _copied(self, again: Collection[Piece], piece: Piece) -> int | None:
        """Copy a tile from another group; None where that cannot be done."""
        if self.twins is None or piece in again or piece not in self.twins.pieces:
            return None
        return self.twins.copy(
            key
            for _, index in self.layout.shards(piece)
            for layer in MOSAIC_LAYERS
            for key in self._keys(layer.name, index)
            if key not in self.there
        )

    def _objects(
        self, layer: str, index: tuple[int, int, int], source: str
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the objects that a shard is in the group: itself, or its chunks; none if empty."""
        found = sync(self.content.source.get(source, default_buffer_prototype()))
        if found is None:
            return
        data, n = found.to_bytes(), self._edge
        where = f"{source} of version {self.content.version.short} of {self.content.mosaic.objects}"
        chunks = [*chunks_of(data, n, where)]
        if self.layout.is_sharded:
            yield _key(layer, index), data
            return
        period, row, column = index
        for (dy, dx), chunk in chunks:
            yield _key(layer, (period, row * n + dy, column * n + dx)), chunk

    def _keys(self, layer: str, index: tuple[int, int, int]) -> Iterator[str]:
        """Yield all keys that a shard may have."""
        if self.layout.is_sharded:
            yield _key(layer, index)
            return
        period, row, column = index
        for dy in range(self._edge):
            for dx in range(self._edge):
                yield _key(layer, (period, row * self._edge + dy, column * self._edge + dx))

    @property
    def _edge(self) -> int:
        """Chunks along the edge of a shard."""
        return self.layout.grid.shard_px // self.layout.grid.chunk_px


def _key(layer: str, index: tuple[int, int, int]) -> str:
    return f"{layer}/c/{'/'.join(map(str, index))}"


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
