"""From looks of many scenes to rows of a table: which looks count, and what shares a pixel."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.grid import chained, ground_size_m, on_sphere
from deepsalt.sites.look import NOTHING, Looks
from deepsalt.sites.samples import FieldSamples, LeftOut
from deepsalt.spectral.bands import BAND_TABLES, sensor_bands
from deepsalt.types import REJECTING, Acquisition, BandTable, Floats, QualityFlag

UNREADABLE = "its scene could not be read"
_UNREAD = "not read: "
UNDATED = "it states no date"

_BAND = re.compile(r"r\d+(?:\.\d+)?")  # how columns of bands are named
_SITE_PX = 3.4  # windows of 3 x 3 pixels of two samples that are nearer may overlap


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What rows say of a scene.

    Parameters
    ----------
    key, sensor
        Its key, and its sensor.
    day
        Day of the acquisition; NaT if unknown.
    cloud_pct
        Clouds, percent; 0 if unknown.
    bands
        Its bands.
    simulated
        Whether its pixels were simulated.
    pixel_m
        Edge of its pixels on the ground, metres.
    """

    key: str
    sensor: str
    day: np.datetime64
    cloud_pct: float
    bands: BandTable
    simulated: bool
    pixel_m: float = 30.0

    @classmethod
    def of(cls, scene: Acquisition) -> "SceneFacts":
        """Return the facts of a scene."""
        day = np.datetime64(scene.start.date() if scene.start else "NaT", "D")
        cloud = scene.cloud_cover_pct or 0.0
        edge = max(ground_size_m(scene.grid))
        return cls(scene.key, scene.sensor, day, cloud, scene.bands, scene.simulated, edge)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a scene showed of some samples.

    Parameters
    ----------
    scene
        Facts of the scene.
    samples
        Indices of the samples that it was asked for (m,).
    looks
        What it showed (m); None: it could not be read.
    why_not
        Why it could not be read.
    """

    scene: SceneFacts
    samples: NDArray[np.intp]
    looks: Looks | None
    why_not: str = ""


@dataclass(frozen=True)
class Sites:
    """Rows for training, and what has none.

    Parameters
    ----------
    table
        One row per pixel and scene, sorted by sample and scene.
    samples, matched
        Rows of the table of samples, and which of those that can be used a row holds (n,).
    unmatched
        Samples without a row by the reason of their best look, most first.
    left_out
        All looks that were rejected, and samples that no scene was asked for, sorted.
    """

    table: pd.DataFrame
    samples: int
    matched: NDArray[np.bool_]
    unmatched: Mapping[str, int]
    left_out: tuple[LeftOut, ...] = field(repr=False)


def days_apart(
    samples: FieldSamples, scene: SceneFacts, chosen: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return days from samples to a scene, negative before them, NaN where a day is unknown."""
    apart = (scene.day - samples.day[chosen]).astype("timedelta64[D]")
    return np.where(np.isnat(apart), np.nan, apart.astype(np.float64))


def sites_of(
    samples: FieldSamples,
    seen: Iterable[Seen],
    reasons: Mapping[int, str],
    *,
    all_looks: bool = False,
) -> Sites:
    """Return rows of all scenes.

    Of each sample the best look counts: fewest flags that advise, then nearest in time, then
    fewest clouds in the scene, then the scene's key. Neither labels nor estimates choose. Samples
    of one method that share a pixel of a scene are one row, unless they have laboratory samples of
    their own. Its EC is the mean of the logarithm of EC + `EC_SHIFT`; `log_ec_spread` is the
    standard deviation among them. `log_ec_sd` is that of the row's label: of what samples state,
    or of the spread within all shared pixels, over the square root of their number.

    Parameters
    ----------
    samples
        The samples.
    seen
        What scenes showed.
    reasons
        Why no scene was asked for a sample, by its index.
    all_looks
        Whether all looks count, each a row of its own.
    """
    looks: list[_Look] = []
    rejected: list[_Rejected] = [
        _Rejected(i, LeftOut(str(samples.id[i]), "", reason), np.inf)
        for i, reason in reasons.items()
    ]
    for each in sorted(seen, key=lambda one: one.scene.key):
        found, without = _looks(samples, each)
        looks += found
        rejected += without
    chosen = looks if all_looks else _best(looks)
    shared = defaultdict[tuple[object, ...], list[_Look]](list)
    for one in chosen:
        own = samples.method[one.sample], samples.lab_sample[one.sample]
        shared[one.scene.key, one.row, one.column, *own].append(one)
    groups = list(shared.values())
    edge_m = max((each.scene.pixel_m for each in looks), default=0.0)
    site = _clusters(samples, _SITE_PX * edge_m)
    sd = _label_sd(samples, groups)
    rows = [_row(samples, same, site, sd) for same in groups]
    _tell_apart(rows)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["sample_id"], rows[i]["scene_id"]))
    table = pd.concat(
        [
            pd.DataFrame(rows, columns=[*_COLUMNS, *_others(samples).values()]),
            _spectra([same[0] for same in groups]),
        ],
        axis=1,
    )
    matched = np.zeros(len(samples), np.bool_)
    matched[[one.sample for one in chosen]] = True
    left_out = [*samples.left_out, *(each.told for each in rejected)]
    return Sites(
        table.iloc[order].reset_index(drop=True),
        len(samples) + len(samples.left_out),
        matched,
        _unmatched(samples, rejected, matched),
        tuple(sorted(left_out)),
    )


class _Rejected(NamedTuple):
    """A look that does not count, of a sample by its index, and how far in time it is."""

    sample: int
    told: LeftOut
    days: float


def _unmatched(
    samples: FieldSamples, rejected: Iterable[_Rejected], matched: NDArray[np.bool_]
) -> dict[str, int]:
    """Return how many samples have no row, by the reason that says most of each."""
    best: dict[int, tuple[bool, float, str, str]] = {}
    for each in rejected:
        if not matched[each.sample]:
            # That a scene has nothing there says less than what it has.
            rank = (each.told.reason == NOTHING, each.days, each.told.scene, each.told.reason)
            best[each.sample] = min(rank, best.get(each.sample, rank))
    reasons = Counter(each.reason for each in samples.left_out)
    reasons.update(
        UNREADABLE if reason.startswith(_UNREAD) else reason for *_, reason in best.values()
    )
    return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    sample: int
    scene: SceneFacts
    looks: Looks
    place: int  # in the arrays of the scene's looks
    days: float

    @property
    def row(self) -> int:
        return int(self.looks.row[self.place])

    @property
    def column(self) -> int:
        return int(self.looks.column[self.place])

    @property
    def flags(self) -> QualityFlag:
        return QualityFlag(int(self.looks.flags[self.place]) & ~int(REJECTING))

    @property
    def spectrum(self) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self.looks.reflectance[self.place]
        return values

    @property
    def spread(self) -> float:
        return float(self.looks.spread[self.place])

    @property
    def pixels(self) -> int:
        return int(self.looks.pixels[self.place])

    @property
    def rank(self) -> tuple[int, float, float, str]:
        """Sorts the looks of a sample, the best first."""
        scene = self.scene
        apart = np.inf if np.isnan(self.days) else abs(self.days)
        return int(self.flags).bit_count(), apart, scene.cloud_pct, scene.key


def _looks(samples: FieldSamples, seen: Seen) -> tuple[list[_Look], list[_Rejected]]:
    """Return the looks of a scene, and what it could not show."""
    looks, rejected = [], []
    days = days_apart(samples, seen.scene, seen.samples)
    for place, sample in enumerate(seen.samples.tolist()):
        shown = seen.looks
        reason = f"{_UNREAD}{seen.why_not}" if shown is None else str(shown.reason[place])
        if shown is None or reason:
            apart = float(np.nan_to_num(np.abs(days[place]), nan=np.inf))
            told = LeftOut(str(samples.id[sample]), seen.scene.key, reason)
            rejected.append(_Rejected(sample, told, apart))
        else:
            looks.append(_Look(sample, seen.scene, shown, place, float(days[place])))
    return looks, rejected


def _best(looks: Iterable[_Look]) -> list[_Look]:
    best: dict[int, _Look] = {}
    for each in looks:
        if each.sample not in best or each.rank < best[each.sample].rank:
            best[each.sample] = each
    return list(best.values())


_COLUMNS = (
    "sample_id",
    "scene_id",
    "sensor",
    "site",
    "lon",
    "lat",
    "ec_ds_m",
    "log_ec_sd",
    "log_ec_spread",
    "samples",
    "ec_method",
    "lab_sample_id",
    "depth_top_cm",
    "depth_bottom_cm",
    "date",
    "scene_date",
    "days",
    "flags",
    "pixels",
    "reflectance_sd",
    "row",
    "column",
    "simulated",
)


def _others(samples: FieldSamples) -> dict[str, str]:
    """Return the names that other columns of the samples get: none that stand already, or bands."""
    names: dict[str, str] = {}
    taken = set(_COLUMNS)
    for column in map(str, samples.other.columns):
        name = column
        while name.lower() in taken or _BAND.fullmatch(name):
            name = f"field_{name}"
        taken.add(name.lower())
        names[column] = name
    return names


def _label_sd(samples: FieldSamples, groups: Iterable[Sequence["_Look"]]) -> Floats:
    """Return the standard deviation of each sample's log(EC + `EC_SHIFT`) (n,).

    What samples state, else what samples in shared pixels have in common; NaN where neither is
    known.
    """
    squares = freedom = 0.0
    for same in groups:
        values = np.log(samples.ec[[each.sample for each in same]] + EC_SHIFT)
        squares += float(((values - values.mean()) ** 2).sum())
        freedom += len(same) - 1
    pooled = np.sqrt(squares / freedom) if freedom else np.nan
    return np.where(np.isnan(samples.log_ec_sd), pooled, samples.log_ec_sd)


def _tell_apart(rows: Sequence[dict[str, Any]]) -> None:
    """Give rows of one sample and scene names of their own, by method and then by number."""
    for name in ("ec_method", None):
        known = Counter((row["sample_id"], row["scene_id"]) for row in rows)
        number = Counter[tuple[str, str]]()
        for row in rows:
            key = row["sample_id"], row["scene_id"]
            if known[key] > 1:
                number[key] += 1
                row["sample_id"] += f" {row[name]}" if name else f" {number[key]}"


def _row(
    samples: FieldSamples, same: Sequence[_Look], site: NDArray[np.str_], sd: Floats
) -> dict[str, Any]:
    """Return the row of samples that share a pixel of a scene."""
    chosen = np.array(sorted(each.sample for each in same))
    first = same[0]
    scene = first.scene
    log_ec = np.log(samples.ec[chosen] + EC_SHIFT)
    spread = float(log_ec.std(ddof=1)) if chosen.size > 1 else np.nan
    ec = samples.ec[chosen][0] if chosen.size == 1 else np.exp(log_ec.mean()) - EC_SHIFT
    days = [each.days for each in same if not np.isnan(each.days)]
    row: dict[str, Any] = {
        "sample_id": _joined(samples.id[chosen], "+"),
        "scene_id": scene.key,
        "sensor": scene.sensor,
        "site": site[chosen[0]],
        "lon": round(float(samples.lon[chosen].mean()), 7),
        "lat": round(float(samples.lat[chosen].mean()), 7),
        "ec_ds_m": float(f"{max(float(ec), 0.0):.6g}"),
        "log_ec_sd": float(f"{np.sqrt((sd[chosen] ** 2).mean() / chosen.size):.6g}"),
        "log_ec_spread": float(f"{spread:.6g}"),
        "samples": int(chosen.size),
        "ec_method": samples.method[chosen[0]],
        "lab_sample_id": _joined(samples.lab_sample[chosen], "+"),
        "depth_top_cm": _least(samples.top[chosen]),
        "depth_bottom_cm": -_least(-samples.bottom[chosen]),
        "date": _joined(np.array([_day(each) for each in samples.day[chosen]]), " "),
        "scene_date": _day(scene.day),
        "days": max(days, key=abs) if days else np.nan,
        "flags": " ".join(str(flag.name).lower() for flag in first.flags),
        "pixels": first.pixels,
        "reflectance_sd": round(first.spread, 6),
        "row": first.row,
        "column": first.column,
        "simulated": scene.simulated,
    }
    for column, name in _others(samples).items():
        row[name] = _joined(samples.other[column].to_numpy(dtype=np.str_)[chosen], "|")
    return row


def _joined(words: NDArray[np.str_], mark: str) -> str:
    return mark.join(sorted({word for word in words.tolist() if word}))


def _least(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) if known.size else np.nan


def _day(day: np.datetime64) -> str:
    return "" if np.isnat(day) else str(day)


def _spectra(looks: Sequence[_Look]) -> pd.DataFrame:
    """Return reflectance per row; columns are the nominal centres of the sensors' bands."""
    names: dict[float, str] = {}
    matched: dict[str, list[float]] = {}
    for each in looks:
        scene = each.scene
        if scene.key not in matched:
            matched[scene.key] = nominal_centers(scene)
            names |= {nm: f"r{nm:g}" for nm in matched[scene.key] if nm == nm}
    columns = {name: position for position, name in enumerate(names[nm] for nm in sorted(names))}
    values = np.full((len(looks), len(columns)), np.nan)
    for i, each in enumerate(looks):
        for nm, value in zip(matched[each.scene.key], each.spectrum.tolist(), strict=True):
            if nm == nm:
                values[i, columns[names[nm]]] = value
    return pd.DataFrame(np.round(values, 6), columns=list(columns))


def nominal_centers(scene: SceneFacts) -> list[float]:
    """Return per band of a scene the centre of the sensor's own table, nm; NaN: not usable.

    Centres of a delivered scene drift by tenths of a nanometre; a table has one column per band.
    """
    centers = np.array(scene.bands.centers_nm)
    found = np.round(centers, 2)
    if scene.sensor in BAND_TABLES:
        nominal = np.array(sensor_bands(scene.sensor).centers_nm)
        usable = np.array(sensor_bands(scene.sensor).usable)
        if nominal.size == centers.size:
            found = np.where(usable, nominal, np.nan)
    return [
        float(nm) if used else float("nan")
        for nm, used in zip(found.tolist(), scene.bands.usable, strict=True)
    ]


def _clusters(samples: FieldSamples, reach_m: float) -> NDArray[np.str_]:
    """Return names of sites (n,): samples that are chained by steps below a reach share one."""
    first = chained(on_sphere(samples.lon, samples.lat), reach_m)
    members = defaultdict[int, list[str]](list)
    for sample, name in zip(first.tolist(), samples.id.tolist(), strict=True):
        members[sample].append(name)
    names = {sample: min(found) for sample, found in members.items()}
    known = Counter(names.values())
    names = {f: f"{name} {f}" if known[name] > 1 else name for f, name in names.items()}
    return np.array([names[sample] for sample in first.tolist()], dtype=np.str_)
