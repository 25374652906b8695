"""Samples: spectra of tables as features, as measured and as satellites would see them.

Only spectrum and band table become features. Names are kept for splitting and pairing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.simulate.atmosphere import AtmosphereConfig, draw_sky, look_through
from deepsalt.simulate.cover import dry_vegetation, green_vegetation
from deepsalt.simulate.optics import SENSOR_NOISE, noise_sd, snr, water_absorption, wet
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import common_matrix, front_end
from deepsalt.train.data.tables import Table
from deepsalt.types import BandTable, Floats

Names = NDArray[np.str_]

LIGHT_SD = 0.1
"""Standard deviation of the log of a spectrum's illumination: slope, and errors of correction."""

DRIFT_NM = 0.5
"""Standard deviation of a spectrum's common band shift, nm: calibration and smile."""

WITH_NOISE = " with noise"
IN_THE_FIELD = " in the field"
"""Suffix of the names of views with noise."""

PIXELS = " pixels"
"""Suffix of the names of views that are simulated pixels."""

_PARTS = 10  # groups of rows with a band shift of their own
EMPTY = ""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Features with labels (s rows).

    Parameters
    ----------
    features
        From the front end, float64 (s, d).
    snv
        Common bands after SNV, float32 (s, n_common): what the published method takes.
    ec
        dS/m, NaN where unlabelled (s,).
    group, region
        Names for splitting (s,).
    site
        Name of the sample; views of one sample share it (s,).
    partner
        Site of the laboratory sample taken in this pixel, "" = none (s,).
    scene
        (s,)
    view
        View of a spectrum: ``laboratory``, ``enmap``, ``enmap with noise`` ... (s,).
    satellite, simulated
        Whether a row comes from a satellite table; whether it is simulated (s,).
    label_sd
        Standard deviation of the target as its label is known, 0 where not stated (s,).
    infrared
        Mid-infrared features of the same sample, rows of NaN where there are none, float32 (s, i);
        None: of no sample.
    """

    features: Floats
    snv: NDArray[np.float32]
    ec: Floats
    group: Names
    region: Names
    site: Names
    partner: Names
    scene: Names
    view: Names
    satellite: NDArray[np.bool_]
    simulated: NDArray[np.bool_]
    label_sd: Floats
    infrared: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return int(self.ec.size)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label (s,)."""
        return np.isfinite(self.ec)

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """Which rows are simulated pixels among laboratory samples (s,)."""
        return np.char.endswith(self.view, PIXELS)

    @property
    def has_infrared(self) -> NDArray[np.bool_]:
        """Which rows have mid-infrared features (s,)."""
        if self.infrared is None:
            return np.zeros(len(self), dtype=np.bool_)
        return np.isfinite(self.infrared[:, 0])

    @property
    def target(self) -> Floats:
        """log(EC + 0.03) (s,)."""
        return np.log(self.ec + EC_SHIFT)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Return the chosen rows."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        known = {name: column for name, column in columns.items() if column is not None}
        return replace(self, **{name: column[chosen] for name, column in known.items()})


def stack(parts: Sequence[Samples]) -> Samples:
    """Return all rows of several sample sets."""
    columns = [f.name for f in fields(Samples) if f.name != "infrared"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    return Samples(**joined, infrared=_stacked_infrared(parts))


def _stacked_infrared(parts: Sequence[Samples]) -> NDArray[np.float32] | None:
    sizes = {part.infrared.shape[1] for part in parts if part.infrared is not None}
    if not sizes:
        return None
    none = np.full((1, sizes.pop()), np.nan, dtype=np.float32)
    return np.concatenate(
        [np.repeat(none, len(p), axis=0) if p.infrared is None else p.infrared for p in parts]
    )


def as_measured(table: Table) -> Samples:
    """Return the spectra of a table as they are."""
    view = "laboratory" if table.kind == "laboratory" else _called(table.sensor)
    return _samples(table, table.reflectance, table.bands, view)


def as_mixtures(table: Table) -> Samples:
    """Return simulated pixels as helpers of laboratory samples: on no satellite's side."""
    pixels = _samples(table, table.reflectance, table.bands, f"{_called(table.sensor)}{PIXELS}")
    return replace(pixels, satellite=np.zeros(len(pixels), dtype=np.bool_))


def _samples(table: Table, reflectance: Floats, bands: BandTable, view: str) -> Samples:
    size = len(table.ec)
    satellite = table.kind != "laboratory"
    # Rows without a name are their own samples, even across tables.
    numbers = np.char.add(f"{table.sha256[:8]} row ", np.arange(size).astype(str))
    site = np.where(table.sample == EMPTY, numbers, table.sample)
    # Pixels of one laboratory sample are looks at one site, whatever their own names.
    site = np.where(table.lab_sample == EMPTY, site, table.lab_sample)
    prefix = f"{table.name} {table.sha256[:8]}/" if satellite else ""
    features, snv = features_of(reflectance, bands)
    return Samples(
        features,
        snv,
        table.ec,
        table.group,
        table.region,
        np.char.add(prefix, site) if prefix else site,
        table.lab_sample,
        table.scene,
        np.full(size, view),
        np.full(size, satellite),
        np.full(size, table.simulated),
        np.zeros(size) if table.label_sd is None else table.label_sd,
    )


def _called(sensor: str) -> str:
    """Return how views name a sensor: of a band table its file's name, not where it lies."""
    return Path(sensor).stem


def features_of(reflectance: Floats, bands: BandTable) -> tuple[Floats, NDArray[np.float32]]:
    """Return features (s, d) and common bands after SNV (s, n_common) of reflectance (s, n)."""
    known = np.nan_to_num(reflectance)
    used = np.array(bands.usable)
    common = known[:, used] @ _common(bands)[:, used].T
    centred = common - common.mean(axis=1, keepdims=True)
    deviation = np.maximum(centred.std(axis=1, keepdims=True), 1e-3)
    return front_end(bands)(known), (centred / deviation).astype(np.float32)


@lru_cache(maxsize=64)
def _common(bands: BandTable) -> Floats:
    return common_matrix(bands)


def through_sensor(table: Table, sensor: str, rng: np.random.Generator | None = None) -> Samples:
    """Return laboratory spectra as a satellite's bands would see them.

    Parameters
    ----------
    table
        Laboratory spectra.
    sensor
        Name of the sensor.
    rng
        Source of noise, illumination and drift; None: neither.

    Notes
    -----
    With noise, each tenth of the rows gets its own shift of the band centres, of which the front
    end does not know: real spectra meet a band table that is a little wrong.
    """
    bands = sensor_bands(sensor)
    seen = np.full((len(table.ec), len(bands)), np.nan)
    for part in np.array_split(np.arange(len(table.ec)), 1 if rng is None else _PARTS):
        shift = 0.0 if rng is None else float(rng.normal(0.0, DRIFT_NM))
        seen[part] = _respond(table.reflectance[part], table.bands, _shifted(bands, shift))
    if rng is not None:
        seen *= np.exp(rng.normal(0.0, LIGHT_SD, (len(table.ec), 1)))
        add_noise(seen, bands, sensor, rng)
    view = _called(sensor) if rng is None else f"{_called(sensor)}{WITH_NOISE}"
    return _samples(table, seen, _covered(bands, seen), view)


def in_the_field(
    table: Table, sensor: str, rng: np.random.Generator, max_plants: float = 0.3
) -> Samples:
    """Return laboratory spectra as a satellite might see them outdoors.

    Beside `through_sensor` with noise: a water film, green and dry plants in part of the samples,
    and the residuals of atmospheric correction, a sky for each tenth of the rows.
    """
    bands = sensor_bands(sensor)
    used = np.array(table.bands.usable)
    nm = np.array(table.bands.centers_nm)[used]
    size = len(table.ec)
    film = np.where(rng.random((size, 1)) < 0.4, rng.exponential(0.12, (size, 1)), 0.0)
    ground = wet(table.reflectance[:, used], film, water_absorption(nm))
    green, dry = (
        rng.uniform(0.0, max_plants, (size, 1)) * (rng.random((size, 1)) < 0.5) for _ in "ab"
    )
    plants = green * green_vegetation(rng, size, nm) + dry * dry_vegetation(rng, size, nm)
    outdoors = (1.0 - green - dry) * ground + plants
    seen = np.full((size, len(bands)), np.nan)
    for part in np.array_split(np.arange(size), _PARTS):
        sky = draw_sky(rng, nm, AtmosphereConfig(), sensor)
        column = rng.uniform(-1.0, 1.0, part.size)
        seen[part] = look_through(sky, outdoors[part], column, grid_nm=nm, bands=bands)
    add_noise(seen, bands, sensor, rng)
    return _samples(table, seen, _covered(bands, seen), f"{_called(sensor)}{IN_THE_FIELD}")


def _respond(reflectance: Floats, source: BandTable, target: BandTable) -> Floats:
    used = np.array(source.usable)
    response = response_matrix(
        np.array(source.centers_nm)[used], target, source_fwhm_nm=np.array(source.fwhm_nm)[used]
    )
    return reflectance[:, used] @ response.T


def add_noise(seen: Floats, bands: BandTable, sensor: str, rng: np.random.Generator) -> None:
    """Add the noise of a sensor to reflectance (n, b), in place."""
    sd = noise_sd(np.nan_to_num(seen), snr(bands.centers_nm)) * SENSOR_NOISE.get(sensor, 1.0)
    seen += rng.normal(size=seen.shape) * sd


def _covered(bands: BandTable, seen: Floats) -> BandTable:
    usable = np.array(bands.usable) & np.isfinite(seen).all(axis=0)
    return BandTable(bands.names, bands.centers_nm, bands.fwhm_nm, tuple(bool(u) for u in usable))


def _shifted(bands: BandTable, shift_nm: float) -> BandTable:
    centers = tuple(center + shift_nm for center in bands.centers_nm)
    return BandTable(bands.names, centers, bands.fwhm_nm, bands.usable)
