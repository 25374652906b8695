"""Generated laboratory spectra of which the saline ones have a dip at 2200 nm."""

import numpy as np
import pandas as pd

from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.data.samples import Samples, as_measured
from deepsalt.train.data.tables import Table

LAB = sensor_bands("lab")
NM = np.array(LAB.centers_nm)


def soil_table(rows: int = 120, profiles: int = 30, seed: int = 0) -> Table:
    """Return soils whose profiles share their salt; six countries."""
    rng = np.random.default_rng(seed)
    profile = np.arange(rows) % profiles
    ec = np.exp(rng.normal(-1.0, 1.2, profiles))[profile] * np.exp(rng.normal(0, 0.1, rows))
    x = (NM - 1400.0) / 1000.0
    bends = rng.normal(0.0, [[0.08, 0.05, 0.03]], (rows, 3)) @ np.stack([x, x**2, x**3])
    dip = np.exp(-0.5 * ((NM - 2200.0) / 25.0) ** 2)
    depth = 0.08 * np.log(ec / 0.05)[:, None] * dip
    reflectance = np.exp(rng.normal(-1.3, 0.1, (rows, 1)) + bends - depth)
    none = np.full(rows, "")
    return Table(
        name="soils",
        kind="laboratory",
        sensor="lab",
        bands=LAB,
        reflectance=reflectance,
        ec=ec,
        group=np.array([f"P{p:02d}" for p in profile]),
        region=np.array([f"C{p % 6}" for p in profile]),
        scene=none,
        sample=np.array([f"S{i:03d}" for i in range(rows)]),
        lab_sample=none,
        ec_method=np.full(rows, "generated"),
        simulated=False,
        sha256="",
        licence="",
        attribution="",
        dropped={},
        warnings=(),
    )


def soil_samples(rows: int = 120, profiles: int = 30, seed: int = 0) -> Samples:
    """Return the same as features."""
    return as_measured(soil_table(rows, profiles, seed))


def soil_frame(table: Table) -> pd.DataFrame:
    """Return a table as a user would write it."""
    frame = pd.DataFrame(table.reflectance, columns=[f"r{nm:.0f}" for nm in NM])
    return frame.assign(
        sample_id=table.sample, profile_id=table.group, country=table.region, ec_ds_m=table.ec
    )
