"""The cells of a mosaic under field samples: nearest in time, with an estimate, shared or alone."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.accuracy.methods import Harmonised, harmonise
from deepsalt.conductivity import EC_SHIFT, Conversion
from deepsalt.errors import UsageError
from deepsalt.grid import to_lonlat
from deepsalt.grid.georef import grid_of_layers
from deepsalt.layers import CHANCE, CHANCE_COLUMNS, THRESHOLDS_DS_M
from deepsalt.model.marks import Marks
from deepsalt.sites.look import cells_at, in_words
from deepsalt.sites.rows import UNDATED
from deepsalt.sites.samples import FieldSamples, LeftOut
from deepsalt.types import REJECTING, Floats, QualityFlag

BESIDE = "outside the mosaic"
"""Why a sample has no cell where the mosaic has none."""

EMPTY = "the mosaic has no estimate there, and does not say why"

SEEN_ID = "the model was trained on it: its name is in the card"
SEEN_PLACE = "the model was trained on its place, or within 100 m of it"
"""Why a sample does not count."""

_LAYERS = ("salinity", "salinity_lower", "salinity_upper")


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which periods and labels count.

    Parameters
    ----------
    days
        Greatest number of days from a sample to the period of its cell; None: any, dates that are
        missing too.
    period
        A day within the only period that counts. Default: of all, the one nearest to the sample.
    conversion
        From the samples' method to the map's.
    trained
        What the map's model was trained on, which does not count; None: it is not known.
    """

    days: float | None = 30.0
    period: np.datetime64 | None = None
    conversion: Conversion | None = None
    trained: Marks | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells with an estimate and a label (c).

    Parameters
    ----------
    period, row, column
        Indices in the opened mosaic (c,).
    lon, lat
        Of the cell's centre, degrees WGS84 (c,).
    ec
        Label, dS/m: from the mean of log(EC + `EC_SHIFT`) of the cell's samples (c,).
    samples
        Number of them (c,).
    names
        Of them, joined (c,).
    squares
        Their squared deviations from that mean, summed (c,).
    stated_sd
        Standard deviation of the logarithm of one sample, as the table states it; NaN if not (c,).
    conversion_sd
        Of the conversion's error, 0 without one; the samples of a cell share it (c,).
    estimate, lower, upper
        Of the map, dS/m (c,).
    chances
        Of the map, by name of `CHANCE_COLUMNS` (c,); none where it has no `p_above`.
    flags
        `QualityFlag` bits, those that advise (c,).
    """

    period: NDArray[np.intp]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    lon: Floats
    lat: Floats
    ec: Floats
    samples: NDArray[np.intp]
    names: NDArray[np.str_]
    squares: Floats
    stated_sd: Floats
    conversion_sd: Floats
    estimate: Floats
    lower: Floats
    upper: Floats
    chances: Mapping[str, Floats]
    flags: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.ec)

    @property
    def label_sd(self) -> Floats:
        """Standard deviation of the logarithm of the label's error; 0 where nothing is known (c,).

        What is stated of samples shrinks with their number; a conversion's error is the soil's, and
        does not.
        """
        stated = np.nan_to_num(self.stated_sd) ** 2 / self.samples
        return np.asarray(np.sqrt(stated + self.conversion_sd**2))


@dataclass(frozen=True)
class Matched:
    """Samples and cells.

    Parameters
    ----------
    cells
        Cells with at least one sample.
    samples
        Rows of the table of samples.
    matched
        How many of them a cell holds.
    unmatched
        The others by reason, most first.
    left_out
        Each of the others, sorted.
    harmonised
        How labels and map compare.
    """

    cells: Cells
    samples: int
    matched: int
    unmatched: Mapping[str, int]
    left_out: tuple[LeftOut, ...] = field(repr=False)
    harmonised: Harmonised = field(repr=False)


def match(samples: FieldSamples, mosaic: xr.Dataset, pairing: Pairing) -> Matched:
    """Match samples with the cells of a mosaic that hold them.

    Only cells that have an estimate count, so a cloud, water or plants over a sample leave it out.
    Samples that share a cell are one label.

    Parameters
    ----------
    samples
        The samples.
    mosaic
        As `deepsalt.open_mosaic` opens a store or an export.
    pairing
        Which periods and labels count.

    Raises
    ------
    UsageError
        No period holds the day that is asked for, or there is nothing to convert.
    GridError
        The mosaic's CRS cannot be used.
    """
    stated = str(mosaic["salinity"].attrs.get("ec_method", ""))
    harmonised = harmonise(samples.ec, samples.method, stated, pairing.conversion)
    reason = _trained_on(samples, pairing.trained)
    reason[reason == ""] = harmonised.reason[reason == ""]
    grid = grid_of_layers(mosaic)
    row, column = cells_at(grid, samples.lon, samples.lat)
    period, why_not = _periods(samples, mosaic, pairing)
    reason[(reason == "") & (row < 0)] = BESIDE
    reason[reason == ""] = why_not[reason == ""]
    open_to = np.flatnonzero(reason == "")
    found = _values(mosaic, period[open_to], row[open_to], column[open_to])
    found["lon"], found["lat"] = to_lonlat(
        grid.crs, mosaic["x"].values[column[open_to]], mosaic["y"].values[row[open_to]]
    )
    reason[open_to] = _reasons(found)
    used = reason[open_to] == ""
    cells = _cells(
        samples,
        harmonised,
        open_to[used],
        {name: values[used] for name, values in found.items()},
        (period[open_to][used], row[open_to][used], column[open_to][used]),
    )
    left_out = [
        *samples.left_out,
        *(
            LeftOut(str(samples.id[i]), "", str(reason[i]))
            for i in np.flatnonzero(reason != "").tolist()
        ),
    ]
    counts = Counter(each.reason for each in left_out)
    return Matched(
        cells,
        len(samples) + len(samples.left_out),
        int(used.sum()),
        dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        tuple(sorted(left_out)),
        harmonised,
    )


def _trained_on(samples: FieldSamples, trained: Marks | None) -> NDArray[np.object_]:
    """Return which samples the model has seen, as a reason, "" for others (n,)."""
    reason = np.full(len(samples), "", dtype=object)
    if trained is not None:
        reason[trained.has_place(samples.lon, samples.lat)] = SEEN_PLACE
        reason[trained.has_id(samples.id) | trained.has_id(samples.lab_sample)] = SEEN_ID
    return reason


def _periods(
    samples: FieldSamples, mosaic: xr.Dataset, pairing: Pairing
) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Return the period of each sample and why it has none (n,)."""
    bounds = mosaic["period_bounds"].values.astype("datetime64[D]")
    allowed = np.arange(len(bounds))
    if pairing.period is not None:
        allowed = np.flatnonzero(
            (bounds[:, 0] <= pairing.period) & (pairing.period <= bounds[:, 1])
        )
        if not allowed.size:
            listed = ", ".join(f"{first} to {last}" for first, last in bounds[:5].tolist())
            raise UsageError(
                f"no period of the mosaic holds {pairing.period}; its periods are {listed}"
                f"{' ...' if len(bounds) > 5 else ''}"
            )
    apart = np.stack([_days_to(samples.day, *bounds[i]) for i in allowed], axis=1)
    best = np.argmin(np.nan_to_num(apart, nan=np.inf), axis=1)
    nearest = np.take_along_axis(apart, best[:, None], axis=1)[:, 0]
    undated = np.isnat(samples.day)
    why_not = np.full(len(samples), "", dtype=object)
    if pairing.days is not None:
        why_not[~(nearest <= pairing.days)] = f"no period within {pairing.days:g} days of it"
        why_not[undated] = UNDATED
    elif allowed.size > 1:
        why_not[undated] = f"{UNDATED}, and the mosaic has {allowed.size} periods; choose one"
    return allowed[best], why_not


def _days_to(
    day: NDArray[np.datetime64], first: np.datetime64, last: np.datetime64
) -> NDArray[np.float64]:
    """Return days from a period, 0 within it, NaN where a day is unknown."""
    before, after = ((gap).astype("timedelta64[D]") for gap in (first - day, day - last))
    gap = np.maximum(before, after)
    return np.where(np.isnat(gap), np.nan, np.maximum(gap.astype(np.float64), 0.0))


def _values(
    mosaic: xr.Dataset,
    period: NDArray[np.intp],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
) -> dict[str, NDArray[np.generic]]:
    """Return the layers of cells (k,), probabilities by threshold; only their chunks are read."""
    at = {
        name: xr.DataArray(index, dims="cell")
        for name, index in (("period", period), ("y", row), ("x", column))
    }
    names = [*_LAYERS, "quality_flags", *(name for name in (CHANCE,) if name in mosaic)]
    some = mosaic[names].isel(at).compute()
    found = {
        name: some[name].values.astype(np.uint16 if name == "quality_flags" else np.float64)
        for name in (*_LAYERS, "quality_flags")
    }
    if CHANCE in some:
        for name, threshold in zip(CHANCE_COLUMNS, THRESHOLDS_DS_M, strict=True):
            found[name] = some[CHANCE].sel(threshold=threshold).values.astype(np.float64)
    return found


def _reasons(found: Mapping[str, NDArray[np.generic]]) -> NDArray[np.object_]:
    """Return why cells have no estimate, "" where they have one (k,)."""
    reason = np.full(len(found["salinity"]), "", dtype=object)
    for i in np.flatnonzero(~np.isfinite(found["salinity"].astype(np.float64))).tolist():
        rejected = QualityFlag(int(found["quality_flags"][i]) & int(REJECTING))
        reason[i] = in_words(rejected) if rejected else EMPTY
    return reason


def _cells(
    samples: FieldSamples,
    harmonised: Harmonised,
    used: NDArray[np.intp],
    found: Mapping[str, NDArray[np.generic]],
    where: tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]],
) -> Cells:
    """Combine samples (k) that share a cell: `where` has its period, row and column."""
    members = defaultdict[tuple[int, ...], list[int]](list)
    for place, key in enumerate(zip(*(index.tolist() for index in where), strict=True)):
        members[key].append(place)
    keys = sorted(members)
    groups = [np.array(members[key], np.intp) for key in keys]
    first = np.array([group[0] for group in groups], np.intp)
    log_ec = np.log(harmonised.ec[used] + EC_SHIFT)
    mean = np.array([log_ec[group].mean() for group in groups])
    count = np.array([group.size for group in groups], np.intp)
    alone = harmonised.ec[used][first] if first.size else np.zeros(0)
    stated = samples.log_ec_sd[used] ** 2
    index = np.array(keys, np.intp).reshape(-1, 3)
    layers = {name: values[first] for name, values in found.items()}
    own = [float(((log_ec[group] - log_ec[group].mean()) ** 2).sum()) for group in groups]
    return Cells(
        period=index[:, 0],
        row=index[:, 1],
        column=index[:, 2],
        lon=layers["lon"].astype(np.float64),
        lat=layers["lat"].astype(np.float64),
        ec=np.where(count == 1, alone, np.maximum(np.exp(mean) - EC_SHIFT, 0.0)),
        samples=count,
        names=np.array(["+".join(sorted(samples.id[used[group]])) for group in groups], np.str_),
        squares=np.array(own),
        stated_sd=np.array([np.sqrt(stated[group].mean()) for group in groups]),
        conversion_sd=np.array([harmonised.conversion_sd[used[group]].max() for group in groups]),
        estimate=layers["salinity"].astype(np.float64),
        lower=layers["salinity_lower"].astype(np.float64),
        upper=layers["salinity_upper"].astype(np.float64),
        chances={n: layers[n].astype(np.float64) for n in CHANCE_COLUMNS if n in layers},
        flags=layers["quality_flags"].astype(np.uint16),
    )
