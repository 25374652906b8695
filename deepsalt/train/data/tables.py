"""Tables to train on: laboratory spectra, satellite spectra with labels, and spectra without.

Beside the spectral columns only those named here are ever read: `sample_id`, `scene_id`, `sensor`,
`lab_sample_id`, `ec_method`, `log_ec_sd`, `simulated`, and the columns of label, suspicion, group
and region; `lon` and `lat` only name blocks of neighbours. So neither depth nor place nor chemistry
can reach a model.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.conductivity import TO_DS_M, EcUnit
from deepsalt.errors import FormatError, UsageError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.table import Spectra, read_table, spectral_columns, table_spectra
from deepsalt.spectral.transform import fill_missing, front_end
from deepsalt.train.data.columns import Columns
from deepsalt.types import BandTable

logger = logging.getLogger(__name__)

TableKind = Literal["laboratory", "satellite", "unlabelled"]

MIN_LABELS = 30
"""Fewer labelled spectra cannot be split and calibrated."""

STRONGLY_SALINE_DS_M = 8.0
BRINE_DS_M = 250.0
FRESH_DS_M = 1.0
"""Labels of no stated unit are doubted where more than half are strongly saline (the USDA class
above 8 dS/m), one exceeds saturated brine, or nine tenths of at least 30 are above 1. Soils of the
saline Xinjiang oases have a median of 5 dS/m and reach 90; ordinary soils, 0.05 to 0.6 dS/m, are 5
to 60 in mS/m."""

MAX_MISSING_SHARE = 0.1
"""A spectrum that lacks more of the usable bands is left out; holes up to that are filled."""

GROUP_COLUMNS = ("profile_id", "profile", "group", "region", "site", "country")
"""Default columns of groups: the first of these in a table. A satellite table with coordinates and
none of the first four is grouped by blocks of neighbours instead."""

_NAMED = frozenset(GROUP_COLUMNS[:4])
_PLACE = ("lon", "lat")

REGION_COLUMNS = ("region", "country")
"""Default columns of regions: the first of these that does not hold the groups."""

_SUSPECT = "ec_suspect"
_SENSOR = "sensor"
_LABEL_SD = "log_ec_sd"
_INCOMPLETE = "too many missing bands"
_DARK = "not above 0 in half the bands"
_DARK_SHARE = 0.5  # as in prediction: no spectrum of a surface


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table to train on.

    Parameters
    ----------
    path
        CSV(.gz) or Parquet.
    kind
        ``laboratory``, ``satellite`` or ``unlabelled``.
    sensor
        Band table of its spectral columns: what `sensor_bands` takes.
    group
        Column whose groups must not be split between training and test; None: the first present
        of `GROUP_COLUMNS`.
    group_elsewhere
        Whether `group` may be a column of other tables only: then the first of `GROUP_COLUMNS`.
    region
        Column of the regions; None: the first present of `REGION_COLUMNS`, else the groups.
    ec, ec_unit
        Column of the label and its unit; None: not stated, dS/m with a warning where that is
        doubtful.
    suspect
        Column that is true where the label is not to be trusted, so that the row is left out;
        None: `ec_suspect` where present.
    ec_method
        Method of the labels if the table has no column `ec_method`.
    licence, attribution
        As the source states them; they go into the card.
    by_sensor
        Whether only the rows whose column `sensor` names this sensor are of the table, as in what
        `deepsalt extract` writes.
    """

    path: Path
    kind: TableKind
    sensor: str = "lab"
    group: str | None = None
    group_elsewhere: bool = False
    region: str | None = None
    ec: str = "ec_ds_m"
    ec_unit: EcUnit | None = None
    suspect: str | None = None
    ec_method: str = "mixed or unknown"
    licence: str = "not stated"
    attribution: str = ""
    by_sensor: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown kinds and units."""
        if self.kind not in get_args(TableKind):
            raise UsageError(f"kind {self.kind!r} is not one of {', '.join(get_args(TableKind))}")
        if self.ec_unit is not None and self.ec_unit not in TO_DS_M:
            raise UsageError(f"EC unit {self.ec_unit!r} is not one of {', '.join(TO_DS_M)}")

    @classmethod
    def each(cls, text: str, kind: TableKind) -> "list[Self]":
        """Return the tables that ``TABLE@SENSOR`` or ``TABLE`` names.

        A satellite table without a sensor is one table per sensor that its column `sensor` names.

        Raises
        ------
        FormatError
            The file cannot be read.
        UsageError
            No table, or no sensor where one is needed.
        """
        path = Path(text)
        if kind == "laboratory":
            return [cls.parse(text, kind)]
        if path.is_file() and (sensors := _sensors(path)):
            return [cls(path, kind, sensor, by_sensor=True) for sensor in sensors]
        spec = cls.parse(text, kind)
        is_part = spec.path.is_file() and spec.sensor in _sensors(spec.path)
        return [replace(spec, by_sensor=is_part)]

    @classmethod
    def parse(cls, text: str, kind: TableKind) -> Self:
        """Return the table that ``TABLE@SENSOR`` names; of a laboratory table also ``TABLE``.

        The last ``@`` separates, unless the whole is a file.

        Raises
        ------
        UsageError
            No table, or no sensor where one is needed.
        """
        path, at, sensor = text.rpartition("@")
        if not at or Path(text).is_file():
            path = text
            sensor = "lab" if kind == "laboratory" else ""
        if not path or not sensor:
            raise UsageError(
                f"{text!r} does not name a table and its sensor; give TABLE@SENSOR, such as "
                f"sites.csv@enmap, or a table with a column sensor, as `deepsalt extract` writes it"
            )
        return cls(Path(path), kind, sensor)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Spectra of one table, checked and complete (s rows, n bands).

    Parameters
    ----------
    name, kind, sensor
        File name, kind and sensor of the table.
    bands
        (n); those without a value are not usable.
    reflectance
        float64 (s, n), NaN only in bands that are not usable.
    ec
        Electrical conductivity, dS/m, NaN where unlabelled (s,).
    group, region
        Names for splitting (s,); "" only in unlabelled tables. Regions are the groups where the
        table has none.
    scene, sample, lab_sample
        `scene_id`, `sample_id` and the laboratory sample taken in the pixel, "" = none (s,).
    ec_method
        Method of the label (s,).
    simulated
        Whether the table marks it as simulated.
    sha256
        Digest of the file (hexadecimal).
    licence, attribution
        As the source states them.
    dropped
        Rows left out by reason.
    warnings
        Warnings on doubtful values that were accepted.
    group_column
        Column of `group`.
    label_sd
        Standard deviation of the label, of log(EC + 0.03): `log_ec_sd`, where it is not stated the
        median of those that are (s,); None: nowhere stated.
    position
        Longitude and latitude, degrees, of a table whose groups are to be blocks of neighbours
        (s, 2): until then its groups are sites. None: groups are as the table names them.
    place
        Longitude and latitude, degrees, NaN where a row has none (s, 2); None: no row has one.
    """

    name: str
    kind: TableKind
    sensor: str
    bands: BandTable
    reflectance: NDArray[np.float64]
    ec: NDArray[np.float64]
    group: NDArray[np.str_]
    region: NDArray[np.str_]
    scene: NDArray[np.str_]
    sample: NDArray[np.str_]
    lab_sample: NDArray[np.str_]
    ec_method: NDArray[np.str_]
    simulated: bool
    sha256: str
    licence: str
    attribution: str
    dropped: dict[str, int]
    warnings: tuple[str, ...]
    group_column: str = ""
    label_sd: NDArray[np.float64] | None = None
    position: NDArray[np.float64] | None = None
    place: NDArray[np.float64] | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label (s,)."""
        return np.isfinite(self.ec)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Return the chosen rows."""
        per_row = (
            field.name
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        )
        return replace(self, **{name: getattr(self, name)[rows] for name in per_row})


def read_training_table(spec: TableSpec) -> Table:
    """Read and check one table.

    Raises
    ------
    FormatError
        A column is missing; spectra do not fit the sensor or are not reflectance; a label is no
        number from 0 to `MAX_EC_DS_M`; a group is empty; a sample stands twice (other than in
        several scenes); only some rows are simulated; no complete spectrum remains,
        or all are the same.
    """
    origin = str(spec.path)
    frame = read_table(spec.path, keep_text=True).reset_index(drop=True)
    if spec.by_sensor:
        frame = _of_sensor(frame, spec.sensor)
    spectra = table_spectra(frame, sensor_bands(spec.sensor), origin)
    try:
        front_end(spectra.bands)
    except FormatError as error:
        raise FormatError(f"{origin}: {error}") from error
    every = Columns(frame, origin)
    suspect = _suspects(every, spec)
    rows = every.take(~suspect)
    if spec.kind != "unlabelled":
        rows.refuse_repeats(("sample_id", "scene_id")[: 1 + (spec.kind == "satellite")])
    ec, warnings = _labels(rows, spec)
    position = _positions(rows, spec)
    group, region, doubts = _groups(rows, spec, position)
    method = rows.text("ec_method")
    reflectance, reason = _complete(spectra, ~suspect)
    counts = {"suspect label": int(suspect.sum())}
    counts |= {why: int((reason == why).sum()) for why in (_INCOMPLETE, _DARK)}
    table = Table(
        name=spec.path.name,
        kind=spec.kind,
        sensor=spec.sensor,
        bands=spectra.bands,
        reflectance=reflectance,
        ec=ec,
        group=group,
        region=region,
        scene=rows.text("scene_id"),
        sample=_named(rows) if spec.by_sensor else rows.text("sample_id"),
        lab_sample=rows.text("lab_sample_id"),
        ec_method=np.where(method == "", spec.ec_method, method),
        simulated=_simulated(rows),
        sha256=hashlib.sha256(spec.path.read_bytes()).hexdigest(),
        licence=spec.licence,
        attribution=spec.attribution,
        dropped={why: count for why, count in counts.items() if count},
        warnings=(*warnings, *doubts, *(f"{spec.path.name}: {note}" for note in spectra.notes)),
        group_column=_group_column(rows, spec) or "",
        label_sd=_label_sd(rows, spec),
        position=position,
        place=_places(rows),
    ).take(reason == "")
    return _announced(table, origin)


def _sensors(path: Path) -> list[str]:
    """Return the sensors that a table's column `sensor` names, sorted; none without the column."""
    frame = read_table(path, keep_text=True)
    if _SENSOR not in frame.columns:
        return []
    sensors = Columns(frame, str(path)).filled(_SENSOR, "give TABLE@SENSOR")
    return sorted(set(sensors.tolist()))


def _of_sensor(frame: pd.DataFrame, sensor: str) -> pd.DataFrame:
    """Return the rows of a sensor, without the columns of other sensors' bands."""
    rows = frame[frame[_SENSOR].astype(str).str.strip() == sensor]
    empty = [name for name in spectral_columns(frame.columns) if rows[name].isna().all()]
    return rows.drop(columns=empty)


def _named(rows: Columns) -> NDArray[np.str_]:
    """Return names of samples; rows without one are named by their place in the file."""
    names = rows.text("sample_id")
    numbers = np.char.add("row ", np.asarray(rows.frame.index + 1).astype(str))
    return np.where(names == "", numbers, names)


def _suspects(rows: Columns, spec: TableSpec) -> NDArray[np.bool_]:
    if spec.kind == "unlabelled":  # whose label it is does not matter there
        return np.zeros(len(rows.frame), dtype=np.bool_)
    if spec.suspect is not None:
        rows.require(spec.suspect, "name another column of suspects, or none")
    return rows.flags(spec.suspect or _SUSPECT)


def _labels(rows: Columns, spec: TableSpec) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the labels, dS/m, and what is doubtful about their unit."""
    if spec.kind == "unlabelled":
        return np.full(len(rows.frame), np.nan), ()
    ec = rows.labels(spec.ec, spec.ec_unit)
    known = ec[np.isfinite(ec)]
    if spec.ec_unit is not None or not known.size:
        return ec, ()
    low, median = (float(np.quantile(known, share)) for share in (0.1, 0.5))
    highest = float(known.max())
    fresh = known.size < MIN_LABELS or low < FRESH_DS_M
    if fresh and median <= STRONGLY_SALINE_DS_M and highest <= BRINE_DS_M:
        return ec, ()
    return ec, (
        f"{spec.path.name}, column {spec.ec}: labels have a median of {median:.3g} and reach "
        f"{highest:.3g}, which looks like mS/m; they are read as dS/m, give --ec-unit dS/m or "
        f"--ec-unit mS/m to settle it",
    )


def _label_sd(rows: Columns, spec: TableSpec) -> NDArray[np.float64] | None:
    """Return how well labels are known; refuse what is no standard deviation."""
    if spec.kind == "unlabelled" or _LABEL_SD not in rows:
        return None
    values = rows.numbers(_LABEL_SD, "leave it empty where it is not known")
    known = values[np.isfinite(values)]
    # One that is not stated is not exact.
    return np.where(np.isnan(values), np.median(known), values) if known.any() else None


def _positions(rows: Columns, spec: TableSpec) -> NDArray[np.float64] | None:
    """Return longitude and latitude (s, 2) where they name the groups."""
    names = set(rows.frame.columns)
    if spec.kind != "satellite" or spec.group is not None or _NAMED & names:
        return None
    position = _places(rows)
    return position if position is not None and np.isfinite(position).all() else None


def _places(rows: Columns) -> NDArray[np.float64] | None:
    """Return longitude and latitude, NaN where they are on no map (s, 2); None without columns."""
    if not set(_PLACE) <= set(rows.frame.columns):
        return None
    columns = [pd.to_numeric(pd.Series(rows.text(name)), errors="coerce") for name in _PLACE]
    place = np.stack(columns, axis=1).astype(np.float64)
    beyond = ~(np.abs(place) <= (180.0, 90.0)).all(axis=1)
    place[beyond] = np.nan
    return place


def _groups(
    rows: Columns, spec: TableSpec, position: NDArray[np.float64] | None
) -> tuple[NDArray[np.str_], NDArray[np.str_], tuple[str, ...]]:
    """Return groups, regions and what is doubtful about them."""
    if position is not None:
        site = rows.text("site")
        place = np.char.add(position[:, 0].astype(str), position[:, 1].astype(str))
        names = np.where(site == "", place, site)
        return names, names, ()
    group = _group_column(rows, spec)
    doubts: tuple[str, ...] = ()
    if spec.group not in (None, group):
        doubts = (f"{spec.path.name} has no column {spec.group}; using {group} instead",)
    if spec.kind == "unlabelled":
        # Nothing is scored on them; but where regions are known, those left out stay unseen.
        region = spec.region or _first_of(REGION_COLUMNS, rows) or group
        return rows.text(group or ""), rows.text(region or ""), ()
    if group is None:
        raise FormatError(
            f"{rows.origin} has no column of groups ({', '.join(GROUP_COLUMNS)}); {rows.found()}, "
            f"name its column of profiles or regions with --group COLUMN"
        )
    groups = rows.filled(group, "name another column by --group COLUMN")
    if spec.region is not None:
        return groups, rows.filled(spec.region, "name another column of regions"), doubts
    region = _first_of([name for name in REGION_COLUMNS if name != group], rows)
    if region is None:
        return groups, groups, doubts
    regions = rows.text(region)
    empty = int((regions == "").sum())
    if not empty:
        return groups, regions, doubts
    doubt = (
        f"{spec.path.name}, column {region} is empty in {empty} rows; treating each group as a "
        f"region"
    )
    return groups, groups, (*doubts, doubt)


def _group_column(rows: Columns, spec: TableSpec) -> str | None:
    if spec.group is not None and (spec.group in rows or not spec.group_elsewhere):
        return spec.group
    return _first_of(GROUP_COLUMNS, rows)


def _first_of(names: Sequence[str], rows: Columns) -> str | None:
    return next((name for name in names if name in rows), None)


def _simulated(rows: Columns) -> bool:
    flags = rows.flags("simulated")
    if flags.any() and not flags.all():
        raise FormatError(
            f"{rows.origin} has {flags.sum()} simulated rows among {flags.size}; give simulated "
            f"and measured spectra as two tables"
        )
    return bool(flags.size and flags.all())


def _complete(
    spectra: Spectra, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Return the chosen spectra with small holes filled, and why a row is left out or ""."""
    usable = np.array(spectra.bands.usable)
    reflectance = spectra.reflectance[chosen]
    values = np.ascontiguousarray(reflectance[:, usable].T)
    missing = np.isnan(values)
    incomplete = missing.mean(axis=0) > MAX_MISSING_SHARE
    fill_missing(values, missing & ~incomplete, np.array(spectra.bands.centers_nm)[usable])
    incomplete |= np.isnan(values).any(axis=0)  # a whole window is missing
    with np.errstate(invalid="ignore"):
        dark = (values <= 0).mean(axis=0) >= _DARK_SHARE
    reflectance[:, usable] = values.T
    reason = np.where(incomplete, _INCOMPLETE, np.where(dark, _DARK, ""))
    return reflectance.astype(np.float64), reason


def _announced(table: Table, origin: str) -> Table:
    """Log doubtful and skipped rows; refuse a table without remaining rows."""
    left_out = ", ".join(f"{count} {why}" for why, count in table.dropped.items())
    if not table.sample.size:
        raise FormatError(
            f"{origin} has no complete spectrum ({left_out}); "
            f"at most {MAX_MISSING_SHARE:.0%} of the sensor's bands may be missing"
        )
    if table.sample.size > 1 and not np.nanmax(np.ptp(table.reflectance, axis=0)):
        raise FormatError(
            f"{origin}: all {table.sample.size} spectra are equal, so nothing can be learned; "
            f"give other spectra"
        )
    for warning in table.warnings:
        logger.warning(warning)
    if left_out:
        logger.info("%s: %d rows read; left out: %s", table.name, table.sample.size, left_out)
    return table
