"""From looks of many scenes to rows of a table: which looks count, and what shares a pixel."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.sites.look import Looks
from deepsalt.sites.samples import FieldSamples, LeftOut
from deepsalt.spectral.bands import BAND_TABLES, sensor_bands
from deepsalt.types import REJECTING, Acquisition, BandTable, QualityFlag

LOG_SHIFT_DS_M = 0.03
"""Added to the EC before the logarithm, dS/m, as in the student's target."""

UNDATED = "it states no date"

_SITE_M = 100.0  # windows of 3 x 3 pixels of 30 m of two samples nearer than that may overlap
_EARTH_M = 6_371_008.8  # mean radius


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
    """

    key: str
    sensor: str
    day: np.datetime64
    cloud_pct: float
    bands: BandTable
    simulated: bool

    @classmethod
    def of(cls, scene: Acquisition) -> "SceneFacts":
        """Return the facts of a scene."""
        day = np.datetime64(scene.start.date() if scene.start else "NaT", "D")
        cloud = scene.cloud_cover_pct or 0.0
        return cls(scene.key, scene.sensor, day, cloud, scene.bands, scene.simulated)


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
        Samples of the table, and those that a row holds.
    left_out
        Samples without a row and looks that were rejected, sorted.
    """

    table: pd.DataFrame
    samples: int
    matched: NDArray[np.bool_]
    left_out: tuple[LeftOut, ...] = field(repr=False)

    @property
    def reasons(self) -> dict[str, int]:
        """Samples without a row, by the reason of their first look; most first."""
        found: dict[str, LeftOut] = {}
        matched = self.matched_names
        for each in self.left_out:
            # A look that was rejected says more than that no scene was asked.
            known = found.get(each.sample)
            if each.sample not in matched and (known is None or not known.scene):
                found[each.sample] = each
        return dict(Counter(each.reason for each in found.values()).most_common())

    @property
    def matched_names(self) -> frozenset[str]:
        """Names of the samples that a row holds."""
        return frozenset(name for names in self.table["sample_id"] for name in names.split("+"))


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
    of one method that share a pixel of a scene are one row, whose EC is the mean of the logarithm
    of EC + `LOG_SHIFT_DS_M`. Its standard deviation among them is `log_ec_spread`, that of their
    mean `log_ec_sd`; of a single sample it is what the table states.

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
    left_out = list(samples.left_out)
    left_out += [LeftOut(str(samples.id[i]), "", reason) for i, reason in reasons.items()]
    for each in sorted(seen, key=lambda one: one.scene.key):
        looks += _looks(samples, each, left_out)
    chosen = looks if all_looks else _best(looks)
    shared = defaultdict[tuple[str, int, int, str], list[_Look]](list)
    for one in chosen:
        method = str(samples.method[one.sample])
        shared[one.scene.key, one.row, one.column, method].append(one)
    site = _clusters(samples)
    rows = [_row(samples, same, site) for same in shared.values()]
    spectra = _spectra([same[0] for same in shared.values()])
    table = pd.DataFrame(rows, columns=[*_COLUMNS, *_others(samples)])
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["sample_id"], rows[i]["scene_id"]))
    table = pd.concat([table, spectra], axis=1).iloc[order].reset_index(drop=True)
    matched = np.zeros(len(samples), np.bool_)
    matched[[one.sample for one in chosen]] = True
    return Sites(table, len(samples) + len(samples.left_out), matched, tuple(sorted(set(left_out))))


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


def _looks(samples: FieldSamples, seen: Seen, left_out: list[LeftOut]) -> Iterator[_Look]:
    """Yield the looks of a scene; list what it could not show."""
    days = days_apart(samples, seen.scene, seen.samples)
    for place, sample in enumerate(seen.samples.tolist()):
        reason = seen.why_not if seen.looks is None else str(seen.looks.reason[place])
        if seen.looks is None or reason:
            left_out.append(LeftOut(str(samples.id[sample]), seen.scene.key, reason))
        else:
            yield _Look(sample, seen.scene, seen.looks, place, float(days[place]))


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


def _others(samples: FieldSamples) -> list[str]:
    """Return the names that other columns of the samples get."""
    names = map(str, samples.other.columns)
    return [f"field_{name}" if name.lower() in _COLUMNS else name for name in names]


def _row(samples: FieldSamples, same: Sequence[_Look], site: NDArray[np.str_]) -> dict[str, object]:
    """Return the row of samples that share a pixel of a scene."""
    chosen = np.array(sorted(each.sample for each in same))
    first = same[0]
    scene = first.scene
    log_ec = np.log(samples.ec[chosen] + LOG_SHIFT_DS_M)
    spread = float(log_ec.std(ddof=1)) if chosen.size > 1 else np.nan
    ec = samples.ec[chosen][0] if chosen.size == 1 else np.exp(log_ec.mean()) - LOG_SHIFT_DS_M
    days = [each.days for each in same if not np.isnan(each.days)]
    row: dict[str, object] = {
        "sample_id": _joined(samples.id[chosen], "+"),
        "scene_id": scene.key,
        "sensor": scene.sensor,
        "site": site[chosen[0]],
        "lon": round(float(samples.lon[chosen].mean()), 7),
        "lat": round(float(samples.lat[chosen].mean()), 7),
        "ec_ds_m": float(f"{max(float(ec), 0.0):.6g}"),
        "log_ec_sd": _of_mean(spread, samples.log_ec_sd[chosen]),
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
    for name, column in zip(_others(samples), samples.other.columns, strict=True):
        row[name] = _joined(samples.other[column].astype(str).to_numpy(dtype=np.str_)[chosen], "|")
    return row


def _of_mean(spread: float, own: NDArray[np.float64]) -> float:
    """Return the standard deviation of samples' mean: of their spread, or their own if larger."""
    known = [spread**2] if np.isfinite(spread) else []
    if np.isfinite(own).any():
        known.append(float(np.nanmean(own**2)))
    return float(f"{np.sqrt(max(known) / own.size):.6g}") if known else np.nan


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


def _clusters(samples: FieldSamples) -> NDArray[np.str_]:
    """Return names of sites: samples that are chained by steps below `_SITE_M` share one."""
    lat, lon = np.radians(samples.lat), np.radians(samples.lon)
    points = _EARTH_M * np.stack(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1
    )
    cells = defaultdict[tuple[int, ...], list[int]](list)
    site = list(range(len(samples)))

    def first_of(sample: int) -> int:
        while site[sample] != sample:
            site[sample] = site[site[sample]]
            sample = site[sample]
        return sample

    for sample, cell in enumerate(np.floor(points / _SITE_M).astype(np.int64)):
        for step in np.ndindex(3, 3, 3):
            for other in cells.get(tuple((cell + step - 1).tolist()), ()):
                if np.linalg.norm(points[sample] - points[other]) < _SITE_M:
                    site[first_of(sample)] = first_of(other)
        cells[tuple(cell.tolist())].append(sample)
    members = defaultdict[int, list[str]](list)
    for sample, name in enumerate(samples.id.tolist()):
        members[first_of(sample)].append(name)
    return np.array([min(members[first_of(i)]) for i in range(len(site))], dtype=np.str_)
