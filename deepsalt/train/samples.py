"""Training samples: spectra with labels, seen through one or more sensors.

Only spectrum and band table become features. Groups and regions are kept for splitting, nothing
else of a table is read.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.model.card import TrainingData
from deepsalt.simulate.optics import MixingConfig, noise_sd, snr
from deepsalt.simulate.spectra import demo_profile, draw_mixtures
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.table import read_table, table_spectra
from deepsalt.spectral.transform import front_end
from deepsalt.train.config import TO_DS_M, LabTable
from deepsalt.types import BandTable

logger = logging.getLogger(__name__)

MIN_LABELS = 30
"""Fewer labelled spectra cannot be split and calibrated."""

MAX_EC_DS_M = 500.0
"""No soil extract conducts more; saturated brine has about 250 dS/m."""

NOISE_FACTOR = {"enmap": 1.0, "prisma": 1.5}
"""Noise over that of the EnMAP figures in `deepsalt.simulate`.

PRISMA's published SNR is lower below 700 and above 1600 nm (Cogliati et al. 2021, RSE 262, 112499);
one factor is our simplification.
"""

LIGHT_SD = 0.1
"""Standard deviation of the log of a spectrum's illumination: slope, and errors of correction."""

DRIFT_NM = 0.5
"""Standard deviation of a spectrum's common band shift, nm: calibration and smile."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Laboratory spectra with labels, on one band table (s rows, n bands).

    Parameters
    ----------
    reflectance
        (s, n) float64, complete on usable bands.
    bands
        (n)
    ec
        Electrical conductivity, dS/m (s,).
    group, region
        Names for splitting (s,).
    source
        What goes into the card.
    """

    reflectance: NDArray[np.float64]
    bands: BandTable
    ec: NDArray[np.float64]
    group: NDArray[np.str_]
    region: NDArray[np.str_]
    source: TrainingData


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Features with labels (s rows).

    Parameters
    ----------
    features
        From the front end (s, n_features).
    ec
        dS/m (s,).
    group, region
        Names for splitting (s,).
    view
        What the spectrum was seen through: ``laboratory``, ``enmap``, ``simulated enmap`` ... (s,).
    """

    features: NDArray[np.float64]
    ec: NDArray[np.float64]
    group: NDArray[np.str_]
    region: NDArray[np.str_]
    view: NDArray[np.str_]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Samples":
        """Return the chosen rows."""
        return Samples(
            self.features[chosen],
            self.ec[chosen],
            self.group[chosen],
            self.region[chosen],
            self.view[chosen],
        )

    @property
    def simulated(self) -> NDArray[np.bool_]:
        """Which rows are simulated (s,)."""
        return np.char.startswith(self.view, "simulated")


def stack(parts: Sequence[Samples]) -> Samples:
    """Return all rows of several sample sets."""
    return Samples(
        np.concatenate([p.features for p in parts]),
        np.concatenate([p.ec for p in parts]),
        np.concatenate([p.group for p in parts]),
        np.concatenate([p.region for p in parts]),
        np.concatenate([p.view for p in parts]),
    )


def read_labelled(table: LabTable) -> Labelled:
    """Read a laboratory table: rows with a label, without suspects and the demo's soils.

    Raises
    ------
    FormatError
        A column is missing, a label is impossible, or fewer than `MIN_LABELS` rows remain.
    """
    rows = read_table(table.path)
    for column in filter(None, (table.group, table.region, table.ec, table.suspect)):
        if column not in rows:
            raise FormatError(
                f"{table.path} has no column {column!r}; it has "
                + ", ".join(str(name) for name in rows.columns[:12])
            )
    spectra = table_spectra(rows, sensor_bands(table.sensor), str(table.path))
    ec = _labels(rows, table)
    group = rows[table.group].astype(str)
    keep = np.isfinite(ec) & rows[table.group].notna().to_numpy()
    keep &= np.isfinite(spectra.reflectance[:, np.array(spectra.bands.usable)]).all(axis=1)
    reserved = group.map(demo_profile).to_numpy(dtype=bool) & table.reserve_demo
    if reserved.any():
        logger.info("%s: %d rows are the demo's soils, left out", table.path.name, reserved.sum())
    keep &= ~reserved
    if table.suspect is not None:
        keep &= ~rows[table.suspect].astype(str).str.lower().isin(("true", "1")).to_numpy()
    if keep.sum() < MIN_LABELS:
        raise FormatError(
            f"{table.path} has {keep.sum()} complete spectra with a label and a group; "
            f"training needs at least {MIN_LABELS}"
        )
    region = rows[table.region].astype(str) if table.region else group
    if region[keep].nunique() < 2:  # nothing to leave out: the groups stand for themselves
        region = group
    return Labelled(
        spectra.reflectance[keep].astype(np.float64),
        spectra.bands,
        ec[keep],
        group.to_numpy(dtype=np.str_)[keep],
        region.to_numpy(dtype=np.str_)[keep],
        TrainingData(
            name=table.path.name,
            kind="laboratory",
            rows=int(keep.sum()),
            groups=int(group[keep].nunique()),
            sha256=hashlib.sha256(table.path.read_bytes()).hexdigest(),
            licence=table.licence,
            attribution=table.attribution,
        ),
    )


def _labels(rows: pd.DataFrame, table: LabTable) -> NDArray[np.float64]:
    try:
        ec = pd.to_numeric(rows[table.ec]).to_numpy(dtype=np.float64) * TO_DS_M[table.ec_unit]
    except (ValueError, TypeError) as error:
        raise FormatError(f"{table.path}, column {table.ec}: {error}; give numbers") from error
    impossible = (ec < 0) | (ec > MAX_EC_DS_M)
    if impossible.any():
        raise FormatError(
            f"{table.path} has {impossible.sum()} labels outside 0-{MAX_EC_DS_M:.0f} dS/m, such as "
            f"{ec[impossible][0]:g}; check the unit (mS/m is dS/m x 100)"
        )
    return ec


def as_measured(lab: Labelled) -> Samples:
    """Return the laboratory spectra as measured."""
    view = np.full(lab.ec.size, "laboratory")
    features = front_end(lab.bands)(np.nan_to_num(lab.reflectance))
    return Samples(features, lab.ec, lab.group, lab.region, view)


def through_sensor(lab: Labelled, sensor: str, rng: np.random.Generator | None = None) -> Samples:
    """Return the laboratory spectra as a satellite's bands would see them.

    Parameters
    ----------
    lab
        Laboratory spectra.
    sensor
        Name of the sensor.
    rng
        Source of noise and drift; None: neither.

    Notes
    -----
    With noise, each tenth of the rows gets its own shift of the band centres, of which the front
    end does not know: real spectra meet a band table that is a little wrong.
    """
    bands = sensor_bands(sensor)
    usable = np.array(lab.bands.usable)
    centers = np.array(lab.bands.centers_nm)[usable]
    widths = np.array(lab.bands.fwhm_nm)[usable]
    spectra = lab.reflectance[:, usable]
    seen = np.full((spectra.shape[0], len(bands)), np.nan)
    parts = np.array_split(np.arange(spectra.shape[0]), 1 if rng is None else 10)
    for part in parts:
        shift = 0.0 if rng is None else float(rng.normal(0.0, DRIFT_NM))
        response = response_matrix(centers, _shifted(bands, shift), source_fwhm_nm=widths)
        seen[part] = spectra[part] @ response.T
    covered = np.isfinite(seen).all(axis=0)
    if rng is not None:
        seen *= np.exp(rng.normal(0.0, LIGHT_SD, (spectra.shape[0], 1)))
        sd = noise_sd(np.nan_to_num(seen), snr(bands.centers_nm)) * NOISE_FACTOR.get(sensor, 1.0)
        seen += rng.normal(size=seen.shape) * sd
    known = BandTable(
        bands.names,
        bands.centers_nm,
        bands.fwhm_nm,
        tuple(bool(u) for u in np.array(bands.usable) & covered),
    )
    features = front_end(known)(np.nan_to_num(seen))
    return Samples(features, lab.ec, lab.group, lab.region, np.full(lab.ec.size, sensor))


def _shifted(bands: BandTable, shift_nm: float) -> BandTable:
    centers = tuple(center + shift_nm for center in bands.centers_nm)
    return BandTable(bands.names, centers, bands.fwhm_nm, bands.usable)


def simulated(sensor: str, n: int, rng: np.random.Generator, config: MixingConfig) -> Samples:
    """Return n mixtures of the training specimens as a sensor sees them, with noise."""
    bands = sensor_bands(sensor)
    mixtures = draw_mixtures(rng, n, bands=bands, use="train", config=config)
    view = f"simulated {sensor}"
    # Every mixture is its own group: no two share a draw.
    names = np.array([f"{view} {i}" for i in range(n)])
    features = front_end(bands)(np.asarray(mixtures.reflectance, dtype=np.float64))
    ec = np.asarray(mixtures.ec, dtype=np.float64)
    return Samples(features, ec, names, names, np.full(n, view))
