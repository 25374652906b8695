"""Reading fields of a foreign JSON document.

Public catalogues write numbers as text, leave fields out or fill them with something else. Every
getter returns a value of the promised type, or None when the field is absent, or raises one
sentence that names the document, the field and what was found.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from deepsalt.errors import FormatError

_LARGEST = 2.0**53  # beyond it a JSON number is no longer an exact whole number
_SHOWN = 60  # characters of a foreign value that go into an error message


def shown(value: object) -> str:
    """Return a foreign value short enough for an error message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def finite(value: object) -> float | None:
    """Return a finite number for a JSON number or a number written as text, else None."""
    if type(value) is float:  # nearly always; the rest is for foreign catalogues
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def utc(text: str) -> datetime | None:
    """Return an RFC 3339 time in UTC, or None for anything else, a missing time zone included."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Fields:
    """Typed access to one JSON object.

    Parameters
    ----------
    values
        The JSON object.
    where
        What it belongs to, for messages: ``item X``, ``asset image of item X``.
    """

    values: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: object, where: str) -> "Fields":
        """Wrap a JSON value that must be an object.

        Raises
        ------
        FormatError
            It is not an object.
        """
        if not isinstance(value, Mapping):
            raise FormatError(f"{where} is {shown(value)}; expected a JSON object")
        return cls(value, where)

    def wrong(self, name: str, expected: str) -> FormatError:
        """Return the error for a field with an unexpected value."""
        found = shown(self.values[name]) if name in self.values else "nothing"
        return FormatError(f"{self.where} has {found} as {name!r}; expected {expected}")

    def has(self, name: str) -> bool:
        """Return whether the field is present and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str | None:
        """Return a text field."""
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(name, "text")

    def number(self, name: str) -> float | None:
        """Return a finite number, even if written as text."""
        value = self.values.get(name)
        if value is None:
            return None
        number = finite(value)
        if number is None:
            raise self.wrong(name, "a finite number")
        return number

    def first_number(self, names: tuple[str, ...]) -> float | None:
        """Return the number in the first of these fields that is present and not null."""
        for name in names:
            if self.values.get(name) is not None:
                return self.number(name)
        return None

    def integer(self, name: str) -> int | None:
        """Return a whole number, even if written as text."""
        number = self.number(name)
        if number is not None and not (number.is_integer() and abs(number) <= _LARGEST):
            raise self.wrong(name, "a whole number")
        return None if number is None else int(number)

    def flag(self, name: str) -> bool | None:
        """Return a boolean."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def moment(self, name: str) -> datetime | None:
        """Return a time in UTC."""
        text = self.text(name)
        if text is None:
            return None
        moment = utc(text)
        if moment is None:
            raise self.wrong(name, "a time with its zone, such as 2025-07-08T10:44:07Z")
        return moment

    def entries(self, name: str) -> list[Any]:
        """Return a list, empty when the field is absent."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.wrong(name, "a list")
        return list(value)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Return a list of finite numbers."""
        if not self.has(name):
            return None
        numbers = [finite(value) for value in self.entries(name)]
        if None in numbers:
            raise self.wrong(name, "a list of finite numbers")
        return tuple(number for number in numbers if number is not None)

    def table(self, name: str, limit: int) -> "Table":
        """Return a list of at most `limit` JSON objects, empty when the field is absent."""
        values = self.entries(name)
        if len(values) > limit:
            raise FormatError(
                f"{self.where} has {len(values)} entries in {name!r}; expected at most {limit}"
            )
        plain = set(map(type, values)) <= {dict}
        table = Table(values, name, self.where, _columns(values) if plain else None)
        if not plain:
            for index in range(len(values)):
                table.row(index)
        return table


@dataclass(frozen=True, slots=True)
class Table:
    """Typed access to a list of JSON objects, column by column.

    Parameters
    ----------
    rows
        The JSON objects.
    name, where
        Their name, and what it belongs to, for messages.
    columns
        Their values by name, if all of them have the same names; else None.
    """

    rows: Sequence[Mapping[str, Any]]
    name: str
    where: str
    columns: Mapping[str, tuple[Any, ...]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> Fields:
        """Return one object."""
        return Fields.of(self.rows[index], f"entry {index + 1} of {self.name!r} in {self.where}")

    def lacks(self, name: str) -> bool:
        """Return whether all rows surely lack a field; False for rows whose names differ."""
        return self.columns is not None and name not in self.columns

    def column(self, name: str) -> tuple[Any, ...]:
        """Return the value of a field for each row, None where absent."""
        if self.columns is None:
            return tuple(row.get(name) for row in self.rows)
        return self.columns.get(name) or (None,) * len(self.rows)

    def numbers(self, names: tuple[str, ...]) -> tuple[float | None, ...]:
        """Return, for each row, the number in the first of these fields that is present."""
        for name in names:
            values = self.column(name)
            kinds = set(map(type, values))
            if kinds == {float} and math.isfinite(sum(values)):  # then each of them is
                return values
            if kinds != {type(None)}:  # rare: text, or some rows have another name
                return tuple(self.row(index).first_number(names) for index in range(len(self)))
        return (None,) * len(self)

    def flags(self, name: str) -> tuple[bool | None, ...]:
        """Return a boolean for each row."""
        values = self.column(name)
        if set(map(type, values)) <= {bool, type(None)}:
            return values
        return tuple(self.row(index).flag(name) for index in range(len(self)))


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[Any, ...]] | None:
    """Return the columns of rows with equal names, else None.

    A band's six fields are looked up under fifteen names, for hundreds of bands each time.
    """
    names = tuple(rows[0]) if rows else ()
    if len(names) < 2 or set(map(len, rows)) != {len(names)}:
        return None
    try:
        return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    except KeyError:
        return None
