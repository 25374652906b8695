"""Field samples: a table of places with a measured electrical conductivity (EC)."""

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.conductivity import MAX_EC_DS_M, SPELLINGS, TO_DS_M
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

_SALINE_DS_M = 2.0
_DOUBTED_DS_M = 8.0  # half of the samples above it: strongly saline, or another unit
_DEPTH = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(?:(?:-|\u2013|to)\s*(\d+(?:[.,]\d+)?))?\s*(?:cm)?\s*")
_DEPTHS = {"top": 0.0, "topsoil": 0.0, "surface": 0.0, "sub": 20.0, "subsoil": 20.0}
"""Top of layers that are named, cm: AfSIS takes its subsoils below 20 cm."""
_CSV = (".csv", ".csv.gz")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ].*")
_DATE = re.compile(r"\d{8}|.*[-/.].*")  # `%Y%m%d` also takes fewer digits
_POINT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d+,\d+")
_SUFFIXES = {"top": "cm", "bottom": "cm", "uncertainty": "m"}
_TITLES = {
    "lon": "longitude",
    "lat": "latitude",
    "ec": "EC",
    "top": "top of the layer",
    "bottom": "bottom of the layer",
    "uncertainty": "uncertainty of the position",
    "sd": "log_ec_sd",
}


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
        Unit where a row states none, one of `SPELLINGS`. Default: dS/m.
    method
        Method where a row states none.
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
    table, commas = _read(path)
    columns = _columns(table, path, rules)
    text = {what: _text(table[name]) for what, name in columns.items()}
    size = len(table)
    empty = np.full(size, "", dtype=np.str_)
    number = {what: _numbers(text.get(what, empty), what, commas) for what in _TITLES}
    names = _named(text.get("id", empty))
    units, factor, without_unit = _units(text.get("unit", empty), rules, path)
    ec = number["ec"] * factor
    top, bottom, wrong_depth = _layers(number["top"], number["bottom"], text.get("depth", empty))
    day, wrong_day = _days(table[columns["date"]] if "date" in columns else pd.Series(empty))
    lon, lat = _positions(number["lon"], number["lat"], rules, path)
    now = np.datetime64((today or datetime.now(UTC)).date(), "D")
    doubt = _doubt_of_unit(ec[np.isfinite(ec)], units)
    # The first reason of a row counts.
    reasons: list[tuple[NDArray[np.bool_], str]] = [
        (table.duplicated().to_numpy(), "the row stands twice"),
        *(
            ((text.get(what, empty) != "") & np.isnan(values), f"its {_TITLES[what]} is no number")
            for what, values in number.items()
        ),
        (~(np.isfinite(lon) & np.isfinite(lat)), "no coordinates"),
        ((np.abs(lat) > 90) | (np.abs(lon) > 180), "the coordinates are on no map"),
        (np.isnan(ec), "no EC"),
        (without_unit, "no unit, where other rows have one"),
        (ec < 0, "the EC is negative"),
        (ec > MAX_EC_DS_M, f"no soil extract has more than {MAX_EC_DS_M:.0f} dS/m"),
        (number["sd"] < 0, "its log_ec_sd is negative"),
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
        more = f"; {doubt}" if doubt else ""
        raise FormatError(
            f"{path} has no sample that can be used; the first: {names[0]}: {why[0]}{more}"
        )
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
        log_ec_sd=number["sd"][kept],
        other=pd.DataFrame({name: _text(column)[kept] for name, column in other.items()}),
        left_out=tuple(
            LeftOut(str(names[i]), "", str(why[i])) for i in np.flatnonzero(~kept).tolist()
        ),
        notes=(*([doubt] if doubt else ()), *_doubts(ec[kept], top[kept], bottom[kept], day[kept])),
    )


def _read(path: Path) -> tuple[pd.DataFrame, bool]:
    """Return a table with all cells as they are, and whether numbers may have decimal commas."""
    check_kind(path)
    commas = False
    try:
        require_regular(path)
        if path.name.lower().endswith(_CSV):
            separator = _separator(path)
            commas = separator != ","
            table = pd.read_csv(
                path,
                sep=separator,
                header=None,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
            )
            table = table.set_axis(table.iloc[0].astype(str), axis=1).iloc[1:]
            table = table.reset_index(drop=True)
        else:
            table = pd.read_parquet(path)
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(
            f"table {path} cannot be read ({first}); give a CSV, whose rows have as many fields as "
            f"its header, or a Parquet file"
        ) from error
    if table.empty:
        raise FormatError(f"table {path} has no rows; give at least one sample")
    names = [str(name).strip() for name in table.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FormatError(f"table {path} has two columns named {twice[0]!r}; drop one of them")
    return table.set_axis(names, axis=1), commas


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


def _numbers(text: NDArray[np.str_], what: str, commas: bool) -> Floats:
    """Return numbers, NaN where there is none; some may have their unit behind them."""
    values = np.full(len(text), np.nan)
    for i, each in enumerate(text.tolist()):
        plain = each.lower().removesuffix(_SUFFIXES.get(what, "")).strip()
        if commas and _COMMA.fullmatch(plain):
            plain = plain.replace(",", ".")
        if _POINT.fullmatch(plain):
            values[i] = float(plain)
    return values


def _named(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return names, for rows without one their number in the table."""
    numbers = np.char.add("row ", np.arange(1, len(names) + 1).astype(str))
    return np.where(names == "", numbers, names)


def _units(
    units: NDArray[np.str_], rules: SampleRules, path: Path
) -> tuple[NDArray[np.str_], Floats, NDArray[np.bool_]]:
    """Return units in lower case, factors to dS/m, and rows without one beside rows with one."""
    lower = np.char.lower(np.char.replace(units, " ", ""))
    without = (lower == "") & (lower != "").any() & (rules.unit is None)
    lower = np.where(lower == "", (rules.unit or "").lower().replace(" ", ""), lower)
    unknown = (lower != "") & ~np.isin(lower, list(SPELLINGS))
    if unknown.any():
        raise FormatError(
            f"EC of {path} has the unit {str(lower[unknown][0])!r}; give one of dS/m, mS/cm, "
            f"mmho/cm, mS/m, uS/cm"
        )
    factors = [TO_DS_M[SPELLINGS.get(each, "dS/m")] for each in lower.tolist()]
    return lower, np.array(factors), without


def _doubt_of_unit(ec: Floats, units: NDArray[np.str_]) -> str:
    """Return a sentence where EC without a unit looks like another one than dS/m; else ""."""
    if not ec.size or (units != "").any():
        return ""
    median, most = float(np.median(ec)), float(ec.max())
    said = (
        f"EC has no unit, a median of {median:.3g} and at most {most:.3g}, read as dS/m; if it is"
    )
    if most > MAX_EC_DS_M:
        return f"{said} uS/cm say --ec-unit uS/cm, if mS/m --ec-unit mS/m: factors 0.001 and 0.01"
    return f"{said} mS/m say --ec-unit mS/m: a factor of 0.01" if median > _DOUBTED_DS_M else ""


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


def _days(dates: "pd.Series[str]") -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return days, NaT where none is stated, and where a date cannot be read."""
    text = pd.Series(_text(dates).astype(object)).str.replace(_MOMENT, r"\1", regex=True)
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    dated = text.where(text.str.fullmatch(_DATE), "")
    for form in _DATES:
        found = found.fillna(pd.to_datetime(dated, format=form, errors="coerce"))
    day = found.to_numpy().astype("datetime64[D]")
    return day, np.isnat(day) & (text != "").to_numpy()


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


def _doubts(ec: Floats, top: Floats, bottom: Floats, day: NDArray[np.datetime64]) -> Iterator[str]:
    without = int((np.isnan(top) & np.isnan(bottom)).sum())
    if without:
        yield f"{without} samples state no depth and are taken for surface layers"
    undated = int(np.isnat(day).sum())
    if undated:
        yield f"{undated} samples state no date; only --any-date uses them"
    if len(ec) > 1 and float(ec.min()) > _SALINE_DS_M:
        yield (
            f"all {len(ec)} samples are saline ({ec.min():.3g} dS/m or more): a model trained on "
            f"them alone cannot tell where there is no salt"
        )
