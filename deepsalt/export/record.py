"""An export's record in its target: what is there, and what may belong to another version.

The record is a series beside the group's arrays (`deepsalt.objects.series`). It names changes
before they start, so that the next export after a crash knows what to repeat.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from deepsalt.documents import encode
from deepsalt.errors import OvertakenError, StoreError
from deepsalt.export.layout import Layout
from deepsalt.grid import Tile
from deepsalt.objects import Objects, append, latest
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
    """

    model: tuple[str, ...]
    layout: Layout
    version: str | None = None
    tiles: Mapping[Piece, int] = field(default_factory=dict, repr=False)
    dirty: frozenset[Piece] = frozenset()
    is_partial: bool = False

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


@dataclass
class Writer:
    """Keeps the record of one export, and detects when another one started.

    Two exports of different versions into one group would leave a mixture that claims to be one of
    them. The one that detects the other marks what it wrote, which the other detects in turn: so
    neither finishes, and the next one knows what to repeat. In a folder a lock is held as well.

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
        StoreError
            The location cannot be written.
        """

        def make(number: int, _: bytes | None) -> bytes:
            if number != self.number + 1 and not (self.is_shared and state.is_whole):
                raise self._overtaken()
            return state.encoded()

        self.number, _ = append(self.place, RECORD, make)

    def check(self) -> None:
        """Refuse to continue if another export into the same group has started since.

        Raises
        ------
        OvertakenError
            Another export has started.
        StoreError
            The location cannot be read.
        """
        if self.is_shared:
            return
        last = max((e.key for e in self.place.list(RECORD) if e.key.endswith(".json")), default="")
        if not last.endswith(f"/{self.number:010d}.json"):
            raise self._overtaken()

    def disown(self, pieces: Iterable[Piece]) -> None:
        """Mark tiles that may belong to another version than the record says.

        Raises
        ------
        StoreError
            The location cannot be written.
        """
        mine = frozenset(pieces)

        def make(_: int, before: bytes | None) -> bytes:
            state = State.decoded(before or b"", f"{self.place}/{RECORD}")
            return replace(state, dirty=state.dirty | mine).encoded()

        append(self.place, RECORD, make)

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
