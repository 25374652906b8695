"""Predictions of teacher and student for rows whose groups they did not see."""

from dataclasses import dataclass, replace

import numpy as np

from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import group_folds, one_standard_error
from deepsalt.train.student.inducing_points import learned_inducing_points
from deepsalt.train.teacher.machine import Machine, choose_inducing_points, fit_machine
from deepsalt.train.teacher.teacher import (
    LOW_NOISE_BELOW,
    Teacher,
    fit_teacher,
    low_noise_rows,
    view_weights,
)
from deepsalt.types import Floats

NETWORK_WEIGHTS = (0.0, 0.25, 0.5)
"""Candidates for the networks' share."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions for each row by models that did not see its group (s,), log(EC + 0.03).

    Parameters
    ----------
    teacher, kernel, networks
        The teacher with its networks' share, its kernel machine alone, its networks alone.
    student
        A student's machine fitted on the same labels.
    """

    teacher: Floats
    kernel: Floats
    networks: Floats
    student: Floats


def cross_fit(samples: Samples, settings: Settings) -> tuple[HeldOut, float]:
    """Predict each labelled row by teacher and student fitted without its group.

    Returns
    -------
    tuple[HeldOut, float]
        Predictions, and the networks' share by the one-standard-error rule towards 0.
    """
    size = len(samples)
    out = HeldOut(*np.full((4, size), np.nan))
    folds = group_folds(samples.group, settings.inner_folds, settings.seed)
    share = 0.0 if settings.networks else None
    for train, test in folds:
        part = samples.take(train)
        teacher = fit_teacher(part, settings, share=share)
        features = samples.features[test]
        inputs, noise = teacher.encoder(features)
        out.kernel[test] = teacher.location(features)
        loud = noise >= LOW_NOISE_BELOW
        out.networks[test] = np.where(
            loud & bool(teacher.networks),
            teacher.network_location(inputs) if teacher.networks else 0.0,
            out.kernel[test],
        )
        out.student[test] = fit_small(part, teacher, settings)(inputs)[:, 0]
    scores = np.array(
        [
            [-np.mean((samples.target[test] - _blend(out, weight)[test]) ** 2) for _, test in folds]
            for weight in NETWORK_WEIGHTS
        ]
    )
    chosen = NETWORK_WEIGHTS[one_standard_error(scores)] if settings.networks else 0.0
    return replace(out, teacher=_blend(out, chosen)), chosen


def _blend(held_out: HeldOut, share: float) -> Floats:
    return held_out.kernel + share * (held_out.networks - held_out.kernel)


def fit_small(samples: Samples, teacher: Teacher, settings: Settings) -> Machine:
    """Fit a machine with the student's few inducing points on the labels."""
    inducing_points = student_inducing_points(samples, teacher, settings)
    inputs = teacher.encoder(samples.features)[0]
    weights = view_weights(samples, settings)
    return fit_machine(inducing_points, inputs, samples.target[:, None], weights, settings.ridge)


def student_inducing_points(samples: Samples, teacher: Teacher, settings: Settings) -> Floats:
    """Return the student's inducing points (m, k): drawn from samples, learned if distilling."""
    inputs = teacher.encoder(samples.features)[0]
    low_noise = low_noise_rows(samples)
    drawn = choose_inducing_points(
        inputs[low_noise], samples.target[low_noise], settings.inducing_points, settings.seed
    )
    if not settings.distil or len(drawn) < settings.inducing_points:
        return drawn
    return learned_inducing_points(
        drawn,
        inputs,
        teacher.mixed(inputs),
        view_weights(samples, settings),
        ids=samples.site,
        steps=settings.inducing_steps,
        seed=settings.seed,
    )
