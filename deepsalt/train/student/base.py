"""The model that there is before any site: as it is, moved by a line, or beside the sites.

Few sites may say less than a library of laboratory spectra does, and both together more than one.
So what leans on most sources is taken, sites and library, else halves of the model and the sites,
unless held-out blocks show that one of them alone is better by more than one standard error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.model.card import ModelCard
from deepsalt.model.load import load_student, model_card
from deepsalt.model.student import Student
from deepsalt.train.adaptation.combine import rising_line, scores_by_fold
from deepsalt.train.adaptation.sites import mean_machine
from deepsalt.train.config import Settings
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import one_standard_error
from deepsalt.train.student.distil import EXTRAPOLATED_QUANTILE, CalibratedMachine, assemble
from deepsalt.train.teacher.encoder import Encoder
from deepsalt.train.teacher.machine import Machine, choose_inducing_points
from deepsalt.train.teacher.teacher import view_weights
from deepsalt.train.uncertainty.contrast import Contrast
from deepsalt.train.uncertainty.domain import Domain
from deepsalt.types import Floats, ModelRef

AS_IT_IS = "the model, calibrated on the sites"
BY_A_LINE = "the model, moved by a line and calibrated"
HALF = "half the model moved by a line, half the sites"
SITES_ALONE = "sites alone"
BOTH = "sites and laboratory"
FROM_BASE = (HALF, AS_IT_IS, BY_A_LINE)
"""Candidates that keep the base model's encoder and its test for spectra unlike the training's."""


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

    def with_sites(self, sites: Samples, settings: Settings) -> Machine:
        """Return half its location, moved by a line through sites, plus half a machine on them.

        Both share its encoder, so that their mean is one machine. Two predictors whose errors
        differ are better together than either, and their mean needs no choice.
        """
        weights = view_weights(sites, settings)
        line = rising_line(self.location(sites.features), sites.target, weights)
        inputs = self.encoder(sites.features)[0]
        points = choose_inducing_points(
            inputs, sites.target, settings.inducing_points, settings.seed
        )
        halves = self.moved(*line), mean_machine(points, inputs, sites.target, weights)
        return Machine(
            np.concatenate([half.inducing_points for half in halves]),
            0.5 * np.concatenate([half.heads for half in halves]),
            0.5 * (halves[0].bias + halves[1].bias),
        )

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
        """Whether it is made of the base model."""
        return self.name in FROM_BASE


def compare(
    base: Base,
    own: Mapping[str, Floats],
    sites: Samples,
    settings: Settings,
    folds: Sequence[NDArray[np.intp]],
) -> Compared:
    """Choose between the base model, a line through it, models of the sites, and halves of both.

    Parameters
    ----------
    base
        The base model.
    own
        Held-out answers of the sites' own models (s,).
    sites
        Labelled sites.
    settings
        How to train.
    folds
        Rows that were held out together.
    """
    blocks = np.unique(sites.region).size if base.blocks is None else base.blocks
    known = base.location(sites.features)
    weights = view_weights(sites, settings)
    answers = as_it_is_and_moved(known, sites.target, weights, folds)
    has_halves = blocks >= MIN_BLOCKS
    if has_halves:
        half = np.empty(len(sites))
        every = np.arange(len(sites))
        for hidden in folds:
            rest = sites.take(np.setdiff1d(every, hidden))
            inputs = base.encoder(sites.features[hidden])[0]
            half[hidden] = base.with_sites(rest, settings)(inputs)[:, 0]
        # What leans on most sources comes first: leaving one out has to be worth it.
        both = {name: said for name, said in own.items() if name == BOTH}
        answers = {**both, HALF: half, **answers, **own}
    return choose(answers, known, sites.target, weights, folds, paired=not has_halves)


def as_it_is_and_moved(
    known: Floats, target: Floats, weights: Floats, folds: Sequence[NDArray[np.intp]]
) -> dict[str, Floats]:
    """Return a model's answers (s,), as they are and moved by a line that did not see a fold.

    Parameters
    ----------
    known
        The model's log(EC + 0.03) (s,).
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
    return {AS_IT_IS: known, BY_A_LINE: by_line}


def choose(
    answers: Mapping[str, Floats],
    known: Floats,
    target: Floats,
    weights: Floats,
    folds: Sequence[NDArray[np.intp]],
    *,
    paired: bool = True,
) -> Compared:
    """Choose between held-out answers, by the one-standard-error rule towards the first.

    Parameters
    ----------
    answers
        Of all candidates (s,), by name.
    known, target, weights, folds
        As in `as_it_is_and_moved`.
    paired
        As in `one_standard_error`.
    """
    scores = np.array([scores_by_fold(target, said, folds) for said in answers.values()])
    name = [*answers][one_standard_error(scores, paired=paired)]
    line = rising_line(known, target, weights) if name == BY_A_LINE else (0.0, 1.0)
    errors = {key: round(-float(row.mean()), 5) for key, row in zip(answers, scores, strict=True)}
    return Compared(name, answers[name], line, errors)
