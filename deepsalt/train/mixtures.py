"""Simulated laboratory samples for training, in the shape of a table. SIMULATED, and named so."""

import hashlib

import numpy as np

from deepsalt.simulate.config import SimulationConfig
from deepsalt.simulate.regions import simulate_regions
from deepsalt.train.config import Settings
from deepsalt.train.tables import Table

_SITES = 60  # per region, as the simulator's default
_FIRST_REGION = 1000  # far from those that benchmarks simulate


def simulated_table(settings: Settings) -> Table:
    """Return `settings.mixtures` simulated laboratory samples of regions of their own."""
    count = -(-settings.mixtures // _SITES)
    config = SimulationConfig(sites=_SITES)
    regions = range(_FIRST_REGION, _FIRST_REGION + count)
    pairs = simulate_regions(config, sensor="enmap", seed=settings.seed, regions=regions)
    rows = slice(0, settings.mixtures)
    ec = pairs.ec[rows]
    empty = np.full(ec.size, "")
    text = repr((config, settings.mixtures, settings.seed))
    return Table(
        name="simulated laboratory samples",
        kind="laboratory",
        sensor="lab",
        bands=pairs.lab_bands,
        reflectance=pairs.lab[rows],
        ec=ec,
        group=np.char.add("simulated ", pairs.region[rows]),
        region=np.char.add("simulated ", pairs.region[rows]),
        scene=empty,
        sample=np.char.add("simulated ", pairs.sample[rows]),
        lab_sample=empty,
        ec_method=np.full(ec.size, pairs.ec_method),
        simulated=True,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        licence="minerals after the USGS Spectral Library Version 7 (US public domain); soils "
        "after the ICRAF-ISRIC library (CC BY 4.0)",
        attribution="Kokaly et al. 2017, doi:10.3133/ds1035; ICRAF and ISRIC, "
        "doi:10.34725/DVN/MFHA9C",
        dropped={},
        warnings=(),
    )
