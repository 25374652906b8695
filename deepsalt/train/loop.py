"""`train`: from tables to weights and card."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from deepsalt import __version__
from deepsalt.errors import UsageError
from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.card import ModelCard, Score, TrainingData
from deepsalt.model.files import write_model
from deepsalt.model.student import Student
from deepsalt.simulate.optics import MixingConfig
from deepsalt.spectral.transform import STEP_NM, common_nm
from deepsalt.train.config import TrainConfig
from deepsalt.train.fit import fit_student
from deepsalt.train.network import MISSES_ABOVE, MISSES_BELOW
from deepsalt.train.samples import (
    Labelled,
    Samples,
    as_measured,
    read_labelled,
    simulated,
    stack,
    through_sensor,
)
from deepsalt.train.text import LIMITS, NORMALISATION, OUTPUTS

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done so far, 0 to 1."""

VERSION = "1"
_BANDS_OF_ENMAP = 224


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Everything a fit may see.

    Parameters
    ----------
    samples
        All views of all sources, stacked.
    data
        Their sources, for the card.
    """

    samples: Samples
    data: tuple[TrainingData, ...]


def train(config: TrainConfig, progress: Progress | None = None) -> ModelCard:
    """Train a student, score it on held-out groups, and write weights and card.

    Parameters
    ----------
    config
        Tables, sizes, seed, output directory.
    progress
        Called before each step.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    FormatError
        A table that cannot be used for training.
    ModelError
        The output directory cannot be written.
    UsageError
        scikit-learn is not installed, or the training diverged.
    """
    report = progress or _silent
    report("reading tables and drawing mixtures", 0.0)
    data = training_set(config)
    scores: tuple[Score, ...] = ()
    if config.evaluate:
        report("scoring with profiles and countries left out", 0.1)
        scores = _evaluator()(
            data.samples, config, lambda part: report("scoring", 0.1 + 0.8 * part)
        )
    report("fitting on everything", 0.9)
    student = fit_student(data.samples, config)
    card = write_model(config.out, student, replace(_card(config, data, student), scores=scores))
    report("done", 1.0)
    return card


def _evaluator() -> Callable[..., tuple[Score, ...]]:
    try:
        from deepsalt.train.evaluate import evaluate  # scikit-learn, for the baseline
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs {error.name} for its baselines; install deepsalt[train]"
        ) from error
    return evaluate


def _silent(_doing: str, _share: float) -> None:
    """Report nothing."""


def training_set(config: TrainConfig) -> TrainingSet:
    """Read the tables, see them through the sensors, and draw the mixtures.

    Raises
    ------
    FormatError
        A table that cannot be used for training.
    """
    rng = np.random.default_rng([config.seed, 0])
    parts: list[Samples] = []
    data: list[TrainingData] = []
    for table in config.lab:
        lab = read_labelled(table)
        data.append(lab.source)
        parts += _views(lab, config, rng)
    if config.mixtures:
        mixing = MixingConfig()
        each = -(-config.mixtures // len(config.sensors))
        parts += [simulated(sensor, each, rng, mixing) for sensor in config.sensors]
        data.append(_mixture_source(config, mixing))
    return TrainingSet(stack(parts), tuple(data))


def _views(lab: Labelled, config: TrainConfig, rng: np.random.Generator) -> list[Samples]:
    noisy = [
        through_sensor(lab, sensor, rng) for sensor in config.sensors for _ in range(config.copies)
    ]
    return [as_measured(lab), *noisy]


def _mixture_source(config: TrainConfig, mixing: MixingConfig) -> TrainingData:
    settings = repr((mixing, config.mixtures, config.sensors, config.seed))
    return TrainingData(
        name="deepsalt.simulate.draw_mixtures(use='train')",
        kind="simulated",
        rows=config.mixtures,
        groups=config.mixtures,
        sha256=hashlib.sha256(settings.encode()).hexdigest(),
        licence="minerals after the USGS Spectral Library Version 7 (US public domain); soils "
        "after the ICRAF-ISRIC library (CC BY 4.0)",
        attribution="Kokaly et al. 2017, doi:10.3133/ds1035; ICRAF and ISRIC, "
        "doi:10.34725/DVN/MFHA9C",
    )


def _card(config: TrainConfig, data: TrainingSet, student: Student) -> ModelCard:
    ec_max, ec_extrapolated = (float(value) for value in student.limits[:2])
    methods = sorted({table.ec_method for table in config.lab})
    return ModelCard(
        name=config.name,
        family=config.family,
        version=VERSION,
        created_by=f"deepsalt {__version__}",
        bands_nm=tuple(common_nm().tolist()),
        band_width_nm=STEP_NM,
        normalisation=NORMALISATION,
        outputs=OUTPUTS,
        ec_method="; ".join(methods),
        depth="surface as the sensor sees it; the laboratory labels are of horizons of any depth",
        temperature="25 degrees C assumed, not stated by the source",
        ec_max=ec_max,
        ec_extrapolated=ec_extrapolated,
        interval=f"{INTERVAL_COVERAGE:.0%} split conformal on log(EC + 0.03), "
        f"{MISSES_ABOVE:.0%} of samples above and {MISSES_BELOW:.0%} below; predicted widths, "
        "calibrated on regions that a member did not see; the wider of measured and simulated",
        macs_per_pixel=student.macs_per_pixel(_BANDS_OF_ENMAP),
        data=data.data,
        scores=(),
        limits=LIMITS,
        training=_settings(config),
        weights_sha256="",
    )


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings without machine paths."""
    settings = asdict(config)
    del settings["out"]
    settings["lab"] = [{**table, "path": table["path"].name} for table in settings["lab"]]
    for name in ("sensors", "hidden"):  # JSON knows no tuples
        settings[name] = list(settings[name])
    return settings
