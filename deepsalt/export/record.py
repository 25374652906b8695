"""An export's record in its target: what is there, and what may belong to another version.

The record is a series beside the group's arrays (`deepsalt.objects.series`). It names changes
before they start, so that the next export after a crash knows what to repeat.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from deepsalt.documents import encode
from deepsalt.errors import MissingObjectError, OvertakenError, StoreError
from deepsalt.export.layout import Layout
from deepsalt.grid import Tile
from deepsalt.objects import Objects, append, last_number, latest, read_number
from deepsalt.store.documents import decode
from deepsalt.versions import Piece

RECORD = "export"
"""Prefix of the series."""


@dataclass(frozen=True, slots=True)
class State:
    """Content of a target.

    Parameters
    ----------
    model
        Digests of the models whose maps these are.
    layout
        Layout of its shards.
    version
        Id of the version of every tile that is not in `dirty`; None while everything is being
        removed.
    tiles
        Digests of that version's tiles.
    dirty
        Tiles that may belong to another version.
    is_partial
        Whether shards may be missing.
    gave_way
        Whether the entry is by an export that another one had overtaken, and that writes no more.
    """

    model: tuple[str, ...]
    layout: Layout
    version: str | None = None
    tiles: Mapping[Piece, int] = field(default_factory=dict, repr=False)
    dirty: frozenset[Piece] = frozenset()
    is_partial: bool = False
    gave_way: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the target holds one version and nothing else."""
        return self.version is not None and not self.dirty and not self.is_partial

    def encoded(self) -> bytes:
        """Return the state as an object of the series."""
        return encode(
            {
                "model": [*self.model],
                "layout": self.layout.to_dict(),
                "version": self.version,
                "tiles": _packed(self.tiles),
                "dirty": _packed(dict.fromkeys(self.dirty, 0)),
                "partial": self.is_partial,
                "gave_way": self.gave_way,
            }
        )

    @classmethod
    def decoded(cls, data: bytes, where: str) -> Self:
        """Return the state that `encoded` described.

        Raises
        ------
        StoreError
            It is damaged.
        """
        document = decode(data, where)
        try:
            return cls(
                model=tuple(map(str, document["model"])),
                layout=Layout.from_dict(document["layout"]),
                version=None if document["version"] is None else str(document["version"]),
                tiles=_unpacked(document["tiles"]),
                dirty=frozenset(_unpacked(document["dirty"])),
                is_partial=bool(document["partial"]),
                gave_way=bool(document["gave_way"]),
            )
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise StoreError(
                f"{where} is damaged ({error!r}); remove the export and export again"
            ) from error


def read_state(place: Objects) -> tuple[int, State | None]:
    """Return the number and state of a group's last record; 0 and None if there is none.

    Raises
    ------
    StoreError
        The record is damaged, or the location cannot be read.
    """
    found = latest(place, RECORD)
    if found is None:
        return 0, None
    return found[0], State.decoded(found[1], f"{place}/{RECORD}")


class GaveWay(Exception):  # noqa: N818  (no error: a reason to begin again)
    """Exports that this one overtook have named what they wrote, and write no more.

    Parameters
    ----------
    number
        Number of this one's last entry.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@dataclass
class Writer:
    """Keeps the record of one export, and detects when another one started.

    Two exports of different versions into one group would leave a mixture that claims to be one of
    them. So the one that began last finishes: the others see its entry, name what they wrote and
    give way, and it writes that again. In a folder a lock is held as well.

    Parameters
    ----------
    place
        The group.
    number
        Number of the last record that it knows; 0 if there is none.
    is_shared
        Whether others may fill the group at the same time, because all write the same bytes.
    """

    place: Objects
    number: int
    is_shared: bool

    def note(self, state: State) -> None:
        """Record what the target holds from now on.

        Raises
        ------
        OvertakenError
            Another export into the same group has started since.
        GaveWay
            One that had started before has given way.
        StoreError
            The location cannot be written.
        """

        def make(number: int, _: bytes | None) -> bytes:
            if not (self.is_shared and state.is_whole):
                self._refuse_others(number - 1)
            return state.encoded()

        self.number, _ = append(self.place, RECORD, make)

    def check(self) -> None:
        """Refuse to continue if another export into the same group has started since.

        Raises
        ------
        OvertakenError
            Another export has started.
        GaveWay
            One that had started before has given way.
        StoreError
            The location cannot be read.
        """
        if not self.is_shared:
            self._refuse_others(last_number(self.place, RECORD))

    def refuse_started(self, number: int) -> None:
        """Refuse to continue if entries since the last one, up to a number, are of a new export.

        Raises
        ------
        OvertakenError
            They are.
        StoreError
            The location cannot be read.
        """
        with suppress(GaveWay):
            self._refuse_others(number)

    def give_way(self, layout: Layout, pieces: Iterable[Piece], *, is_full: bool) -> bool:
        """Mark tiles that may belong to another version than the record says.

        Returns whether the record said that the group is whole.

        Parameters
        ----------
        layout
            Layout of the shards that were written.
        pieces
            Their tiles.
        is_full
            Whether all shards were removed first.

        Raises
        ------
        OvertakenError
            The record is gone: the export was removed.
        StoreError
            The location cannot be written.
        """
        mine = frozenset(pieces)
        was_whole = False

        def make(_: int, before: bytes | None) -> bytes:
            nonlocal was_whole
            if before is None:
                raise self._overtaken()
            state = State.decoded(before, f"{self.place}/{RECORD}")
            was_whole = state.is_whole
            if state.version is None or state.layout != layout:
                # Its keys mean other tiles there, so nothing that is there counts.
                return State(state.model, state.layout, gave_way=True).encoded()
            is_partial = state.is_partial or is_full
            dirty = state.dirty | mine
            return replace(state, dirty=dirty, is_partial=is_partial, gave_way=True).encoded()

        append(self.place, RECORD, make)
        return was_whole

    def _refuse_others(self, last: int) -> None:
        """Refuse if entries up to a number are of others."""
        if last <= self.number:
            return
        for number in range(self.number + 1, last + 1):
            try:
                data = read_number(self.place, RECORD, number)
            except MissingObjectError:
                raise self._overtaken() from None
            if not State.decoded(data, f"{self.place}/{RECORD}").gave_way:
                raise self._overtaken()
        raise GaveWay(self.number)

    def _overtaken(self) -> OvertakenError:
        return OvertakenError(
            f"another export into {self.place} ran at the same time, so this one was not "
            f"finished; export again after the other"
        )


def _packed(tiles: Mapping[Piece, int]) -> str:
    places = sorted(tiles)
    rows = np.array([(slot, tile.ix, tile.iy) for slot, tile in places], "<i4").reshape(-1, 3)
    digests = np.array([tiles[place] for place in places], "<u8")
    return base64.b64encode(zlib.compress(rows.tobytes() + digests.tobytes())).decode()


def _unpacked(text: str) -> dict[Piece, int]:
    data = zlib.decompress(base64.b64decode(text))
    count = len(data) // 20
    rows = np.frombuffer(data, "<i4", count * 3).reshape(-1, 3).tolist()
    digests = np.frombuffer(data, "<u8", count, offset=count * 12).tolist()
    return {(t, Tile(x, y)): digest for (t, x, y), digest in zip(rows, digests, strict=True)}


def keys_below(place: Objects, prefixes: Iterable[str]) -> set[str]:
    """Return the keys below some prefixes."""
    return {entry.key for prefix in prefixes for entry in place.list(prefix)}
