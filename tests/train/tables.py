"""Small tables of generated and simulated spectra, for tests of training."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.pairs import SimulatedPairs
from deepsalt.benchmark.world.regions import simulate_regions
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import Settings, TrainConfig
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.tables import Table, TableSpec
from deepsalt.train.data.training_set import draw_views
from deepsalt.types import BandTable
from tests.model.students import soils

LAB, ENMAP = sensor_bands("lab"), sensor_bands("enmap")

QUICK = replace(Settings().quick(), adaptations=(), weights=(0.0, 0.3, 1.0))
"""Settings with which a tiny table trains in about a second."""


def lab_frame(rows: int = 90, profiles: int = 30, seed: int = 0) -> pd.DataFrame:
    """Soils of which the saline ones have a dip at 2200 nm; profiles share their salt."""
    rng = np.random.default_rng(seed)
    profile = np.arange(rows) % profiles
    ec = np.exp(rng.normal(-2.0, 1.2, profiles))[profile] * np.exp(rng.normal(0, 0.1, rows))
    return _spectra(ec, LAB, seed).assign(
        sample_id=[f"{seed}-{row:03d}" for row in range(rows)],
        profile_id=[f"P{p:02d}" for p in profile],
        country=[f"C{p % 6}" for p in profile],
        ec_ds_m=ec,
        ec_suspect=False,
        clay_pct=rng.uniform(0, 60, rows),
    )


def site_frame(
    rows: int = 60, regions: int = 6, seed: int = 1, bands: BandTable = ENMAP
) -> pd.DataFrame:
    """Satellite sites of several regions, as `lab_frame`, with a little noise."""
    rng = np.random.default_rng(seed)
    ec = np.exp(rng.normal(-1.0, 1.2, rows))
    table = _spectra(ec, bands, seed)
    table += rng.normal(0.0, 0.002, table.shape)
    return table.assign(
        sample_id=[f"S{row:03d}" for row in range(rows)],
        site=[f"S{row:03d}" for row in range(rows)],
        region=[f"R{row % regions}" for row in range(rows)],
        ec_ds_m=ec,
    )


def _spectra(ec: NDArray[np.float64], bands: BandTable, seed: int) -> pd.DataFrame:
    centers = np.array(bands.centers_nm)
    dip = np.exp(-0.5 * ((centers - 2200.0) / 25.0) ** 2)
    shown = np.exp(-0.1 * np.log(ec / 0.05)[:, None] * dip)
    spectra = soils(len(ec), bands.centers_nm, seed) * shown
    return pd.DataFrame(spectra, columns=[f"r{center:.7g}" for center in centers])


def infrared_frame(sample: NDArray[np.str_], signal: NDArray[np.float64]) -> pd.DataFrame:
    """Mid-infrared absorbance of soils in which a band at 1120 cm-1 grows with a signal."""
    cm1 = np.arange(600.0, 4001.0, 10.0)
    rng = np.random.default_rng(0)
    centers, widths = (600.0, 1000.0, 1600.0, 3000.0, 3600.0), (200.0, 120.0, 80.0, 400.0, 60.0)
    bands = [np.exp(-0.5 * ((cm1 - c) / w) ** 2) for c, w in zip(centers, widths, strict=True)]
    soil = rng.uniform(0.3, 1.0, (len(sample), len(bands))) @ np.array(bands)
    salt = 0.05 * (signal + 4.0)[:, None] * np.exp(-0.5 * ((cm1 - 1120.0) / 30.0) ** 2)
    table = pd.DataFrame(soil + salt, columns=[f"{at:g}" for at in cm1])
    return table.assign(sample_id=sample)


def write(folder: Path, table: pd.DataFrame, name: str = "lab.csv") -> Path:
    path = folder / name
    table.to_csv(path, index=False)
    return path


def config(path: Path, out: Path, *, evaluate: bool = True, **changes: object) -> TrainConfig:
    """Return a quick training on one laboratory table; `changes` are of the settings."""
    settings = replace(QUICK, **changes)  # type: ignore[arg-type]
    return TrainConfig((TableSpec(path, "laboratory"),), out, settings=settings, evaluate=evaluate)


@lru_cache(maxsize=64)
def regions(
    count: int, sites: int, *, seed: int = 0, first: int = 0, sensor: str = "enmap", looks: int = 1
) -> SimulatedPairs:
    """Return simulated regions from index `first` on."""
    indices = range(first, first + count)
    setting = SimulationConfig(sites=sites)
    return simulate_regions(setting, sensor=sensor, seed=seed, repeats=looks, regions=indices)


def satellite_table(pairs: SimulatedPairs, *, paired: bool = False) -> Table:
    empty = np.full(len(pairs.ec), "")
    return replace(
        laboratory_table(pairs, pairs.ec),
        name="sites.csv",
        kind="satellite",
        sensor="enmap",
        bands=pairs.satellite_bands,
        reflectance=pairs.satellite,
        lab_sample=pairs.sample if paired else empty,
    )


def laboratory_table(pairs: SimulatedPairs, ec: NDArray[np.float64]) -> Table:
    """Return the laboratory spectra of simulated pairs, with these labels, dS/m."""
    empty = np.full(len(pairs.ec), "")
    return Table(
        name="library.csv",
        kind="laboratory",
        sensor="lab",
        bands=pairs.lab_bands,
        reflectance=pairs.lab,
        ec=ec,
        group=pairs.region,
        region=pairs.region,
        scene=pairs.scene,
        sample=pairs.sample,
        lab_sample=empty,
        ec_method=np.full(len(pairs.ec), pairs.ec_method),
        simulated=True,
        sha256="0" * 64,
        licence="not stated",
        attribution="",
        dropped={},
        warnings=(),
    )


@lru_cache(maxsize=8)
def library_views(count: int = 4, sites: int = 20, seed: int = 0) -> Samples:
    """Return all views of a simulated library, as training sees it."""
    pairs = regions(count, sites, seed=seed, first=100)
    return draw_views([laboratory_table(pairs, pairs.ec)], QUICK)
