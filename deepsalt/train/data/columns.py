"""The few columns that training reads besides spectra: names, flags and labels, checked."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.conductivity import MAX_EC_DS_M, TO_DS_M, EcUnit
from deepsalt.errors import FormatError
from deepsalt.spectral.table import MISSING, spectral_columns

_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Rows of a table that is being read (s).

    Parameters
    ----------
    frame
        The table; its index counts the rows of the file from 0.
    origin
        The table, for messages.
    """

    frame: pd.DataFrame
    origin: str

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """Return the chosen rows."""
        return type(self)(self.frame[rows], self.origin)

    def __contains__(self, name: str) -> bool:
        return name in self.frame.columns

    def require(self, name: str, advice: str) -> None:
        """Refuse a table without this column.

        Raises
        ------
        FormatError
            The column is missing.
        """
        if name not in self:
            raise FormatError(f"{self.origin} has no column {name}; {self.found()}, {advice}")

    def found(self) -> str:
        """Return the table's columns other than the spectral ones."""
        spectral = spectral_columns(self.frame.columns)
        names = [str(name) for name in self.frame.columns if str(name) not in spectral]
        shown = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
        return f"its other columns are {shown or 'none'}"

    def text(self, name: str) -> NDArray[np.str_]:
        """Return a column as text, "" where empty or absent (s,)."""
        if name not in self:
            return np.full(len(self.frame), "", dtype=np.str_)
        column = self.frame[name]
        text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
        return text.to_numpy(dtype=np.str_)

    def filled(self, name: str, advice: str) -> NDArray[np.str_]:
        """Return a column as text that may not be empty anywhere (s,).

        Raises
        ------
        FormatError
            It is absent or empty in some row.
        """
        self.require(name, advice)
        text = self.text(name)
        empty = text == ""
        if empty.any():
            raise FormatError(
                f"{self.origin}, column {name} is empty in {empty.sum()} rows, such as "
                f"{self.row(empty)}; fill it or {advice}"
            )
        return text

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Return a column of true and false; empty and absent are false (s,).

        Raises
        ------
        FormatError
            A value is something else.
        """
        text = np.char.lower(self.text(name))
        unknown = ~np.isin(text, list(_FLAGS))
        if unknown.any():
            raise FormatError(
                f"{self.origin}, column {name} holds {str(text[unknown][0])!r} in "
                f"{self.row(unknown)}; give true or false"
            )
        return np.isin(text, [word for word, flag in _FLAGS.items() if flag])

    def labels(self, name: str, unit: EcUnit | None) -> NDArray[np.float64]:
        """Return electrical conductivity, dS/m, NaN where missing (s,).

        Raises
        ------
        FormatError
            The column is missing, or a value is not a number from 0 to `MAX_EC_DS_M`.
        """
        self.require(name, "name the column of the label, or give the table as --unlabelled")
        text = self.text(name)
        given = ~np.isin(text, MISSING)
        values = _exact_numbers(text)
        self._refuse_labels(name, given & ~np.isfinite(values), text, "give numbers")
        ec = np.asarray(values * TO_DS_M[unit or "dS/m"], dtype=np.float64)
        self._refuse_labels(name, ec < 0, text, "conductivity is not negative, leave it empty")
        advice = f"no soil extract has more than {MAX_EC_DS_M:.0f} dS/m"
        if unit != "mS/m":
            advice += ", if these are mS/m say --ec-unit mS/m"
        self._refuse_labels(name, ec > MAX_EC_DS_M, text, advice)
        return ec

    def numbers(self, name: str, advice: str) -> NDArray[np.float64]:
        """Return a column of numbers from 0, NaN where missing (s,).

        Raises
        ------
        FormatError
            A value is something else.
        """
        text = self.text(name)
        values = _exact_numbers(text)
        self._refuse_labels(name, ~np.isin(text, MISSING) & ~(values >= 0), text, advice)
        return values

    def _refuse_labels(
        self, name: str, wrong: NDArray[np.bool_], text: NDArray[np.str_], advice: str
    ) -> None:
        if wrong.any():
            raise FormatError(
                f"{self.origin}, column {name} holds {str(text[wrong][0])!r} in {self.row(wrong)} "
                f"({wrong.sum()} such rows); {advice}"
            )

    def row(self, chosen: NDArray[np.bool_]) -> str:
        """Return what to call the first of the chosen rows: its sample, else its number."""
        first = int(np.flatnonzero(chosen)[0])
        sample = self.text("sample_id")[first]
        return f"sample {sample}" if sample else f"row {int(self.frame.index[first]) + 1}"

    def refuse_repeats(self, key: tuple[str, ...]) -> None:
        """Refuse rows that agree in all columns of a key, `sample_id` first.

        Rows without a sample never count as repeats.

        Raises
        ------
        FormatError
            Two rows agree.
        """
        keys = pd.DataFrame({name: self.text(name) for name in key})
        twice = (keys.duplicated() & (keys["sample_id"] != "")).to_numpy()
        if twice.any():
            first = keys.loc[twice].iloc[0]
            which = ", ".join(f"{name} {value}" for name, value in first.items() if value)
            raise FormatError(
                f"{self.origin} has {which} more than once ({twice.sum()} repeated rows); "
                "keep one row, or tell repeated scenes of a satellite apart by scene_id"
            )


def _exact_numbers(text: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return what numbers texts say, to the last digit, NaN where they say none."""
    values = np.asarray(pd.to_numeric(pd.Series(text), errors="coerce"), dtype=np.float64)
    known = np.isfinite(values)  # pandas parses fast, but not to the last digit
    values[known] = text[known].astype(np.float64)
    return values
