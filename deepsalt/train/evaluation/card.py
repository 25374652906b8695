"""The model card: what was trained on, how, and where it ends, without machine paths."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from deepsalt import __version__
from deepsalt.layers import CHANCE_COLUMNS, INTERVAL_COVERAGE, THRESHOLDS_DS_M
from deepsalt.model.card import ModelCard, TrainingData
from deepsalt.model.marks import Marks
from deepsalt.model.student import Student
from deepsalt.spectral.transform import STEP_NM, common_nm
from deepsalt.train.config import TrainConfig
from deepsalt.train.data.tables import Table
from deepsalt.train.data.training_set import TrainingSet
from deepsalt.train.student.base import FROM_BASE, Base
from deepsalt.train.student.distil import Fitted

VERSION = "2"

_BANDS_OF_ENMAP = 224

NORMALISATION = (
    "bands of the sensor to 10 nm bands at 430-1300, 1480-1750 and 1990-2420 nm; standard normal "
    "variate (SNV) and second difference within each window; log mean and log relative deviation "
    "of the reflectance beside them; noise-whitened components, shrunk by the noise of each "
    "spectrum"
)

OUTPUTS = {
    "salinity": "exp(E[log(1 + EC)]) - 1: the expectation on the scale log(1 + EC), dS/m",
    "salinity_lower": "lower end of the 90 % interval of EC, dS/m",
    "salinity_upper": "upper end of the 90 % interval of EC, dS/m",
    **{
        name: f"probability that EC exceeds {threshold:g} dS/m"
        for name, threshold in zip(CHANCE_COLUMNS, THRESHOLDS_DS_M, strict=True)
    },
}

INTERVAL = (
    "class-conditional split conformal on log(EC + 0.03): the hull of what soils of no class of EC "
    "exclude; calibrated on answers of machines that did not see a group, on which the widths are "
    "fitted as well"
)

LIMITS = (
    "The estimate is the electrical conductivity of the method that ec_method names; it is ECe "
    "only where ec_method says so.",
    "A satellite sees a surface crust, while laboratory labels describe mixed, sieved soil: the "
    "estimate says nothing about the root zone.",
    "Halite and dry thenardite are nearly featureless; a low salt content is not visible at all.",
    "The interval says what cannot be excluded, for rare saline soils as well, so many soils "
    "without salt have a wide one; p_above says how likely it is.",
    "Probabilities assume that salt is as common as in the training (base_rate): where it is "
    "commoner they are too low, where it is rarer too high.",
    "Mask vegetation, water, cloud and shadow first (`quality_flags`).",
)
"""Limits of any model, one statement each."""

LABORATORY_LIMITS = (
    "No satellite pixel with a field sample was used: how well laboratory spectra stand for "
    "pixels is not known.",
    "The labels are strongly skewed to non-saline soils: above about 1 dS/m the estimate is low "
    "and rests on few profiles.",
)
"""Further limits of a model without satellite labels."""

SIMULATED_LIMIT = "Some training spectra are simulated: scores on them measure the simulator."


def _sources(tables: Sequence[Table]) -> tuple[TrainingData, ...]:
    return tuple(
        TrainingData(
            name=table.name,
            kind="simulated" if table.simulated else table.kind,
            rows=int(table.labelled.sum()) if table.kind != "unlabelled" else len(table.ec),
            groups=int(np.unique(table.group).size),
            sha256=table.sha256,
            licence=table.licence,
            attribution=table.attribution,
        )
        for table in tables
    )


def card_of(
    config: TrainConfig, data: TrainingSet, fitted: Fitted, base: Base | None = None
) -> ModelCard:
    """Return the card of a fitted student, without scores and checksum yet.

    Where it is made of a base model, its sources and marks are those of that model as well.
    """
    is_moved = base is not None and fitted.report.get("picked") in FROM_BASE
    moved = base.card if base is not None and is_moved else None
    student: Student = fitted.student
    ec_max, ec_extrapolated = (float(value) for value in student.limits[:2])
    labelled = [table for table in data.tables if table.labelled.any() and not table.simulated]
    methods = sorted({str(m) for t in labelled for m in np.unique(t.ec_method[t.labelled])})
    on_sites = any(table.kind == "satellite" for table in labelled)
    limits: tuple[str, ...] = LIMITS if on_sites else LIMITS + LABORATORY_LIMITS
    if any(table.simulated for table in data.tables) or (
        moved is not None and SIMULATED_LIMIT in moved.limits
    ):
        limits += (SIMULATED_LIMIT,)
    return ModelCard(
        name=config.name,
        family=config.family,
        version=VERSION,
        created_by=f"deepsalt {__version__}",
        bands_nm=tuple(common_nm().tolist()),
        band_width_nm=STEP_NM,
        normalisation=NORMALISATION,
        outputs=OUTPUTS,
        ec_method="; ".join(methods) or "simulated 1:2 extract",
        depth="surface as the sensor sees it; laboratory labels are of the depths of their samples",
        temperature="25 degrees C assumed, not stated by the source",
        ec_max=ec_max,
        ec_extrapolated=ec_extrapolated,
        interval=f"{INTERVAL_COVERAGE:.0%} {INTERVAL}",
        chances=fitted.chances,
        macs_per_pixel=student.macs_per_pixel(_BANDS_OF_ENMAP),
        data=(*_sources(data.tables), *(moved.data if moved else ())),
        scores=(),
        limits=limits,
        training=_settings(config, fitted, data) | _named(base),
        weights_sha256="",
        marks=_marks(labelled) | (moved.marks if moved else Marks()),
    )


def _marks(tables: Sequence[Table]) -> Marks:
    """Return the marks of all labelled rows: their names, laboratory samples and places."""
    names: list[str] = []
    places = [np.zeros((0, 2))]
    for table in tables:
        names += [*table.sample[table.labelled], *table.lab_sample[table.labelled]]
        if table.place is not None:
            places.append(table.place[table.labelled])
    lon, lat = np.concatenate(places).T
    return Marks.of(names, lon, lat)


def _named(base: Base | None) -> dict[str, Any]:
    return {} if base is None else {"base": {"name": base.card.name, "digest": base.digest}}


def _settings(config: TrainConfig, fitted: Fitted, data: TrainingSet) -> dict[str, Any]:
    """Return settings and what was chosen, without machine paths."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value  # JSON knows no tuples
        for name, value in asdict(config.settings).items()
    }
    used = [{"name": t.name, "kind": t.kind, "left_out": t.dropped} for t in data.tables]
    infrared = [
        {"name": t.name, "samples": len(t.sample), "sha256": t.sha256} for t in data.infrared
    ]
    return {
        "settings": settings,
        "tables": used,
        "chosen": fitted.report,
        "low_noise_macs_per_pixel": fitted.student.low_noise_macs_per_pixel(_BANDS_OF_ENMAP),
    } | {name: told for name, told in (("mid_infrared", infrared), ("blocks", data.blocks)) if told}
