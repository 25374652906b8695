"""Mid-infrared absorbance of soils: tables of it, on a common grid, as features.

Columns are named by their wavenumber in cm-1 and nothing else, such as ``600`` or ``600.5``, in any
order. Samples are named by `sample_id`, else by `id`. So come tables of the Kellogg Soil Survey
Laboratory's spectra.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.spectral.table import column_numbers, read_table
from deepsalt.types import Floats

SEGMENTS_CM1 = ((650.0, 2260.0), (2400.0, 3950.0))
"""First and last common wavenumber on either side of the path's carbon dioxide, cm-1.

Soil libraries reach from 600 to 4000; a little less lets other instruments in.
"""

STEP_CM1 = 10.0
"""Spacing and width of the common wavenumbers, cm-1: soils' bands are broader."""

MAX_GAP_CM1 = 20.0
"""Columns further apart leave the grid uncovered, cm-1."""

MIN_ABSORBANCE = -1.0
MAX_ABSORBANCE = 10.0
"""Range of an absorbance log10(1 / R); soils have 0 to 3. Percent and nodata exceed it."""

ID_COLUMNS = ("sample_id", "id")

_WAVENUMBER = re.compile(r"\d+(?:\.\d+)?")
_WITHIN_CM1 = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])  # what is averaged around a common wavenumber
_FLAT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class InfraredTable:
    """Mid-infrared features of one table (s rows).

    Parameters
    ----------
    name
        Of the file.
    sample
        Sample of each row, none twice (s,).
    features
        From `infrared_features`, float32 (s, d).
    sha256
        Digest of the file (hexadecimal).
    """

    name: str
    sample: NDArray[np.str_]
    features: NDArray[np.float32]
    sha256: str


def read_infrared(path: Path) -> InfraredTable:
    """Read a table of mid-infrared absorbance.

    Raises
    ------
    FormatError
        Unreadable; no sample names, an empty one or one twice; no spectral columns, or columns that
        do not cover the grid; a value that is missing or not absorbance.
    """
    origin = str(path)
    frame = read_table(path, keep_text=True, spectral=wavenumber_columns)
    columns = _sorted_columns(frame, origin)
    sample = _samples(frame, origin)
    cm1 = np.array(list(columns.values()))
    used = np.unique(_neighbours(cm1, origin)[0])
    names = [list(columns)[at] for at in used]
    absorbance = np.column_stack([column_numbers(frame[name], name, origin) for name in names])
    _refuse_values(absorbance.astype(np.float64), names, sample, origin)
    features = infrared_features(absorbance, cm1[used], origin).astype(np.float32)
    return InfraredTable(path.name, sample, features, hashlib.sha256(path.read_bytes()).hexdigest())


def wavenumber_columns(columns: Iterable[object]) -> dict[str, float]:
    """Return the columns that are named by a wavenumber, with it, cm-1."""
    return {str(name): float(str(name)) for name in columns if _WAVENUMBER.fullmatch(str(name))}


def infrared_features(absorbance: NDArray[np.floating], cm1: Floats, origin: str) -> Floats:
    """Return features of mid-infrared spectra.

    Parameters
    ----------
    absorbance
        (s, n)
    cm1
        Wavenumbers, ascending, cm-1 (n,).
    origin
        The table, for messages.

    Returns
    -------
    Floats
        SNV of the first derivative on the common grid, never across carbon dioxide; then two
        levels, mean absorbance and log of the derivative's deviation (s, d).

    Raises
    ------
    FormatError
        The wavenumbers leave a part of the grid uncovered.
    """
    right, share = _neighbours(cm1, origin)
    fine = absorbance[:, right[0]] * (1.0 - share) + absorbance[:, right[1]] * share
    common = fine.reshape(len(fine), -1, _WITHIN_CM1.size).mean(axis=2)
    first = _grid(*SEGMENTS_CM1[0]).size
    derivative = np.hstack([np.diff(common[:, :first]), np.diff(common[:, first:])])
    centred = derivative - derivative.mean(axis=1, keepdims=True)
    deviation = np.maximum(centred.std(axis=1, keepdims=True), _FLAT)
    levels = [common.mean(axis=1, keepdims=True), np.log(deviation)]
    return np.hstack([centred / deviation, *levels])


def _grid(low: float, high: float) -> Floats:
    return np.arange(low, high + STEP_CM1 / 2, STEP_CM1)


def _neighbours(cm1: Floats, origin: str) -> tuple[NDArray[np.intp], Floats]:
    """Return the columns on either side of each fine wavenumber (2, f), and the upper's share."""
    centers = np.concatenate([_grid(*segment) for segment in SEGMENTS_CM1])
    fine = (centers[:, None] + _WITHIN_CM1).ravel()
    upper = np.searchsorted(cm1, fine).clip(1, max(cm1.size - 1, 1))
    pair = np.stack([upper - 1, np.minimum(upper, cm1.size - 1)])
    low, high = cm1[pair]
    covered = (low <= fine) & (fine <= high) & (high - low <= MAX_GAP_CM1)
    if not covered.all():
        raise FormatError(
            f"{origin} has no columns around {fine[~covered][0]:g} cm-1; mid-infrared spectra are "
            f"needed from {fine[0]:g} to {fine[-1]:g} cm-1 at most {MAX_GAP_CM1:g} apart, without "
            f"{SEGMENTS_CM1[0][1] + STEP_CM1:g} to {SEGMENTS_CM1[1][0] - STEP_CM1:g}"
        )
    return pair, (fine - low) / (high - low)


def _sorted_columns(frame: pd.DataFrame, origin: str) -> dict[str, float]:
    columns = wavenumber_columns(frame.columns)
    if not columns:
        raise FormatError(
            f"{origin} has no spectral columns; name those of the mid-infrared by wavenumber in "
            "cm-1, such as 600 or 600.5"
        )
    for cm1, count in Counter(columns.values()).items():
        if count > 1:
            raise FormatError(f"{origin} has two columns at {cm1:g} cm-1; drop one of them")
    return dict(sorted(columns.items(), key=lambda item: item[1]))


def _samples(frame: pd.DataFrame, origin: str) -> NDArray[np.str_]:
    known = [name for name in ID_COLUMNS if name in frame]
    if not known:
        raise FormatError(
            f"{origin} has no column sample_id; name each spectrum as in the laboratory table"
        )
    column = frame[known[0]]
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    if (text == "").any():
        raise FormatError(
            f"{origin}, column {known[0]} is empty in {(text == '').sum()} rows; name the samples"
        )
    if text.duplicated().any():
        raise FormatError(
            f"{origin} has sample {text[text.duplicated()].iloc[0]} more than once "
            f"({text.duplicated().sum()} repeated rows); average repeated scans to one row"
        )
    return text.to_numpy(dtype=np.str_)


def _refuse_values(
    absorbance: Floats, names: list[str], sample: NDArray[np.str_], origin: str
) -> None:
    missing = ~np.isfinite(absorbance)
    if missing.any():
        row, at = np.argwhere(missing)[0]
        raise FormatError(
            f"{origin}, column {names[at]} has no value in sample {sample[row]} ({missing.sum()} "
            f"such values in {missing.any(axis=0).sum()} columns); drop such rows or columns"
        )
    wrong = (absorbance < MIN_ABSORBANCE) | (absorbance > MAX_ABSORBANCE)
    if wrong.any():
        row, at = np.argwhere(wrong)[0]
        raise FormatError(
            f"{origin}, column {names[at]} holds {absorbance[row, at]:g} in sample {sample[row]} "
            f"({wrong.sum()} such values); absorbance lies between {MIN_ABSORBANCE:g} and "
            f"{MAX_ABSORBANCE:g}, convert reflectance R by log10(1 / R)"
        )
