"""Periods of a mosaic: spans of days that scenes are sorted into."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Self

from deepsalt.errors import StoreMismatchError, UsageError

ALL_ID = "all"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Span of days that one time step of a mosaic covers.

    Parameters
    ----------
    start, end
        First and last day, both included; None in the period without limits (`Period.all`).
    """

    start: date | None = None
    end: date | None = None

    def __post_init__(self) -> None:
        """Refuse spans that are half open or end before they start."""
        if (self.start is None) != (self.end is None):
            raise UsageError(f"a period needs both a first and a last day, found {self.id}")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise UsageError(f"period {self.id} ends before it starts; swap its days")

    @classmethod
    def all(cls) -> Self:
        """Return the period without limits, for a mosaic of all scenes found."""
        return cls()

    @classmethod
    def from_id(cls, text: str) -> Self:
        """Return the period of a name such as ``all`` or ``2024-04-01/2024-09-30``.

        Raises
        ------
        UsageError
            The text is not such a name.
        """
        if text == ALL_ID:
            return cls()
        try:
            start, end = (date.fromisoformat(part) for part in text.split("/"))
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not a period; give two days such as 2024-04-01/2024-09-30"
            ) from error
        return cls(start, end)

    @property
    def id(self) -> str:
        """``all`` or ``<first day>/<last day>``."""
        return ALL_ID if self.start is None and self.end is None else f"{self.start}/{self.end}"

    @property
    def layout(self) -> str:
        """Period layout of stores that can hold it: ``all`` or ``dated``."""
        return ALL_ID if self.start is None else "dated"

    def holds(self, day: date | None) -> bool:
        """Whether a scene of this day belongs to the period; unknown days belong only to `all`."""
        if self.start is None or self.end is None:
            return True
        return day is not None and self.start <= day <= self.end


def check_periods(periods: Iterable[Period]) -> None:
    """Refuse periods that cannot share a store.

    Raises
    ------
    StoreMismatchError
        Two overlap, or the period without limits is mixed with dated ones.
    """
    ordered = sorted(periods, key=lambda period: period.start or date.min)
    if len({period.layout for period in ordered}) > 1:
        raise StoreMismatchError(
            "a store holds either one mosaic of all dates or one per declared period; "
            "give another --out"
        )
    for before, after in pairwise(ordered):
        if before.end is None or after.start is None or after.start <= before.end:
            raise StoreMismatchError(
                f"periods {before.id} and {after.id} overlap, so a scene would count twice; give "
                f"periods that do not overlap"
            )
