"""Tables of spectra: CSV or Parquet with one column per band.

Columns are named ``r<centre in nm>``, or as the sensor's band table names its bands. Names that
instruments and libraries give instead (``350``, ``wl_350``, ``X350``, ``meas_403nm``, ``350 nm``)
are understood where no column is named so. Used by training and by prediction, so that both read a
table alike.
"""

import csv
import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.documents import replacing
from deepsalt.errors import FormatError
from deepsalt.inputs import require_regular
from deepsalt.types import BandTable

_SPECTRAL = re.compile(r"r(\d+(?:\.\d+)?)")
_OTHER = re.compile(
    r"(?P<before>(?:r|x|w|wl|wavelength|nm|band|meas|refl|reflectance|spc)?[ _.]?)"
    r"(?P<nm>\d+(?:\.\d+)?)(?P<after>[ _]?nm)?",
    re.IGNORECASE,
)
_OTHER_NM = (300.0, 2600.0)  # running numbers are not all within it
_OTHER_SPAN_NM = 300.0  # years span less
_OTHER_COUNT = 10  # so many columns of one pattern are not an accident
_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")

MISSING = ("", "NA", "N/A", "NaN", "nan", "None", "null")
"""Texts that stand for a missing number."""

MAX_REFLECTANCE = 2.0
"""Above it, numbers are taken for percent or scaled integers; bright snow reaches about 1.2."""

_MIN_REFLECTANCE = -1.0  # below it stands a nodata value such as -9999; correction overshoots less
_SHARE_ABOVE = 0.001  # of all values: single spikes are the spectrum's fault, not the unit's
_MAX_PERCENT = 130.0  # snow in percent; scaled integers lie above
_MAX_ABSORBANCE = 6.0  # log10(1 / R); instruments end below, percent of soils mostly lies above
_ABSORBANCE_NM = (500.0, 850.0, 1650.0)
_MICROMETRES = 100.0  # columns r0.4 to r2.5 hold micrometres; no sensor of ours sees 100 nm


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Spectra of a table on the bands of a sensor.

    Parameters
    ----------
    reflectance
        In the table's row order, NaN where missing, float32 (rows, n).
    bands
        The sensor's bands (n); those the table lacks are not usable.
    ignored
        Spectral columns that belong to no band of the sensor.
    notes
        What was understood or is doubtful in the table, one sentence each.
    """

    reflectance: NDArray[np.float32]
    bands: BandTable
    ignored: tuple[str, ...]
    notes: tuple[str, ...] = ()


Names = Callable[[Iterable[object]], dict[str, float]]
"""Determines which columns hold spectra, and their wavelengths."""


def spectral_columns(columns: Iterable[object]) -> dict[str, float]:
    """Return the columns named ``r<centre in nm>`` with their centres, nm.

    Without any, those of the one other manner in which at least ten columns name a wavelength.
    """
    names = [str(column) for column in columns]
    found = {name: float(match[1]) for name in names if (match := _SPECTRAL.fullmatch(name))}
    if found:
        return found
    manners: dict[tuple[str, str | None], dict[str, float]] = {}
    for name in names:
        if match := _OTHER.fullmatch(name):
            manner = manners.setdefault((match["before"], match["after"]), {})
            manner[name] = float(match["nm"])
    low, high = _OTHER_NM
    likely = [
        each
        for each in manners.values()
        if len(each) >= _OTHER_COUNT
        and low <= min(each.values())
        and max(each.values()) <= high
        and max(each.values()) - min(each.values()) >= _OTHER_SPAN_NM
    ]
    return likely[0] if len(likely) == 1 else {}


def _names_understood(columns: dict[str, float]) -> Iterator[str]:
    """Report columns read as reflectance although not named ``r<centre in nm>``."""
    names = list(columns)
    if names and not _SPECTRAL.fullmatch(names[0]):
        nm = columns.values()
        yield (
            f"{len(names)} columns {names[0]} ... {names[-1]} are taken as reflectance at "
            f"{min(nm):g} to {max(nm):g} nm"
        )


def _misspelt(names: Iterable[object], columns: dict[str, float], used: set[str]) -> Iterator[str]:
    """Report columns that look like bands but are not named as the other bands are.

    Such as ``r15oo`` or ``R1510`` beside ``r1500``, and ``1500 mn`` beside ``1490 nm``.
    """
    first = next(iter(columns), "")
    letters = re.match(r"[A-Za-z_]*?(?=_?\d|$)", first)
    if letters is None or not first:
        return
    before = re.escape(letters[0].strip("_"))
    alike = re.compile(
        rf"(?:{before})?[ _-]*(?P<nm>[\doil][\doil.,]+)[ _]*[a-z]{{0,3}}", re.IGNORECASE
    )
    low, high = _OTHER_NM
    found = []
    for name in map(str, names):
        match = None if name in used or name in columns else alike.fullmatch(name)
        if match and low <= _meant(match["nm"]) <= high:
            found.append(name)
    if found:
        shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        many = len(found) > 1
        yield (
            f"{len(found)} column{'s look' if many else ' looks'} like a band but "
            f"{'are' if many else 'is'} not named like {first}: {shown}; not used"
        )


def _meant(digits: str) -> float:
    """Return the number that was meant, with letters for digits or a decimal comma; NaN if none."""
    text = digits.lower().translate(str.maketrans("oil,", "011."))
    try:
        return float(text) if sum(map(str.isdigit, digits)) > 1 else math.nan
    except ValueError:
        return math.nan


def read_table(
    path: Path, *, keep_text: bool = False, spectral: Names = spectral_columns
) -> pd.DataFrame:
    """Read a table by its extension.

    Parameters
    ----------
    path
        CSV (.csv, .csv.gz) or Parquet (.parquet, .pq).
    keep_text
        Keep the other columns of a CSV as the text they are, so that they can be written again
        without a change: 007 stays 007, an empty cell stays empty.
    spectral
        Finds the columns of numbers that `keep_text` leaves numbers.

    Raises
    ------
    FormatError
        Missing, unreadable, without rows, not separated by commas, with a column name twice, with
        more fields than names, or of an unknown kind.
    """
    check_kind(path)
    try:
        require_regular(path)
        if path.name.lower().endswith(_PARQUET):
            table = pd.read_parquet(path)
            header = [str(name) for name in table.columns]
        else:
            header = _csv_header(path)
            _refuse_other_separators(path, header)
            table = _read_csv(path, keep_text, spectral)
            if not isinstance(table.index, pd.RangeIndex):
                # pandas takes the first columns for an index, so that all names move over.
                raise FormatError(
                    f"table {path} has rows with more fields than its header has names; "
                    "name every column, and end no line with a comma"
                )
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise FormatError(
            f"table {path} cannot be read ({_first_line(error)}); give a CSV or Parquet file"
        ) from error
    if table.empty:
        raise FormatError(f"table {path} has no rows; give at least one spectrum")
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise FormatError(f"table {path} has two columns named {twice[0]}; drop one of them")
    return table


def _csv_header(path: Path) -> list[str]:
    """Return the names as written: pandas would make r450.1 of a second r450."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        return next((names for names in csv.reader(lines) if names), [])


def _refuse_other_separators(path: Path, header: list[str]) -> None:
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise FormatError(
                f"table {path} has columns separated by {name}; use commas, and decimal points"
            )


def _read_csv(path: Path, keep_text: bool, spectral: Names) -> pd.DataFrame:
    if not keep_text:
        return pd.read_csv(path, float_precision="round_trip", low_memory=False)
    header = [str(name) for name in pd.read_csv(path, nrows=0).columns]
    numbers = spectral(header)
    return pd.read_csv(
        path,
        dtype={name: str for name in header if name not in numbers},
        keep_default_na=False,
        na_values={name: list(MISSING) for name in numbers},
        float_precision="round_trip",
        low_memory=False,
    )


def check_kind(path: Path) -> None:
    """Refuse a path that does not end like a CSV or Parquet file.

    Raises
    ------
    FormatError
        Neither CSV nor Parquet.
    """
    if not path.name.lower().endswith(_CSV + _PARQUET):
        raise FormatError(
            f"{path} is neither .csv, .csv.gz nor .parquet; give the table one of these extensions"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table by its extension, complete or not at all.

    Raises
    ------
    FormatError
        It cannot be written there.
    """
    check_kind(path)
    name = path.name.lower()
    try:
        with replacing(path) as temporary:
            if name.endswith(_PARQUET):
                table.to_parquet(temporary, index=False)
            else:
                # The temporary name does not show the format, so it cannot be inferred.
                table.to_csv(
                    temporary, index=False, compression="gzip" if name.endswith(".gz") else None
                )
    except OSError as error:
        raise FormatError(
            f"table {path} cannot be written ({error}); choose another path"
        ) from error


def match_columns(columns: dict[str, float], bands: BandTable, origin: str) -> dict[int, str]:
    """Match spectral columns to bands by centre, one to one, nearest first.

    Parameters
    ----------
    columns
        Column name and centre, nm.
    bands
        The sensor's bands.
    origin
        The table, for messages.

    Returns
    -------
    dict[int, str]
        Band index -> column, for every column within half a FWHM of a band.

    Raises
    ------
    FormatError
        No spectral columns, micrometres, or few columns that belong to the sensor.
    """
    if not columns:
        raise FormatError(
            f"{origin} has no spectral columns; name them r<centre in nm>, such as r450 or r450.5, "
            "or give a CSV of column, centre and FWHM as the sensor"
        )
    names = list(columns)
    nm = np.array(list(columns.values()))
    if nm.max() < _MICROMETRES:
        raise FormatError(
            f"{origin} has the columns {names[0]} to {names[-1]}, which look like micrometres; "
            f"name them in nm, such as r{nm[0] * 1000:g}"
        )
    distance = np.abs(np.array(bands.centers_nm)[:, None] - nm[None, :])
    near = distance <= np.array(bands.fwhm_nm)[:, None] / 2
    matched: dict[int, str] = {}
    taken: set[int] = set()
    candidates = np.argwhere(near)
    for band, column in candidates[np.argsort(distance[near], kind="stable")].tolist():
        if band not in matched and column not in taken:
            matched[band] = names[column]
            taken.add(column)
    if len(matched) < len(bands) // 4:
        raise FormatError(
            f"{origin} has {len(names)} spectral columns ({nm.min():g}-{nm.max():g}), of which "
            f"{len(matched)} lie on the {len(bands)} bands of the sensor; centres are expected in "
            "nm, name the right sensor or give a CSV of centre and FWHM"
        )
    return matched


def _refuse_twice(columns: dict[str, float], origin: str) -> None:
    for nm, count in Counter(columns.values()).items():
        if count > 1:
            raise FormatError(f"{origin} has two columns at {nm:g} nm; drop one of them")


def match_names(names: Iterable[object], bands: BandTable, origin: str) -> dict[int, str]:
    """Match columns to bands by name, whatever the names are.

    Parameters
    ----------
    names
        All columns of a table.
    bands
        The sensor's bands.
    origin
        The table, for messages.

    Returns
    -------
    dict[int, str]
        Band index -> column; empty unless every usable band names a column.

    Raises
    ------
    FormatError
        The band table names some of the columns, but not all, and they are not ``r<nm>``.
    """
    present = {str(name) for name in names}
    matched = {i: name for i, name in enumerate(bands.names) if name in present}
    lacking = [
        name
        for name, usable in zip(bands.names, bands.usable, strict=True)
        if usable and name not in present
    ]
    if not lacking:
        return matched
    if set(matched.values()) - set(spectral_columns(present)):
        raise FormatError(
            f"{origin} lacks {len(lacking)} of the columns that the band table names, such as "
            f"{lacking[0]}; add them, or mark those bands with usable 0"
        )
    return {}


def table_spectra(table: pd.DataFrame, bands: BandTable, origin: str) -> Spectra:
    """Return the spectra of a table on a sensor's bands.

    Parameters
    ----------
    table
        With columns named as the bands are, all of them, or ``r<centre in nm>``.
    bands
        The sensor's bands (n).
    origin
        The table, for messages.

    Raises
    ------
    FormatError
        Columns that do not fit the sensor, stand twice, hold text, or hold percent or scaled
        integers instead of reflectance in the usable bands.
    """
    columns = spectral_columns(table.columns)
    _refuse_twice(columns, origin)
    matched = match_names(table.columns, bands, origin) or match_columns(columns, bands, origin)
    reflectance = np.full((len(table), len(bands)), np.nan, dtype=np.float32)
    for band, name in matched.items():
        reflectance[:, band] = column_numbers(table[name], name, origin)
    # Unusable bands hold what the provider left there, noise of water vapour among it.
    _check_unit(reflectance[:, np.array(bands.usable)], origin)
    with np.errstate(invalid="ignore"):
        real = (reflectance >= _MIN_REFLECTANCE) & (reflectance <= MAX_REFLECTANCE)
    reflectance[~real] = np.nan
    # A band without a single value is one the table does not have.
    measured = np.isfinite(reflectance).any(axis=0)
    if not measured.any():
        # Nothing to adapt to: the rows say so one by one.
        measured = np.isin(np.arange(len(bands)), list(matched))
    usable = np.array(bands.usable) & measured
    table_bands = BandTable(
        bands.names, bands.centers_nm, bands.fwhm_nm, tuple(bool(u) for u in usable)
    )
    used = set(matched.values())
    ignored = tuple(name for name in columns if name not in used)
    notes = [*_misspelt(table.columns, columns, used), *_absorbance(reflectance, bands)]
    if used & set(columns):
        notes = [*_names_understood(columns), *notes]
    return Spectra(reflectance, table_bands, ignored, tuple(notes))


def column_numbers(column: pd.Series, name: str, origin: str) -> NDArray[np.float32]:
    """Return a column as numbers, NaN where missing (rows,).

    Raises
    ------
    FormatError
        A value is something else.
    """
    try:
        if not pd.api.types.is_numeric_dtype(column):
            column = column.mask(column.isin(MISSING))
        return np.asarray(pd.to_numeric(column), dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise FormatError(
            f"{origin}, column {name}: {_first_line(error)}; give numbers, empty where missing"
        ) from error


def _check_unit(reflectance: NDArray[np.float32], origin: str) -> None:
    measured = reflectance[np.isfinite(reflectance)]
    above = measured[measured > MAX_REFLECTANCE]
    if above.size > _SHARE_ABOVE * measured.size:
        typical = float(np.median(above))
        if above.size < measured.size / 2 and above.max() <= _MAX_ABSORBANCE:
            raise FormatError(
                f"{origin} holds values up to {above.max():g} ({above.size} of {measured.size} "
                f"above {MAX_REFLECTANCE:g}), reflectance is a fraction between 0 and 1; this "
                "looks like absorbance log10(1/R), give R = 10 ** -absorbance"
            )
        likely = "percent" if typical <= _MAX_PERCENT else "reflectance x 10000"
        raise FormatError(
            f"{origin} holds values up to {above.max():g} ({above.size} of {measured.size} above "
            f"{MAX_REFLECTANCE:g}), reflectance is a fraction between 0 and 1; this looks like "
            f"{likely}, divide it accordingly"
        )


def _absorbance(reflectance: NDArray[np.float32], bands: BandTable) -> Iterator[str]:
    """Report that most spectra look like absorbance, log10(1 / R), instead of reflectance.

    Soils grow brighter from blue to near infrared, so their absorbance falls. What falls and is
    reflectance is dark there (water) or at 1650 nm (snow).
    """
    values = reflectance[:, np.array(bands.usable)]
    known = values[np.isfinite(values)]
    if known.size and (known > 1.0).mean() > 0.5:
        yield "more than half of the values are above 1: is it reflectance, from 0 to 1?"
        return
    nm = np.array(bands.centers_nm)
    blue, infrared, far = (
        reflectance[:, int(np.abs(nm - center).argmin())] for center in _ABSORBANCE_NM
    )
    falls = (blue > 1.2 * infrared) & (infrared > 0.15) & (far > 0.15)  # False where one is NaN
    if known.size and falls.mean() > 0.5:
        yield (
            f"{falls.sum()} of {len(falls)} spectra fall from blue to infrared like absorbance "
            f"log10(1/R), but are read as reflectance; if they are absorbance, give R = 10 ** "
            f"-absorbance"
        )
