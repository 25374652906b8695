"""Prediction over a table of spectra, CSV or Parquet in and out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import CHANCE, CHANCE_COLUMNS, threshold_index
from deepsalt.model.card import Chance
from deepsalt.model.load import model_card
from deepsalt.predict.cube import SPECTRA_RESULT, predict_spectra
from deepsalt.prevalence import odds_factor, shifted
from deepsalt.progress import Progress, Silent
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.indices import shows_ice, spectral_flags
from deepsalt.spectral.table import (
    Spectra,
    check_kind,
    read_table,
    table_spectra,
    write_table,
)
from deepsalt.types import ModelRef, QualityFlag, Report

COLUMNS = tuple(
    column
    for name in SPECTRA_RESULT.names or ()
    for column in (CHANCE_COLUMNS if name == CHANCE else (name,))
)
"""Columns that a prediction adds to a table."""

MAX_MISSING_SHARE = 0.1
"""A spectrum that lacks more of its table's usable bands than this is DEFECTIVE."""

COVER_SCORE = 2.0
"""Minimum domain score of spectra like water, plants or snow, whose tests are binary."""


def predict_table(
    table: str | Path,
    out: str | Path,
    *,
    sensor: str,
    ref: ModelRef,
    prevalence: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Predict salinity for a table of reflectance spectra.

    Parameters
    ----------
    table
        CSV (.csv, .csv.gz) or Parquet; reflectance 0 to 1 in columns ``r<centre in nm>``.
    out
        Table to write, of either kind: `salinity`, `salinity_lower`, `salinity_upper` (dS/m),
        `p_above_0.5` to `p_above_4` (probability of a higher EC), `quality_flags` and
        `domain_score` (above 1 where `quality_flags` has OUT_OF_DOMAIN), then every column of
        `table`, rows in its order. Values are empty where not estimated. An existing table is
        overwritten.
    sensor
        ``enmap``, ``prisma``, ``emit``, ``lab``, or a CSV file with centre and FWHM, nm, and
        optionally `column`, the table's column of each band. Else columns belong to
        the nearest band within half its FWHM.
    ref
        The model.
    prevalence
        Threshold, dS/m, and the share of soils above it here, which moves all probabilities
        (`deepsalt.prevalence`). Default: as common as in the training.
    progress
        Told what was understood or is doubtful in the table. Default: none.

    Returns
    -------
    Report
        Spectra, estimates and reasons for the rest.

    Raises
    ------
    FormatError
        The table is unreadable, does not fit the sensor or holds percent; or `out` cannot be
        written.
    UsageError
        `out` is the table itself, or there is no such threshold or share.
    ModelError
        The model's files are missing, unreadable or disagree.

    Notes
    -----
    Rows are taken at face value: spectra are not masked as water or vegetation, unlike those of a
    scene. Those that look like either, or like snow, are marked OUT_OF_DOMAIN, which advises.

    `domain_score` is the largest of T², the noise (Q residual) and the log odds of a built surface,
    each over its limit, and `COVER_SCORE` where a spectrum looks like water, plants or snow.

    Examples
    --------
    >>> import deepsalt
    >>> report = deepsalt.predict_table(
    ...     "spectra.csv", "salinity.csv", sensor="lab", ref=deepsalt.model_ref()
    ... )
    >>> report.pixels
    5
    """
    table = Path(table)
    out = Path(out)
    check_kind(out)
    if out.exists() and table.exists() and out.samefile(table):
        raise UsageError(f"{out} is the input table; write the prediction to another file")
    rows = read_table(table, keep_text=True)
    taken = [name for name in COLUMNS if name in rows.columns]
    if taken:
        raise FormatError(
            f"{table} already has a column {', '.join(taken)}; rename it before predicting"
        )
    known = model_card(ref).chances
    shift = _shift(known, *prevalence) if prevalence else None
    spectra = table_spectra(rows, sensor_bands(sensor), str(table))
    for note in spectra.notes:
        (progress or Silent()).note(f"{table.name}: {note}")
    quality_flags = spectrum_flags(spectra)
    result = predict_spectra(spectra.reflectance, spectra.bands, ref, quality_flags)
    strange = cover_flags(spectra) & (quality_flags == 0) * np.uint16(QualityFlag.OUT_OF_DOMAIN)
    result["quality_flags"] |= strange
    least = np.where(strange > 0, np.float32(COVER_SCORE), np.float32(0.0))
    result["domain_score"] = np.maximum(result["domain_score"], least)
    if shift is not None:
        moved = shifted([*result[CHANCE].T.astype(np.float64)], *shift)
        result[CHANCE] = np.round(np.stack(moved, axis=1), 4)
    if few := [f"{each.threshold:g}" for each in known if each.calibrated == "no"]:
        (progress or Silent()).note(
            f"the probabilities above {' and '.join(few)} dS/m rest on fewer than 20 profiles or "
            f"sites of the model's training; take them as an order, not as frequencies"
        )
    added = pd.DataFrame(_columns(result), index=rows.index)
    # In front: nobody finds the answer behind 2000 columns of spectra.
    write_table(pd.concat([added, rows], axis=1), out)
    return count(result)


def _columns(result: NDArray[np.void]) -> dict[str, NDArray[np.generic]]:
    """Return the columns of a table with a prediction, in order."""
    above = dict(zip(CHANCE_COLUMNS, result[CHANCE].T, strict=True))
    return {name: above[name] if name in above else result[name] for name in COLUMNS}


def _shift(known: Sequence[Chance], threshold: float, share: float) -> tuple[int, float]:
    """Return which probability is shifted, and the factor on its odds."""
    index = threshold_index(threshold)
    return index, odds_factor(known[index].base_rate, share)


def spectrum_flags(spectra: Spectra) -> NDArray[np.uint16]:
    """Return OUTSIDE for rows without any value, DEFECTIVE for rows that lack too much (rows,).

    A row is also DEFECTIVE if half its values are not above 0, unlike any surface's spectrum.
    """
    usable = np.array(spectra.bands.usable)
    values = spectra.reflectance[:, usable]
    missing = np.isnan(values).mean(axis=1)
    empty = np.isnan(spectra.reflectance).all(axis=1)
    dark = (values <= 0).mean(axis=1) >= 0.5
    defective = (missing > MAX_MISSING_SHARE) | dark
    return np.where(
        empty, int(QualityFlag.OUTSIDE), np.where(defective, int(QualityFlag.DEFECTIVE), 0)
    ).astype(np.uint16)


def cover_flags(spectra: Spectra) -> NDArray[np.uint16]:
    """Return OUT_OF_DOMAIN for rows that look like water, vegetation or snow (rows,)."""
    covered = spectral_flags(spectra.reflectance, spectra.bands) > 0
    covered |= shows_ice(spectra.reflectance, spectra.bands)
    return covered * np.uint16(QualityFlag.OUT_OF_DOMAIN)


def count(result: NDArray[np.void]) -> Report:
    """Return the counts of a prediction of any shape."""
    quality_flags = result["quality_flags"]
    by_flag = (
        (str(bit.name).lower(), int(((quality_flags & int(bit)) > 0).sum())) for bit in QualityFlag
    )
    return Report(
        pixels=quality_flags.size,
        estimated=int(np.isfinite(result["salinity"]).sum()),
        by_flag=tuple((name, n) for name, n in by_flag if n),
    )
