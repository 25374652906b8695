"""Band tables: the sensors we know, tables from files, and which bands are worth using.

The shipped tables (`sensors/*.csv`) hold nominal values; band centres of a delivered scene drift by
some tenths of a nanometre, so readers take them from the scene.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.types import BandTable

BAND_TABLES = ("enmap", "prisma", "emit", "lab")
"""Names that `sensor_bands` knows; anything else is the path of a table."""

_CENTERS = ("center_nm", "centre_nm", "wavelength_nm", "wavelength")
_WIDTHS = ("fwhm_nm", "fwhm")

_MICROMETRE_CENTERS = 100.0  # in nm it would be the far ultraviolet; in um, far beyond any of ours
_MICROMETRE_WIDTHS = 0.1  # no imaging spectrometer or laboratory instrument resolves 0.1 nm


def sensor_bands(name: str) -> BandTable:
    """Return the band table of a sensor, or read one from a CSV file.

    Parameters
    ----------
    name
        ``enmap`` (224 bands), ``prisma`` (234), ``emit`` (285), ``lab`` (180; the 10 nm grid of the
        ICRAF-ISRIC library), or the path of a CSV file with one column for the centre
        (`center_nm`, `centre_nm`, `wavelength_nm` or `wavelength`) and one for the width (`fwhm_nm`
        or `fwhm`), both in nm, and optionally `column` or `name`, and `usable` (0 or 1). `column`
        is the name that the band's column has in tables of spectra. Rows may stand in any order;
        lines that begin with ``#`` are comments.

    Raises
    ------
    FormatError
        Neither a sensor nor a readable band table; micrometres; a name or a usable band's centre
        that stands twice.
    """
    if name.lower() in BAND_TABLES:
        text = (files("deepsalt.spectral") / "sensors" / f"{name.lower()}.csv").read_text("utf-8")
        return _parse(text.splitlines(), name)
    path = Path(name)
    if not path.is_file():
        raise FormatError(
            f"{name} is neither a sensor ({', '.join(BAND_TABLES)}) nor a file; "
            "give one of these or a CSV table of centre and FWHM"
        )
    try:
        return _parse(path.read_text("utf-8-sig").splitlines(), name)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            f"{name} is not a CSV text file: {error}; give a table in UTF-8"
        ) from error


def _parse(lines: Iterable[str], origin: str) -> BandTable:
    rows = csv.DictReader(line for line in lines if line.strip() and not line.startswith("#"))
    rows.fieldnames = [field.strip().lower() for field in rows.fieldnames or []]
    _refuse_repeats(rows.fieldnames, f"band table {origin} has two columns named")
    center, width = (_column(rows.fieldnames, names, origin) for names in (_CENTERS, _WIDTHS))
    table = list(rows)
    centers, widths = (_numbers(table, column, origin) for column in (center, width))
    _refuse_micrometres(centers, widths, origin)
    names = _names(table, rows.fieldnames, origin)
    usable = tuple(_flag(row.get("usable"), origin) for row in table)
    _refuse_repeats(names, f"band table {origin} names two bands")
    # Two detectors may share a wavelength, but then only one of the two is marked usable.
    seen = (f"{nm:g} nm" for nm, used in zip(centers, usable, strict=True) if used)
    _refuse_repeats(seen, f"band table {origin} has two usable bands at")
    return BandTable(names, centers, widths, usable)


def _column(found: Sequence[str], accepted: Sequence[str], origin: str) -> str:
    for name in accepted:
        if name in found:
            return name
    raise FormatError(
        f"band table {origin} has the columns {', '.join(found) or 'none'}; "
        f"it needs one of {', '.join(accepted)}"
    )


def _names(table: list[dict[str, str]], found: Sequence[str], origin: str) -> tuple[str, ...]:
    if "column" not in found:
        return tuple(
            (row.get("name") or "").strip() or f"band_{i:03d}" for i, row in enumerate(table, 1)
        )
    names = tuple((row["column"] or "").strip() for row in table)
    if not all(names):
        raise FormatError(
            f"band table {origin} leaves the column of band {names.index('') + 1} empty; "
            "name the columns of all bands, or of none"
        )
    return names


def _flag(text: str | None, origin: str) -> bool:
    stated = (text or "1").strip().lower()
    if stated not in ("0", "1", "false", "true"):
        raise FormatError(f"band table {origin} has {text!r} under usable; give 0 or 1")
    return stated in ("1", "true")


def _numbers(table: list[dict[str, str]], column: str, origin: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(row[column]) for row in table)
    except (TypeError, ValueError) as error:
        raise FormatError(f"band table {origin}, column {column}: {error}; give numbers") from error
    if not all(map(math.isfinite, numbers)):
        first = next(i for i, number in enumerate(numbers, 1) if not math.isfinite(number))
        raise FormatError(
            f"band table {origin}, column {column}: band {first} is not finite; give numbers"
        )
    return numbers


def _refuse_repeats(values: Iterable[str], what: str) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise FormatError(f"{what} {value}; keep one of them")


def _refuse_micrometres(centers: Sequence[float], widths: Sequence[float], origin: str) -> None:
    for what, numbers, limit in (
        ("centres", centers, _MICROMETRE_CENTERS),
        ("widths", widths, _MICROMETRE_WIDTHS),
    ):
        if numbers and 0 < max(numbers) < limit:
            raise FormatError(
                f"band table {origin} has {what} of {min(numbers):g} to {max(numbers):g}, which "
                "look like micrometres; multiply them by 1000 to give nanometres"
            )


def select_bands(bands: BandTable, chosen: NDArray[np.bool_]) -> BandTable:
    """Return the table of the chosen bands, in the same order.

    Parameters
    ----------
    bands
        Table of n bands.
    chosen
        True = keep (n bands,).
    """
    kept = np.flatnonzero(chosen)
    return BandTable(
        names=tuple(bands.names[i] for i in kept),
        centers_nm=tuple(bands.centers_nm[i] for i in kept),
        fwhm_nm=tuple(bands.fwhm_nm[i] for i in kept),
        usable=tuple(bands.usable[i] for i in kept),
    )
