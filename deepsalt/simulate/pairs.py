"""Trusted pairs as values, and the tables they are written to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError, UsageError
from deepsalt.spectral.table import write_table
from deepsalt.types import BandTable

Floats = NDArray[np.float64]

LAB_TABLE, SATELLITE_TABLE = "lab.csv.gz", "satellite.csv.gz"
"""Names of the files that `write_tables` writes."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPairs:
    """Sites of simulated regions; one row per look at a site (s rows).

    Parameters
    ----------
    lab
        Reflectance of the dry, sieved, mixed sample with the laboratory's noise, float64
        (s, n_lab); the same in every look at a site; NaN in bands that a specimen leaves open.
    lab_bands
        The laboratory grid (n_lab).
    satellite
        Reflectance of the pixel as the product of its scene holds it, float64 (s, n_sat); NaN in
        bands that are not usable.
    satellite_bands
        The sensor's nominal bands (n_sat).
    ec
        Conductivity of the sample's extract by `ec_from_salt`, dS/m (s,).
    log_ec_sd
        Standard deviation of log EC for who knows the crust but not its enrichment (s,).
    region, scene, sample
        Names (s,); they do not depend on how many regions there are.
    green, dry
        Areal shares of plants in the pixel (s,).
    film_mm
        Water film, mm (s,).
    gypsum, salt
        Mass fractions of gypsum-like minerals and of all salts with them in the crust, mean over
        the pixel (s,).
    ec_method
        Which conductivity `ec` is.
    """

    lab: Floats
    lab_bands: BandTable
    satellite: Floats
    satellite_bands: BandTable
    ec: Floats
    log_ec_sd: Floats
    region: NDArray[np.str_]
    scene: NDArray[np.str_]
    sample: NDArray[np.str_]
    green: Floats
    dry: Floats
    film_mm: Floats
    gypsum: Floats
    salt: Floats
    ec_method: str


def join_pairs(parts: Sequence[SimulatedPairs]) -> SimulatedPairs:
    """Return the rows of all parts, which share bands and EC method.

    Raises
    ------
    UsageError
        No parts, or parts of different bands or methods.
    """
    alike = {(part.lab_bands, part.satellite_bands, part.ec_method) for part in parts}
    if len(alike) != 1:
        raise UsageError(
            f"pairs of {len(alike)} kinds of bands and EC methods cannot be joined; join pairs of "
            "one sensor and one configuration"
        )
    rows: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(SimulatedPairs)
        if isinstance(getattr(parts[0], f.name), np.ndarray)
    }
    return replace(parts[0], **rows)


def write_tables(pairs: SimulatedPairs, folder: Path) -> tuple[Path, Path]:
    """Write `lab.csv.gz` and `satellite.csv.gz` as `deepsalt train` reads them.

    Both hold `sample_id`, ``r<centre in nm>`` (reflectance, 5 decimals), `ec_ds_m`, `log_ec_sd`,
    `ec_method`, `region` and `simulated`; the laboratory table has one row per sample, the
    satellite table one per look, with `scene_id` and the `lab_sample_id` of its trusted pair.

    Parameters
    ----------
    pairs
        What to write.
    folder
        Made when it does not exist.

    Returns
    -------
    tuple[Path, Path]
        The laboratory and the satellite table.

    Raises
    ------
    FormatError
        They cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"folder {folder} cannot be made ({error}); choose another") from error
    labels = pd.DataFrame(
        {
            "ec_ds_m": pairs.ec.round(5),
            "log_ec_sd": pairs.log_ec_sd.round(4),
            "ec_method": pairs.ec_method,
            "region": pairs.region,
            "simulated": True,
        }
    )
    looks = np.char.add(np.char.add(pairs.sample, "-"), pairs.scene)
    satellite = pd.DataFrame(
        {"sample_id": looks, "lab_sample_id": pairs.sample, "scene_id": pairs.scene}
    )
    satellite = pd.concat(
        [satellite, labels, _spectral(pairs.satellite, pairs.satellite_bands)], axis=1
    )
    samples = pd.DataFrame({"sample_id": pairs.sample})
    lab = pd.concat([samples, labels, _spectral(pairs.lab, pairs.lab_bands)], axis=1)
    paths = folder / LAB_TABLE, folder / SATELLITE_TABLE
    write_table(lab.drop_duplicates("sample_id"), paths[0])
    write_table(satellite, paths[1])
    return paths


def _spectral(reflectance: Floats, bands: BandTable) -> pd.DataFrame:
    return pd.DataFrame(reflectance.round(5), columns=[f"r{nm:.7g}" for nm in bands.centers_nm])
