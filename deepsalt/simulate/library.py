"""Mineral specimens to mix: the shipped ones, or real spectra from a folder of tables."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.simulate.optics import DENSITY_G_CM3, GYPSUM_LIKE, is_salt
from deepsalt.simulate.specimens import GRID_NM, Use, mineral_reflectance, specimens
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.table import read_table, spectral_columns, table_spectra
from deepsalt.types import BandTable

logger = logging.getLogger(__name__)

NEEDED_NM = (430.0, 2440.0)
"""A specimen that does not cover this range, nm, is not mixed."""

_GRID_STEP_NM = 5.0
_TABLES = ("*.csv", "*.csv.gz", "*.parquet")
# Names under which libraries file a mineral that the mixing knows by another.
_SYNONYMS = {"sodium_sulfate": "thenardite", "sodium_bicarbonate": "nahcolite"}


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """One spectrum of one specimen.

    Parameters
    ----------
    mineral
        Mineral name, lower case.
    specimen
        Identity of the whole specimen, over all its grain sizes and instruments.
    record
        Name of the spectrum in its source.
    reflectance
        On `GRID_NM`, NaN where the source has nothing, float64 (430,).
    """

    mineral: str
    specimen: str
    record: str
    reflectance: NDArray[np.float64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Where on `GRID_NM` there is a value (430,)."""
        return np.isfinite(self.reflectance)


def shipped_specimens(use: Use) -> tuple[Specimen, ...]:
    """Return the specimens of `minerals.csv`, as their formulas draw them.

    Raises
    ------
    UsageError
        `use` is neither ``train`` nor ``demo``.
    """
    return tuple(
        Specimen(m.mineral, m.specimen, m.record, mineral_reflectance(m, GRID_NM))
        for m in specimens(use)
    )


def read_specimens(folder: Path) -> tuple[Specimen, ...]:
    """Read every spectrum of the tables in a folder.

    A table is CSV(.gz) or Parquet with the columns `name`, `group` (the mineral), one ``r<nm>``
    per channel, and optionally `specimen`; without it the identity is taken from names as the USGS
    library writes them, "Halite HS433.3B ASDFRa": HS433. Other tables in the folder are passed
    over, except that `bands.csv` (`center_nm`, `fwhm_nm`) tells the width of the channels; else it
    is taken to be their spacing. Rows that name a mixture or a coating are left out.

    Parameters
    ----------
    folder
        With at least one such table.

    Returns
    -------
    tuple[Specimen, ...]
        In the order of files and rows, on `GRID_NM`; gaps of the source stay NaN.

    Raises
    ------
    FormatError
        No folder, no table of specimens in it, or numbers that are no reflectance.
    """
    if not folder.is_dir():
        raise FormatError(f"{folder} is not a folder; name one that holds tables of specimens")
    found: list[Specimen] = []
    for path in sorted({path for kind in _TABLES for path in folder.glob(kind)}):
        table = read_table(path)
        if {"name", "group"} <= set(table.columns) and spectral_columns(table.columns):
            found += _read(table, path)
    if not found:
        raise FormatError(
            f"folder {folder} holds no table of specimens; give CSV or Parquet with the columns "
            "name, group and r<nm>"
        )
    return tuple(found)


def mixable(found: Sequence[Specimen], use: Use, origin: str) -> tuple[Specimen, ...]:
    """Return the specimens that the mixing can take for a use.

    Parameters
    ----------
    found
        Specimens.
    use
        Specimens that the shipped table reserves for the other use are left out.
    origin
        Where they come from, for messages.

    Raises
    ------
    FormatError
        No soluble salt is left.
    """
    other: Use = "demo" if use == "train" else "train"
    reserved = {(m.mineral, _identity(m.specimen)) for m in specimens(other)}
    low, high = NEEDED_NM
    needed = (low <= GRID_NM) & (high >= GRID_NM)
    kept = tuple(
        s
        for s in found
        if s.mineral in DENSITY_G_CM3
        and (s.mineral, _identity(s.specimen)) not in reserved
        and s.covered[needed].all()
    )
    if not any(is_salt(s.mineral) and s.mineral not in GYPSUM_LIKE for s in kept):
        raise FormatError(
            f"{origin} has no soluble salt among the {len(kept)} of {len(found)} spectra that are "
            f"of known density, whole from {low:g} to {high:g} nm and meant for {use!r}; add "
            "halite, thenardite or another"
        )
    logger.info("%s: %d of %d spectra are mixed for %s", origin, len(kept), len(found), use)
    return kept


def _read(table: pd.DataFrame, path: Path) -> list[Specimen]:
    columns = spectral_columns(table.columns)
    centers = np.array(list(columns.values()))
    bands = BandTable(
        tuple(columns), tuple(centers), tuple(_spacing(centers)), (True,) * len(columns)
    )
    spectra = table_spectra(table, bands, str(path)).reflectance.astype(np.float64)
    widths = _widths(path.parent / "bands.csv", bands)
    grid = _on_grid(spectra, centers, widths)
    identities = table["specimen"].astype(str) if "specimen" in table else [None] * len(table)
    rows = zip(table["name"].astype(str), table["group"].astype(str), identities, grid, strict=True)
    return [
        Specimen(mineral, given or _identity_of_name(name), name, spectrum)
        for name, group, given, spectrum in rows
        if (mineral := _pure_mineral(name, group)) is not None
    ]


def _spacing(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the next channel, nm; the wider side's, at most 50."""
    if centers.size < 2:
        return np.full(centers.shape, _GRID_STEP_NM)
    order = np.argsort(centers)
    steps = np.diff(centers[order])
    spacing = np.empty(centers.shape)
    spacing[order] = np.maximum(np.append(steps, steps[-1]), np.insert(steps, 0, steps[0]))
    return np.clip(spacing, 0.1, 50.0)


def _widths(path: Path, bands: BandTable) -> NDArray[np.float64]:
    """Return the channels' FWHM, nm, where `bands.csv` lists just these channels."""
    if path.is_file():
        listed = read_table(path)
        if {"center_nm", "fwhm_nm"} <= set(listed.columns) and len(listed) == len(bands):
            centers = listed["center_nm"].to_numpy(dtype=np.float64)
            if np.allclose(centers, bands.centers_nm, atol=0.01):
                return listed["fwhm_nm"].to_numpy(dtype=np.float64)
    return np.array(bands.fwhm_nm)


def _on_grid(
    spectra: NDArray[np.float64], centers: NDArray[np.float64], widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring spectra (s, n) to `GRID_NM`; channels without a value are gaps."""
    target = BandTable(
        tuple(f"{nm:.0f}" for nm in GRID_NM),
        tuple(GRID_NM.tolist()),
        (_GRID_STEP_NM,) * GRID_NM.size,
        (True,) * GRID_NM.size,
    )
    out = np.full((len(spectra), GRID_NM.size), np.nan)
    # Rows that lack the same channels share a matrix.
    patterns, which = np.unique(np.isfinite(spectra), axis=0, return_inverse=True)
    for i, has in enumerate(patterns):
        if has.sum() > 1:
            matrix = response_matrix(centers[has], target, source_fwhm_nm=widths[has])
            rows = which.reshape(-1) == i
            out[rows] = spectra[rows][:, has] @ matrix.T
    return out


def _pure_mineral(name: str, group: str) -> str | None:
    """Return the mineral, or None for "Calcite.5+Dolomite.5", "Hematite_Coatd_Qtz" and the like."""
    first = name.split()[0].lower() if name.split() else ""
    mineral = _SYNONYMS.get(first, group.strip().lower())
    longer = first.startswith(mineral) and first != mineral
    return None if "+" in name or longer else mineral


def _identity_of_name(name: str) -> str:
    words = name.split()
    return _identity(words[1] if len(words) > 1 else name)


def _identity(specimen: str) -> str:
    """Return a specimen's number without the suffix of its grain size: HS433.3B is of HS433."""
    return re.sub(r"\.\w+$", "", specimen.strip())
