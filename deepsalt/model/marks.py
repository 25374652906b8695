"""Marks of what a model was trained on: hashes of samples' names and places, kept in its card.

They tell whether a sample took part, and not where the samples lie. Nobody who lacks the samples
can list them, though who suspects a place can try it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from deepsalt.types import Floats

PLACE_DEG = 0.0005
"""Edge of the squares that places are told by, degrees: 55 m of latitude."""

_HEX = 12  # 48 bits: of 30,000 marks and 1,000 samples, one in ten million matches by chance


@dataclass(frozen=True, slots=True)
class Marks:
    """Samples of a training, each a hash, sorted and joined by spaces.

    Parameters
    ----------
    ids
        Of their names. Names that are numbers alone mark nothing: every table has a sample 1.
    places
        Of the squares that they lie in.
    """

    ids: str = ""
    places: str = ""

    def __bool__(self) -> bool:
        return bool(self.ids or self.places)

    @classmethod
    def of(cls, names: Iterable[str], lon: Floats, lat: Floats) -> "Marks":
        """Return the marks of samples; joined names count one by one, NaN is no place."""
        known = np.isfinite(lon) & np.isfinite(lat)
        ids = {_mark(name) for joined in names for name in joined.split("+") if _tells(name)}
        places = {_mark(square) for square in _squares(lon[known], lat[known], 0, 0)}
        return cls(" ".join(sorted(ids)), " ".join(sorted(places)))

    def __or__(self, other: "Marks") -> "Marks":
        """Return the marks of both trainings."""
        ids, places = (
            " ".join(sorted({*one.split(), *two.split()}))
            for one, two in ((self.ids, other.ids), (self.places, other.places))
        )
        return Marks(ids, places)

    def has_id(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Return which names are among the training's."""
        known = set(self.ids.split())
        return np.array([_tells(name) and _mark(name) in known for name in names], np.bool_)

    def has_place(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Return which places lie in a square of the training's, or in one beside it (n,)."""
        known = set(self.places.split())
        found = np.zeros(lon.size, np.bool_)
        if not known:
            return found
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                squares = _squares(lon, lat, dx, dy)
                found |= np.array([_mark(square) in known for square in squares], np.bool_)
        return found


def _squares(lon: Floats, lat: Floats, dx: int, dy: int) -> list[str]:
    """Return the squares of places, moved by some squares."""
    column, row = (np.floor(each / PLACE_DEG).astype(np.int64) for each in (lon, lat))
    pairs = zip((column + dx).tolist(), (row + dy).tolist(), strict=True)
    return [f"{x} {y}" for x, y in pairs]


def _tells(name: str) -> bool:
    return bool(name) and not name.removeprefix("row ").isdigit()


def _mark(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_HEX]
