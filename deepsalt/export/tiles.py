"""Copies encoded shards of tiles into a Zarr group, without decoding them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.errors import MissingObjectError
from deepsalt.export.layout import Layout, pieces_of
from deepsalt.export.record import State, Writer, keys_below
from deepsalt.export.shard import chunks_of
from deepsalt.layers import MOSAIC_LAYERS, Layer
from deepsalt.objects import Objects
from deepsalt.versions import Filled, Mosaic, Piece, Version, changed_pieces


@dataclass(frozen=True)
class Content:
    """The content to export.

    Parameters
    ----------
    mosaic, version
        The mosaic, and its version.
    source
        The version's documents and encoded shards.
    filled
        The data of the version.
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
    """Counts of objects.

    Parameters
    ----------
    objects, bytes
        Objects that were sent, and their size.
    shards
        Shards of the mosaic that were sent or removed.
    copied
        Objects copied from the previous version, inside the bucket.
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
class CopySource:
    """Another group of the same target, from which unchanged shards can be copied.

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


def changed_tiles(state: State, content: Content) -> set[Piece]:
    """Return the tiles that differ between a group and the content to export.

    Icechunk knows them if one version is an ancestor of the other. After a roll-back, or if the
    older one has expired, digests tell: a tile is a function of its products.
    """
    found = changed_pieces(content.mosaic, state.version or "", content.version)
    if found is not None:
        return found
    tiles = pieces_of(content.filled)
    both = {*state.tiles, *tiles}
    return {each for each in both if state.tiles.get(each) != tiles.get(each)}


@dataclass(frozen=True)
class UnchangedTiles:
    """Shards of another group of the target that can be reused here.

    Parameters
    ----------
    seed
        That group.
    layout
        The layout that fits both.
    pieces
        Tiles that are the same.
    keys
        All its shards.
    """

    seed: CopySource
    layout: Layout
    pieces: Collection[Piece]
    keys: Collection[str]

    @classmethod
    def of(
        cls, seed: CopySource, state: State, content: Content, is_sharded: bool
    ) -> "UnchangedTiles | None":
        """Return it; None if its shards are laid out differently."""
        if not state.is_whole or state.layout.is_sharded != is_sharded:
            return None
        if state.layout.grid != content.mosaic.frame.grid or state.model != content.model:
            return None
        layout = state.layout.holding(content.filled)
        if layout is None:
            return None
        same = {*pieces_of(content.filled)} - changed_tiles(state, content)
        place = seed.root.below(seed.group)
        keys = keys_below(place, (f"{layer.name}/c" for layer in MOSAIC_LAYERS))
        return cls(seed, layout, same, keys)

    def copy(self, keys: Iterable[str]) -> int | None:
        """Copy existing ones of some keys; None if one was removed meanwhile."""
        present = [key for key in keys if key in self.keys]
        try:
            for key in present:
                self.seed.root.copy(f"{self.seed.group}/{key}", f"{self.seed.new}/{key}")
        except MissingObjectError:
            return None
        return len(present)


@dataclass(frozen=True)
class TileExporter:
    """Exports tiles, a shard at a time.

    Parameters
    ----------
    writer
        Of the group's record.
    content
        The content to export.
    layout
        Layout of the shards in the group.
    present
        Keys that need not be written, of tiles that are not rewritten.
    unchanged
        Shards that can be copied from another group.
    """

    writer: Writer
    content: Content
    layout: Layout
    present: Collection[str]
    unchanged: UnchangedTiles | None

    def __call__(self, again: Collection[Piece], piece: Piece) -> Counts:
        """Export a tile; when rewriting it, remove shards that it no longer has."""
        self.writer.check()
        if (copied := self._copied(again, piece)) is not None:
            return Counts(copied=copied)
        frame = self.content.mosaic.frame
        counts = Counts()
        gone = list[str]()
        slot, row, column = frame.cell(*piece)
        n = frame.grid.tile_shards
        for (dy, dx), index in self.layout.shards(piece):
            for layer in MOSAIC_LAYERS:
                source = layer.key((slot, row * n + dy, column * n + dx))
                found = dict(self._objects(layer, index, source))
                if piece in again:
                    gone += {*self._keys(layer, index)} - {*found}
                else:
                    found = {key: data for key, data in found.items() if key not in self.present}
                for key, data in found.items():
                    self.writer.place.write(key, data)
                if found or piece in again:
                    size = sum(map(len, found.values()))
                    counts += Counts(len(found), size, 1)
        self.writer.place.delete(gone)
        return counts

    def _copied(self, again: Collection[Piece], piece: Piece) -> int | None:
        """Copy a tile from another group; None if that is impossible."""
        if self.unchanged is None or piece in again or piece not in self.unchanged.pieces:
            return None
        return self.unchanged.copy(
            key
            for _, index in self.layout.shards(piece)
            for layer in MOSAIC_LAYERS
            for key in self._keys(layer, index)
            if key not in self.present
        )

    def _objects(
        self, layer: Layer, index: tuple[int, int, int], source: str
    ) -> Iterator[tuple[str, bytes]]:
        """Yield a shard's objects in the group: itself, or its chunks; none if empty."""
        found = sync(self.content.source.get(source, default_buffer_prototype()))
        if found is None:
            return
        data = found.to_bytes()
        n = self._edge
        where = f"{source} of version {self.content.version.short} of {self.content.mosaic.objects}"
        chunks = [*chunks_of(data, n, where)]
        if self.layout.is_sharded:
            yield layer.key(index), data
            return
        period, row, column = index
        for (dy, dx), chunk in chunks:
            yield layer.key((period, row * n + dy, column * n + dx)), chunk

    def _keys(self, layer: Layer, index: tuple[int, int, int]) -> Iterator[str]:
        """Yield all keys that a shard may have."""
        if self.layout.is_sharded:
            yield layer.key(index)
            return
        period, row, column = index
        for dy in range(self._edge):
            for dx in range(self._edge):
                yield layer.key((period, row * self._edge + dy, column * self._edge + dx))

    @property
    def _edge(self) -> int:
        """Chunks along the edge of a shard."""
        return self.layout.grid.shard_px // self.layout.grid.chunk_px
