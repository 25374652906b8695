"""Data of the benchmark: real laboratory spectra, and simulated sites with their library."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.pairs import SimulatedPairs, join_pairs
from deepsalt.benchmark.world.regions import simulate_regions
from deepsalt.errors import UsageError
from deepsalt.train.config import Settings
from deepsalt.train.data.compatible import check_labels
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import Fold, group_folds
from deepsalt.train.data.tables import Table, TableSpec, read_training_table
from deepsalt.train.data.training_set import draw_views
from deepsalt.types import BandTable

DATA_VARIABLE = "DEEPSALT_SHARED_DATA"
LAB_TABLE = ("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz")

SENSOR = "enmap"
"""What the sites of the development worlds are seen by."""

LIBRARY_REGION = 100
"""Index of the library's first region: far from the sites' own."""


def default_table(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the ICRAF-ISRIC table in the shared data, wherever they lie.

    Raises
    ------
    UsageError
        Neither the variable nor the folder beside the checkout leads to it.
    """
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    found = Path(environment.get(DATA_VARIABLE, beside)).joinpath(*LAB_TABLE)
    if not found.is_file():
        raise UsageError(
            f"table {found} does not exist; give laboratory spectra with --lab TABLE, or the "
            f"folder that holds {'/'.join(LAB_TABLE)} by the variable {DATA_VARIABLE}"
        )
    return found


def read_lab(path: Path, profiles: int | None, seed: int) -> Table:
    """Return the labelled rows of a laboratory table; where a number is given, of as many profiles.

    Raises
    ------
    FormatError
        The table cannot be used.
    """
    table = read_training_table(TableSpec(path, "laboratory"))
    table = table.take(table.labelled)
    check_labels([table])
    names = np.unique(table.group)
    if profiles is None or names.size <= profiles:
        return table
    kept = np.random.default_rng(seed).choice(names, profiles, replace=False)
    return table.take(np.isin(table.group, kept))


def real_folds(samples: Samples, folds: int, region_folds: int, seed: int) -> dict[str, list[Fold]]:
    """Return folds by profile, and by country where there are several."""
    found = {"unseen profiles": group_folds(samples.group, folds, seed)}
    if np.unique(samples.region).size > 1 and (samples.region != samples.group).any():
        found["unseen countries"] = group_folds(samples.region, region_folds, seed)
    return found


@dataclass(frozen=True, slots=True)
class Design:
    """Settings of the simulated part.

    Parameters
    ----------
    regions
        Regions with training sites, and as many that are never seen.
    sites
        Sites per region, of which the last third is scored.
    library
        Regions of the laboratory library, of `sites` samples each.
    sizes
        Satellite sites to train on, the learning curve.
    seeds
        Number of simulated worlds.
    """

    regions: int = 12
    sites: int = 60
    library: int = 17
    sizes: tuple[int, ...] = (30, 60, 120, 400)
    seeds: int = 8

    @property
    def spared(self) -> int:
        """Sites per region that may be trained on."""
        return self.sites - self.sites // 3


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One simulated world.

    Parameters
    ----------
    pool, ceiling
        Sites to train on, in the regions that are seen, and in the others for the ceiling.
    known, unseen
        Scored sites of the same regions, and of regions without a training site.
    library
        Samples of regions of their own.
    """

    pool: SimulatedPairs
    ceiling: SimulatedPairs
    known: SimulatedPairs
    unseen: SimulatedPairs
    library: SimulatedPairs

    def digest(self) -> str:
        """Return a digest of all spectra and labels (hexadecimal)."""
        digest = hashlib.sha256()
        for field in fields(self):
            pairs = getattr(self, field.name)
            for values in (pairs.lab, pairs.satellite, pairs.ec, pairs.sample):
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def simulate_world(
    design: Design, seed: int, sensor: str = SENSOR, config: SimulationConfig | None = None
) -> World:
    """Simulate the sites and the library of one seed.

    Parameters
    ----------
    design
        How many regions and sites.
    seed
        Of the world.
    sensor
        What sees the sites.
    config
        Of what kind the world is; None: that of the development worlds.
    """
    config = config or SimulationConfig()
    config = replace(config, regions=2 * design.regions, sites=design.sites)
    sites = simulate_regions(config, sensor=sensor, seed=seed)
    library = range(LIBRARY_REGION, LIBRARY_REGION + design.library)
    seen = np.isin(sites.region, np.unique(sites.region)[: design.regions])
    place = np.arange(len(sites.ec)) % design.sites
    spare = place < design.spared
    return World(
        take_pairs(sites, seen & spare),
        take_pairs(sites, ~seen & spare),
        take_pairs(sites, seen & ~spare),
        take_pairs(sites, ~seen & ~spare),
        simulate_regions(config, sensor=sensor, seed=seed, regions=library),
    )


def take_pairs(pairs: SimulatedPairs, rows: NDArray[np.bool_] | NDArray[np.intp]) -> SimulatedPairs:
    """Return the chosen rows."""
    arrays: dict[str, Any] = {
        f.name: getattr(pairs, f.name)[rows]
        for f in fields(SimulatedPairs)
        if isinstance(getattr(pairs, f.name), np.ndarray)
    }
    return replace(pairs, **arrays)


def draw_sites(pairs: SimulatedPairs, size: int, seed: int) -> SimulatedPairs:
    """Return so many sites at random; a larger size holds the smaller ones."""
    order = np.random.default_rng([seed, 1]).permutation(len(pairs.ec))
    return take_pairs(pairs, np.sort(order[:size]))


def satellite_table(pairs: SimulatedPairs) -> Table:
    """Return the satellite table of pairs, each with its trusted laboratory sample."""
    return _table(pairs, "satellite")


def laboratory_table(parts: Sequence[SimulatedPairs]) -> Table:
    """Return one laboratory table of the samples of several sets of pairs."""
    return _table(join_pairs(parts), "laboratory")


def _table(pairs: SimulatedPairs, kind: str) -> Table:
    satellite = kind == "satellite"
    reflectance = pairs.satellite if satellite else pairs.lab
    bands = pairs.satellite_bands if satellite else pairs.lab_bands
    usable = np.array(bands.usable) & np.isfinite(reflectance).all(axis=0)
    none = np.full(len(pairs.ec), "")
    return Table(
        name=f"simulated {kind}",
        kind="satellite" if satellite else "laboratory",
        sensor=pairs.sensor if satellite else "lab",
        bands=_with_usable(bands, usable),
        reflectance=reflectance,
        ec=pairs.ec,
        group=pairs.region,
        region=pairs.region,
        scene=pairs.scene if satellite else none,
        sample=pairs.sample,
        lab_sample=pairs.sample if satellite else none,
        ec_method=np.full(len(pairs.ec), pairs.ec_method),
        # Here the simulation represents the world: its rows count as measured.
        simulated=False,
        sha256="",
        licence="",
        attribution="",
        dropped={},
        warnings=(),
    )


def _with_usable(bands: BandTable, usable: NDArray[np.bool_]) -> BandTable:
    return BandTable(bands.names, bands.centers_nm, bands.fwhm_nm, tuple(usable.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What rows of the simulated part are trained on: `draw_views` of each table by itself.

    Parameters
    ----------
    sites
        Training sites.
    laboratory
        All views of library and trusted samples.
    """

    sites: Samples
    laboratory: Samples


def draw_training(sites: SimulatedPairs, library: SimulatedPairs, settings: Settings) -> Views:
    """Return training sites and the laboratory samples that go with them, as features."""
    tables = [satellite_table(sites), laboratory_table([library, sites])]
    drawn = draw_views(tables, settings)
    return Views(drawn.take(drawn.satellite), drawn.take(~drawn.satellite))


def draw_tests(pairs: SimulatedPairs, settings: Settings) -> Samples:
    """Return scored sites as features."""
    return draw_views([satellite_table(pairs)], settings)
