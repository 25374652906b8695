"""Small laboratory tables of generated spectra, for tests of training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import LabTable, TrainConfig
from tests.model.students import soils

LAB = sensor_bands("lab")


def lab_frame(rows: int = 90, profiles: int = 30, seed: int = 0) -> pd.DataFrame:
    """Soils of which the saline ones have a dip at 2200 nm; profiles share their salt."""
    rng = np.random.default_rng(seed)
    profile = np.arange(rows) % profiles
    ec = np.exp(rng.normal(-2.0, 1.2, profiles))[profile] * np.exp(rng.normal(0, 0.1, rows))
    centers = np.array(LAB.centers_nm)
    dip = np.exp(-0.5 * ((centers - 2200.0) / 25.0) ** 2)
    spectra = soils(rows, LAB.centers_nm, seed) * np.exp(-0.1 * np.log(ec / 0.05)[:, None] * dip)
    table = pd.DataFrame(spectra, columns=[f"r{center:.0f}" for center in centers])
    return table.assign(
        profile_id=[f"P{p:02d}" for p in profile],
        country=[f"C{p % 6}" for p in profile],
        ec_ds_m=ec,
        ec_suspect=False,
        clay_pct=rng.uniform(0, 60, rows),
    )


def write(folder: Path, table: pd.DataFrame, name: str = "lab.csv") -> Path:
    path = folder / name
    table.to_csv(path, index=False)
    return path


def config(path: Path, out: Path, **changes: object) -> TrainConfig:
    table = LabTable(path, region="country", suspect="ec_suspect")
    quick = TrainConfig(lab=(table,), out=out, mixtures=0).quick()
    return replace(quick, sensors=("enmap",), **changes)  # type: ignore[arg-type]
