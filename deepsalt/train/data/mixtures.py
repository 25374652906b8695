"""Simulated pixels for training: crusts as a satellite sees them. SIMULATED, and named so.

They stand beside laboratory samples, which show hardly any salt: dry, sieved and mixed. Minerals
and soils are those of `use="train"`, which neither the demo nor its landscape is made of.
"""

import hashlib

import numpy as np

from deepsalt.simulate.optics import MixingConfig
from deepsalt.simulate.spectra import draw_mixtures
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import Settings
from deepsalt.train.data.tables import Table

_GROUPS = 20  # for splitting


def simulated_tables(settings: Settings) -> list[Table]:
    """Return `settings.mixtures` simulated pixels, shared among the sensors."""
    each = -(-settings.mixtures // max(len(settings.sensors), 1))
    return [
        _table(sensor, each, number, settings) for number, sensor in enumerate(settings.sensors)
    ]


def _table(sensor: str, size: int, number: int, settings: Settings) -> Table:
    config = MixingConfig()
    bands = sensor_bands(sensor)
    rng = np.random.default_rng([settings.seed, 1 + number])
    drawn = draw_mixtures(rng, size, bands=bands, use="train", config=config)
    place = np.arange(size).astype(str)
    # No two mixtures share a draw: any grouping is as good.
    group = np.char.add(f"simulated {sensor} ", (np.arange(size) % _GROUPS).astype(str))
    text = repr((config, sensor, size, settings.seed))
    return Table(
        name=f"simulated {sensor} pixels",
        kind="satellite",
        sensor=sensor,
        bands=bands,
        reflectance=drawn.reflectance.astype(np.float64),
        ec=drawn.ec.astype(np.float64),
        group=group,
        region=group,
        scene=np.full(size, ""),
        sample=np.char.add(f"simulated {sensor} pixel ", place),
        lab_sample=np.full(size, ""),
        ec_method=np.full(size, "simulated 1:2 extract"),
        simulated=True,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        licence="minerals after the USGS Spectral Library Version 7 (US public domain); soils "
        "after the ICRAF-ISRIC library (CC BY 4.0)",
        attribution="Kokaly et al. 2017, doi:10.3133/ds1035; ICRAF and ISRIC, "
        "doi:10.34725/DVN/MFHA9C",
        dropped={},
        warnings=(),
    )
