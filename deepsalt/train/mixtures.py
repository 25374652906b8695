"""Simulated pixels for training: crusts as a satellite sees them. SIMULATED, and named so.

They stand beside laboratory samples, which show hardly any salt: dry, sieved and mixed. Regions are
drawn far from those that benchmarks simulate.
"""

import hashlib

import numpy as np

from deepsalt.simulate.config import SimulationConfig
from deepsalt.simulate.regions import simulate_regions
from deepsalt.train.config import Settings
from deepsalt.train.tables import Table

_SITES = 60  # per region, as the simulator's default
_FIRST_REGION = 1000


def simulated_tables(settings: Settings) -> list[Table]:
    """Return `settings.mixtures` simulated pixels, shared among the sensors."""
    each = -(-settings.mixtures // max(len(settings.sensors), 1))
    return [
        _table(sensor, each, number, settings) for number, sensor in enumerate(settings.sensors)
    ]


def _table(sensor: str, size: int, number: int, settings: Settings) -> Table:
    count = -(-size // _SITES)
    config = SimulationConfig(sites=_SITES)
    first = _FIRST_REGION * (number + 1)
    regions = range(first, first + count)
    pairs = simulate_regions(config, sensor=sensor, seed=settings.seed, regions=regions)
    rows = slice(0, size)
    ec = pairs.ec[rows]
    empty = np.full(ec.size, "")
    region = np.char.add("simulated ", pairs.region[rows])
    text = repr((config, sensor, size, first, settings.seed))
    return Table(
        name=f"simulated {sensor} pixels",
        kind="satellite",
        sensor=sensor,
        bands=pairs.satellite_bands,
        reflectance=pairs.satellite[rows],
        ec=ec,
        group=region,
        region=region,
        scene=pairs.scene[rows],
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
