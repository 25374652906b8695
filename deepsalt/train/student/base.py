"""The model that there is before any site: with its own location, or moved by a line.

Few sites may say less than a library of laboratory spectra does. So the sites' own models have to
beat, on held-out blocks, the model that ships; of those within one standard error of the best the
simplest is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.model.card import ModelCard
from deepsalt.model.load import load_student, model_card
from deepsalt.model.student import Student
from deepsalt.train.adaptation.combine import rising_line, scores_by_fold
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import one_standard_error
from deepsalt.train.student.distil import EXTRAPOLATED_QUANTILE, CalibratedMachine, assemble
from deepsalt.train.teacher.encoder import Encoder
from deepsalt.train.teacher.machine import Machine
from deepsalt.train.uncertainty.contrast import Contrast
from deepsalt.train.uncertainty.domain import Domain
from deepsalt.types import Floats, ModelRef

AS_IT_IS = "the model, calibrated on the sites"
BY_A_LINE = "the model, moved by a line and calibrated"
SITES_ALONE = "sites alone"
BOTH = "sites and laboratory"


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """A model that was trained before.

    Parameters
    ----------
    student, card
        The model.
    digest
        Its digest.
    blocks
        Blocks of sites in all: folds of an evaluation, which have fewer, choose between the same
        candidates as the model itself. None: those that are given.
    """

    student: Student
    card: ModelCard
    digest: str
    blocks: int | None = None

    @classmethod
    def of(cls, ref: ModelRef, blocks: int | None = None) -> "Base":
        """Load a model.

        Raises
        ------
        ModelError
            Its files are missing, unreadable or disagree.
        """
        return cls(load_student(ref), model_card(ref), ref.digest, blocks)

    @property
    def encoder(self) -> Encoder:
        """Its encoder for all spectra."""
        own = self.student
        tensors = (own.components, own.component_offset, own.shrinkage, own.scale)
        return Encoder(*(tensor.double().numpy() for tensor in tensors))

    @property
    def domain(self) -> Domain:
        """Its test for spectra unlike the training's."""
        own = self.student
        tensors = (own.domain, own.domain_offset, own.domain_shrinkage)
        rows, offset, shrinkage = (tensor.double().numpy() for tensor in tensors)
        limits = own.limits.double().tolist()
        contrast = (own.contrast, own.contrast_offset, own.contrast_weights)
        built = Contrast(*(tensor.double().numpy() for tensor in contrast))
        return Domain(rows, offset, shrinkage, limits[5], limits[2], limits[3], built)

    def moved(self, level: float, slope: float, factor: float | None = None) -> Machine:
        """Return its location, moved to level + slope x location.

        With a factor also its width, times this factor, as a second head.
        """
        own = self.student
        heads = own.heads.double().numpy().T
        bias = own.heads_bias[:, 0].double().numpy()
        points = own.inducing_points.double().numpy()
        if factor is None:
            return Machine(points, slope * heads[:, :1], level + slope * bias[:1])
        shifted = np.array([level + slope * bias[0], bias[1] + np.log(factor)])
        return Machine(points, heads * np.array([slope, 1.0]), shifted)

    def assembled(self, reader: CalibratedMachine, ec: Floats) -> Student:
        """Return a student with another reader, calibrated on labels (s,), and this one's domain.

        All spectra go to that reader, low-noise ones as well.
        """
        ec_max, ec_extrapolated = self.student.limits[:2].tolist()
        return assemble(
            reader,
            None,
            self.domain,
            ec_max=max(ec_max, float(ec.max())),
            ec_extrapolated=max(ec_extrapolated, float(np.quantile(ec, EXTRAPOLATED_QUANTILE))),
            low_noise_below=-1.0,
        )

    def location(self, features: Floats) -> Floats:
        """Return log(EC + 0.03) (s,) of features (s, d)."""
        answers: Floats = self.moved(0.0, 1.0)(self.encoder(features)[0])[:, 0]
        return answers

    def residual(self, features: Floats, target: Floats) -> Floats:
        """Return what its location, moved by a line, leaves of a target (s,), NaN if unknown."""
        return left_by_line(self.location(features), target)


def left_by_line(known: Floats, target: Floats) -> Floats:
    """Return what a line through answers leaves of a target (s,), NaN where that is unknown."""
    rows = np.isfinite(target)
    level, slope = rising_line(known[rows], target[rows], np.ones(int(rows.sum())))
    return np.asarray(target - level - slope * known)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What is taken on held-out blocks.

    Parameters
    ----------
    name
        The candidate.
    held_out
        Its held-out answers (s,).
    line
        Level and slope of the base model's location, where that is taken.
    errors
        Mean squared error of log(EC + 0.03) by candidate.
    """

    name: str
    held_out: Floats
    line: tuple[float, float]
    errors: dict[str, float]

    @property
    def is_base(self) -> bool:
        """Whether the base model is taken, as it is or moved."""
        return self.name in (AS_IT_IS, BY_A_LINE)


def compare(
    base: Base,
    own: Mapping[str, Floats],
    sites: Samples,
    weights: Floats,
    folds: Sequence[NDArray[np.intp]],
) -> Compared:
    """Choose between the base model, a line through it, and models of the sites.

    Parameters
    ----------
    base
        The base model.
    own
        Held-out answers of the sites' own models (s,), from the simplest on.
    sites, weights
        Labelled sites, and how much each row counts (s,).
    folds
        Rows that were held out together.
    """
    blocks = np.unique(sites.region).size if base.blocks is None else base.blocks
    known = base.location(sites.features)
    return choose(known, own if blocks >= MIN_BLOCKS else {}, sites.target, weights, folds)


def choose(
    known: Floats,
    own: Mapping[str, Floats],
    target: Floats,
    weights: Floats,
    folds: Sequence[NDArray[np.intp]],
) -> Compared:
    """Choose between answers of a model as they are, moved by a line, and others.

    Parameters
    ----------
    known
        The model's log(EC + 0.03) (s,).
    own
        Held-out answers of others (s,), from the simplest on.
    target, weights
        Labels as log(EC + 0.03), and how much each row counts (s,).
    folds
        Rows that were held out together.
    """
    by_line = np.empty(target.size)
    every = np.arange(target.size)
    for hidden in folds:
        rest = np.setdiff1d(every, hidden)
        level, slope = rising_line(known[rest], target[rest], weights[rest])
        by_line[hidden] = level + slope * known[hidden]
    answers = {AS_IT_IS: known, BY_A_LINE: by_line, **own}
    scores = np.array([scores_by_fold(target, said, folds) for said in answers.values()])
    name = [*answers][one_standard_error(scores)]
    line = rising_line(known, target, weights) if name == BY_A_LINE else (0.0, 1.0)
    errors = {key: round(-float(row.mean()), 5) for key, row in zip(answers, scores, strict=True)}
    return Compared(name, answers[name], line, errors)
