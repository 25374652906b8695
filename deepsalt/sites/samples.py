"""Field samples: a table of places with a measured electrical conductivity (EC)."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.grid import to_lonlat
from deepsalt.inputs import require_regular
from deepsalt.spectral.table import MISSING, check_kind
from deepsalt.types import Floats

NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("sample_id", "id", "sample", "ssn", "site_id", "name"),
    "lon": ("lon", "longitude", "long", "lng", "x", "easting"),
    "lat": ("lat", "latitude", "y", "northing"),
    "ec": ("ec_ds_m", "ec", "ece", "electrical_conductivity"),
    "unit": ("ec_unit", "unit"),
    "method": ("ec_method", "method"),
    "top": ("depth_top_cm", "top_cm", "depth_top", "upper_cm"),
    "bottom": ("depth_bottom_cm", "bottom_cm", "depth_bottom", "lower_cm"),
    "depth": ("depth_cm", "depth"),
    "date": ("date", "sampled", "sampling_date", "sample_date"),
    "uncertainty": ("position_uncertainty_m", "coordinateuncertaintyinmeters", "accuracy_m"),
    "lab": ("lab_sample_id",),
    "sd": ("log_ec_sd",),
}
"""Names of a column by what it holds, lower case; the first that a table has counts."""

UNITS: Mapping[str, float] = {
    "ds/m": 1.0,
    "ms/cm": 1.0,
    "mmho/cm": 1.0,
    "mmhos/cm": 1.0,
    "ms/m": 0.01,
    "us/cm": 0.001,
    "µs/cm": 0.001,
    "μs/cm": 0.001,
}
"""Factor from a unit to dS/m, lower case."""

MAX_EC_DS_M = 500.0
"""No soil extract conducts more; saturated brine has about 250 dS/m."""

_DOUBTED_DS_M = 8.0  # half of the samples above it: strongly saline, or another unit
_DEPTH = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(?:(?:-|\u2013|to)\s*(\d+(?:[.,]\d+)?))?\s*(?:cm)?\s*")
_DEPTHS = {"top": 0.0, "topsoil": 0.0, "surface": 0.0, "sub": 20.0, "subsoil": 20.0}
"""Top of layers that are named, cm: AfSIS takes its subsoils below 20 cm."""
_CSV = (".csv", ".csv.gz")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


class LeftOut(NamedTuple):
    """A sample that is not used, and why; `scene` is empty unless one scene is meant."""

    sample: str
    scene: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class FieldSamples:
    """Samples that can be looked for in scenes (n).

    Parameters
    ----------
    id
        Names (n,).
    lon, lat
        Degrees WGS84 (n,).
    ec
        Electrical conductivity, dS/m (n,).
    method
        How it was measured, such as ECe or EC1:5; "" if not stated (n,).
    top, bottom
        Of the layer, cm below the surface, NaN if not stated (n,).
    day
        When it was taken, NaT if not stated (n,) datetime64[D].
    lab_sample
        Laboratory sample of the same soil, "" if none (n,).
    log_ec_sd
        Standard deviation of log(EC + 0.03 dS/m), such as of a conversion; NaN if not stated (n,).
    other
        All other columns, as text, in the table's order.
    left_out
        Rows that cannot be used.
    notes
        What was understood or is doubtful, one sentence each.
    """

    id: NDArray[np.str_]
    lon: Floats
    lat: Floats
    ec: Floats
    method: NDArray[np.str_]
    top: Floats
    bottom: Floats
    day: NDArray[np.datetime64]
    lab_sample: NDArray[np.str_]
    log_ec_sd: Floats
    other: pd.DataFrame
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, slots=True)
class SampleRules:
    """What a table of samples means, and which samples are of use.

    Parameters
    ----------
    ec
        Column of the EC. Default: the first of `NAMES` that is there.
    unit
        Unit of all rows, a key of `UNITS`. Default: the table's column, else dS/m.
    method
        Method of rows that state none.
    crs
        CRS of the coordinates. Default: longitude and latitude, WGS84.
    begins_cm, ends_cm
        A surface layer begins no deeper than the first and ends no deeper than the second, cm.
    position_m
        Greatest uncertainty of a position, metres, where it is stated.
    """

    ec: str | None = None
    unit: str | None = None
    method: str = ""
    crs: str = "EPSG:4326"
    begins_cm: float = 5.0
    ends_cm: float = 30.0
    position_m: float = 60.0


def read_samples(path: Path, rules: SampleRules, *, today: datetime | None = None) -> FieldSamples:
    """Read a table of field samples.

    Parameters
    ----------
    path
        CSV (.csv, .csv.gz; separated by commas, semicolons or tabs; decimal points or commas) or
        Parquet.
    rules
        What its columns mean.
    today
        Later dates cannot be. Default: now.

    Raises
    ------
    FormatError
        The table is unreadable or lacks a column; a unit is unknown; all coordinates are projected
        or swapped; or no row can be used.
    """
    table = _read(path)
    columns = _columns(table, path, rules)
    text = {what: _text(table[name]) for what, name in columns.items()}
    size = len(table)
    empty = np.full(size, "", dtype=np.str_)
    number = {
        what: _numbers(text[what]) if what in text else np.full(size, np.nan)
        for what in ("lon", "lat", "ec", "top", "bottom", "uncertainty", "sd")
    }
    names = _named(text.get("id", empty))
    unit, factor = _units(text.get("unit", empty), rules, path)
    ec = number["ec"] * factor
    top, bottom, wrong_depth = _layers(number["top"], number["bottom"], text.get("depth", empty))
    day, wrong_day = _days(text.get("date", empty))
    lon, lat = _positions(number["lon"], number["lat"], rules, path)
    now = np.datetime64((today or datetime.now(UTC)).date(), "D")
    repeated = table.duplicated().to_numpy()
    # The first reason of a row counts.
    reasons: list[tuple[NDArray[np.bool_], str]] = [
        (repeated, "the row stands twice"),
        (~(np.isfinite(lon) & np.isfinite(lat)), "no coordinates"),
        ((np.abs(lat) > 90) | (np.abs(lon) > 180), "the coordinates are on no map"),
        (np.isnan(ec), "no EC"),
        (ec < 0, "the EC is negative"),
        (ec > MAX_EC_DS_M, f"no soil extract has more than {MAX_EC_DS_M:.0f} dS/m"),
        (wrong_day, "the date cannot be read; write YYYY-MM-DD"),
        (day > now, "the date is in the future"),
        (wrong_depth, "the depth cannot be read; write 0-20"),
        (top > rules.begins_cm, f"the layer begins below {rules.begins_cm:g} cm"),
        (bottom > rules.ends_cm, f"the layer ends below {rules.ends_cm:g} cm"),
        (
            number["uncertainty"] > rules.position_m,
            f"its position is known to more than {rules.position_m:g} m only",
        ),
    ]
    why = np.full(size, "", dtype=object)
    for is_so, reason in reversed(reasons):
        why[is_so] = reason
    kept = why == ""
    if not kept.any():
        raise FormatError(f"{path} has no sample that can be used; the first: {names[0]}: {why[0]}")
    method = text.get("method", empty)
    other = table.drop(columns=list(columns.values()))
    return FieldSamples(
        id=names[kept],
        lon=lon[kept],
        lat=lat[kept],
        ec=ec[kept],
        method=np.where(method == "", rules.method, method)[kept],
        top=top[kept],
        bottom=bottom[kept],
        day=day[kept],
        lab_sample=text.get("lab", empty)[kept],
        log_ec_sd=np.where(number["sd"] >= 0, number["sd"], np.nan)[kept],
        other=other[kept].reset_index(drop=True),
        left_out=tuple(
            LeftOut(str(names[i]), "", str(why[i])) for i in np.flatnonzero(~kept).tolist()
        ),
        notes=tuple(_doubts(ec[kept], unit, top[kept], bottom[kept], day[kept])),
    )


def _read(path: Path) -> pd.DataFrame:
    """Return a table with all cells as they are, text where it is text."""
    check_kind(path)
    try:
        require_regular(path)
        if path.name.lower().endswith(_CSV):
            separator = _separator(path)
            table = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
        else:
            table = pd.read_parquet(path)
    except (OSError, EOFError, ValueError, csv.Error) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(
            f"table {path} cannot be read ({first}); give a CSV or Parquet file"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):
        raise FormatError(
            f"table {path} has rows with more fields than its header has names; name every column, "
            "and separate columns by semicolons where numbers have decimal commas"
        )
    if table.empty:
        raise FormatError(f"table {path} has no rows; give at least one sample")
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    return table


def _separator(path: Path) -> str:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
    return max(",;\t", key=header.count)


def _columns(table: pd.DataFrame, path: Path, rules: SampleRules) -> dict[str, str]:
    """Return the column of each thing that the table has."""
    by_lower = {str(name).lower(): str(name) for name in reversed(list(table.columns))}
    found = {
        what: next(by_lower[name] for name in names if name in by_lower)
        for what, names in NAMES.items()
        if any(name in by_lower for name in names)
    }
    if rules.ec is not None:
        if rules.ec not in table.columns:
            raise FormatError(f"{path} has no column {rules.ec}; it has {_listed(table)}")
        found["ec"] = rules.ec
    for what, title in (("lon", "longitude"), ("lat", "latitude"), ("ec", "EC")):
        if what not in found:
            more = ", or name it with --ec COLUMN" if what == "ec" else ""
            raise FormatError(
                f"{path} has no column of the {title} ({', '.join(NAMES[what])}); it has "
                f"{_listed(table)}: rename one{more}"
            )
    return found


def _listed(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")


def _text(column: pd.Series) -> NDArray[np.str_]:
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    return text.where(~text.isin(MISSING), "").to_numpy(dtype=np.str_)


def _numbers(text: NDArray[np.str_]) -> Floats:
    """Return numbers with a decimal point or comma, NaN where there is none."""
    points = pd.Series(text.astype(object)).str.replace(",", ".", regex=False)
    return np.asarray(pd.to_numeric(points, errors="coerce"), dtype=np.float64)


def _named(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return names, for rows without one their number in the table."""
    numbers = np.char.add("row ", np.arange(1, len(names) + 1).astype(str))
    return np.where(names == "", numbers, names)


def _units(
    units: NDArray[np.str_], rules: SampleRules, path: Path
) -> tuple[str | None, Floats | float]:
    """Return the one unit that is stated, if any, and the factor to dS/m."""
    if rules.unit is not None:
        units = np.full(len(units), rules.unit)
    lower = np.char.lower(np.char.replace(units, " ", ""))
    unknown = (lower != "") & ~np.isin(lower, list(UNITS))
    if unknown.any():
        raise FormatError(
            f"{path} has the unit {str(units[unknown][0])!r}; give one of dS/m, mS/cm, mmho/cm, "
            f"mS/m, uS/cm"
        )
    if not (lower != "").any():
        return None, 1.0
    return str(units[lower != ""][0]), np.array([UNITS.get(each, 1.0) for each in lower.tolist()])


def _layers(
    top: Floats, bottom: Floats, depth: NDArray[np.str_]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return top and bottom, cm, and where a depth cannot be read.

    A depth is ``0-20``, the one number where a sample was taken, or a word of `_DEPTHS`.
    """
    top, bottom = top.copy(), bottom.copy()
    wrong = np.zeros(len(top), np.bool_)
    for i, text in enumerate(np.char.lower(depth).tolist()):
        if not text or not np.isnan(top[i]):
            continue
        if match := _DEPTH.fullmatch(text):
            top[i], bottom[i] = (
                float(each.replace(",", ".")) for each in (match[1], match[2] or match[1])
            )
        elif text in _DEPTHS:
            top[i] = _DEPTHS[text]
        else:
            wrong[i] = True
    return top, bottom, wrong


def _days(dates: NDArray[np.str_]) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return days, NaT where none is stated, and where a date cannot be read."""
    text = pd.Series(dates.astype(object))
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    for form in _DATES:
        found = found.fillna(pd.to_datetime(text, format=form, errors="coerce"))
    day = found.to_numpy().astype("datetime64[D]")
    return day, np.isnat(day) & (dates != "")


def _positions(x: Floats, y: Floats, rules: SampleRules, path: Path) -> tuple[Floats, Floats]:
    """Return longitude and latitude; refuse what all rows show to be something else."""
    if rules.crs != "EPSG:4326":
        lon, lat = to_lonlat(rules.crs, x, y)
        return np.where(np.isfinite(lon), lon, np.nan), np.where(np.isfinite(lat), lat, np.nan)
    known = np.isfinite(x) & np.isfinite(y)
    if known.any():
        if (np.abs(x[known]) > 360).all() or (np.abs(y[known]) > 360).all():
            raise FormatError(
                f"{path} has coordinates such as {x[known][0]:g}, {y[known][0]:g}, which are metres"
                f" and not degrees; give their CRS, such as --crs EPSG:32644"
            )
        beyond = np.abs(y[known]) > 90
        if beyond.mean() > 0.5 and (np.abs(x[known]) <= 90).all():
            raise FormatError(
                f"{path} has latitudes such as {y[known][beyond][0]:g}; longitude and latitude look"
                f" swapped, rename the two columns"
            )
    return x, y


def _doubts(
    ec: Floats,
    unit: str | None,
    top: Floats,
    bottom: Floats,
    day: NDArray[np.datetime64],
) -> Iterator[str]:
    median = float(np.median(ec))
    if unit is None and median > _DOUBTED_DS_M:
        yield (
            f"EC has no unit and a median of {median:.3g}, read as dS/m; if these are mS/m say "
            f"--ec-unit mS/m, which divides them by 100"
        )
    without = int((np.isnan(top) & np.isnan(bottom)).sum())
    if without:
        yield f"{without} samples state no depth and are taken for surface layers"
    undated = int(np.isnat(day).sum())
    if undated:
        yield f"{undated} samples state no date; only --any-date uses them"
    if len(ec) > 1 and float(ec.min()) > 2.0:
        yield (
            f"all {len(ec)} samples are saline ({ec.min():.3g} dS/m or more): a model trained on "
            f"them alone cannot tell where there is no salt"
        )
