"""Distillation: from what the teacher says out of fold to the student's weights.

Response distillation: where the teacher's held-out answers are better than the student's, the
student learns from both the label and that answer, weighted by the teacher's variance there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.model.card import Chance
from deepsalt.model.memory import Memory
from deepsalt.model.student import LOG_WIDTHS, Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.teacher.encoder import Encoder
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.train.teacher.teacher import LOW_NOISE_BELOW
from deepsalt.train.uncertainty.chance import fit_chances
from deepsalt.train.uncertainty.domain import Domain, fit_domain
from deepsalt.train.uncertainty.intervals import EcClass, fit_classes
from deepsalt.train.uncertainty.spread import log_width, residual_nodes
from deepsalt.types import Floats

MAX_LOSS_R2 = 0.02
"""R² of log1p(EC) that the student may lose against the winner; else the winner ships."""

EXTRAPOLATED_QUANTILE = 0.995
"""Quantile of the labels above which an estimate counts as extrapolated."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A student and how it came about.

    Parameters
    ----------
    student
        Its weights.
    report
        Choices made on held-out groups, as plain values for the card.
    chances
        What probabilities rest on.
    low_noise_chances
        The same of the machine for low-noise spectra; empty if there is none.
    """

    student: Student
    report: dict[str, Any]
    chances: tuple[Chance, ...]
    low_noise_chances: tuple[Chance, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedMachine:
    """An encoder and a machine with location and width, calibrated.

    Parameters
    ----------
    encoder
        From features to inputs.
    machine
        Heads in the order of `deepsalt.model.student.HEADS`.
    nodes
        Quantiles of held-out residuals over widths.
    classes
        What an interval holds, by class of EC.
    chances
        Probability of a higher EC at `CHANCE_KNOTS`.
    known
        What probabilities rest on, by threshold.
    """

    encoder: Encoder
    machine: Machine
    nodes: Floats
    classes: tuple[EcClass, ...]
    chances: Floats
    known: tuple[Chance, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRows:
    """Labelled rows with answers of models that did not see their groups.

    Parameters
    ----------
    inputs
        Encoded (s, k), k = 0 for the cells of a map, which keeps no spectra.
    location
        Held-out answers, log(EC + 0.03) (s,).
    ec
        Labels, dS/m (s,).
    groups
        What counts as one soil: profile or site (s,).
    weights
        (s,)
    """

    inputs: Floats
    location: Floats
    ec: Floats
    groups: NDArray[np.str_]
    weights: Floats


def calibrated(
    encoder: Encoder, location: Machine, rows: HeldOutRows, *, ridge: float
) -> CalibratedMachine:
    """Add a width to a location and calibrate both on held-out answers.

    Parameters
    ----------
    encoder, location
        Of the reader.
    rows
        What held-out answers say.
    ridge
        Of the width's head.
    """
    residual = np.log(rows.ec + EC_SHIFT) - rows.location
    width = fit_machine(
        location.inducing_points, rows.inputs, log_width(residual)[:, None], rows.weights, ridge
    )
    both = Machine(
        location.inducing_points,
        np.column_stack([location.heads[:, 0], width.heads[:, 0]]),
        np.array([location.bias[0], width.bias[0]]),
    )
    return with_widths(encoder, both, rows, width(rows.inputs)[:, 0])


def with_widths(
    encoder: Encoder, machine: Machine, rows: HeldOutRows, log_widths: Floats
) -> CalibratedMachine:
    """Calibrate a location and a width on held-out answers.

    Parameters
    ----------
    encoder, machine
        Of the reader.
    rows
        What held-out answers say.
    log_widths
        Logarithm of the width that the machine predicts for each row (s,).
    """
    residual = np.log(rows.ec + EC_SHIFT) - rows.location
    spread = np.exp(np.clip(log_widths, *LOG_WIDTHS))
    nodes = residual_nodes(residual, spread, rows.weights)
    classes = fit_classes(residual, spread, rows.ec, rows.groups)
    chances, known = fit_chances(rows.location, spread, nodes, rows.ec, rows.groups)
    return CalibratedMachine(encoder, machine, nodes, classes, chances, known)


def distilled(
    inducing_points: Floats, rows: Sequence[tuple[Floats, Floats, Floats]], ridge: float
) -> Machine:
    """Fit a location on labels and answers of the teacher.

    Parameters
    ----------
    inducing_points
        (m, k)
    rows
        Parts of (inputs, target, weight): labels first, then answers of the teacher.
    ridge
        As for `fit_machine`.
    """
    inputs, target, weights = (np.concatenate(column) for column in zip(*rows, strict=True))
    return fit_machine(inducing_points, inputs, target[:, None], weights, ridge)


def teacher_weights(answers: Floats, target: Floats, rival: Floats, views: NDArray) -> Floats:  # type: ignore[type-arg]
    """Return the weight of the teacher's held-out answers (s,), 0 to 1.

    0 in views where its mean squared error is not below the rival's; elsewhere 1 / (1 + v), v
    being the squared error of the teacher around answers like this one over the mean.
    """
    weights = np.zeros(answers.size)
    for view in np.unique(views):
        rows = np.flatnonzero(views == view)
        error = (target[rows] - answers[rows]) ** 2
        if error.mean() >= ((target[rows] - rival[rows]) ** 2).mean():
            continue
        typical = max(float(error.mean()), 1e-12)
        order = rows[np.argsort(answers[rows], kind="stable")]
        parts = np.array_split(order, max(1, min(10, rows.size // 30)))
        for part in parts:
            variance = ((target[part] - answers[part]) ** 2).mean() / typical
            weights[part] = 1.0 / (1.0 + variance)
    return weights


def assemble(
    student: CalibratedMachine,
    low_noise: CalibratedMachine | None,
    domain: Domain,
    *,
    ec_max: float,
    ec_extrapolated: float,
    low_noise_below: float,
) -> Student:
    """Return the student made of its readers, the low-noise one with its scale folded in."""
    size = student.encoder.rows.shape[1]
    if low_noise is None:
        none = Encoder(np.zeros((1, size)), np.zeros(1), np.zeros(1), np.ones(1))
        machine = Machine(np.zeros((0, 1)), np.zeros((0, 2)), np.zeros(2))
        low_noise = replace(student, encoder=none, machine=machine)
    scale = low_noise.encoder.scale
    rows = low_noise.encoder.rows[: scale.size]
    offset = low_noise.encoder.offset[: scale.size]
    limits = [math.ceil(ec_max), ec_extrapolated, domain.max_t2, domain.max_q]
    limits += [low_noise_below, domain.flaw]
    weights: dict[str, ArrayLike] = {
        "components": student.encoder.rows,
        "component_offset": student.encoder.offset,
        "domain": domain.rows,
        "domain_offset": domain.offset,
        "domain_shrinkage": domain.shrinkage,
        "contrast": domain.contrast.rows,
        "contrast_offset": domain.contrast.offset,
        "contrast_weights": domain.contrast.weights,
        "shrinkage": student.encoder.shrinkage,
        "scale": student.encoder.scale,
        "inducing_points": student.machine.inducing_points,
        "heads": student.machine.heads.T,
        "heads_bias": student.machine.bias[:, None],
        "low_noise_components": rows * scale[:, None],
        "low_noise_offset": offset * scale,
        "low_noise_inducing_points": low_noise.machine.inducing_points,
        "low_noise_heads": low_noise.machine.heads.T,
        "low_noise_bias": low_noise.machine.bias[:, None],
        "nodes": student.nodes,
        "low_noise_nodes": low_noise.nodes,
        "intervals": [each.row() for each in student.classes],
        "low_noise_intervals": [each.row() for each in low_noise.classes],
        "chances": student.chances,
        "low_noise_chances": low_noise.chances,
        "limits": limits,
    }
    return Student(**{name: _float32(values) for name, values in weights.items()})


def _float32(values: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.array(values, dtype=np.float32)))


def finished(
    student: CalibratedMachine,
    low_noise: CalibratedMachine | None,
    samples: Samples,
    labelled: Samples,
    noise: Floats,
    *,
    settings: Settings,
) -> Student:
    """Return the student of these readers; samples (unadapted) and their noise are its domain."""
    spectra = samples.take(~samples.pixels).features
    domain = fit_domain(student.encoder, spectra, noise, settings.domain)
    return assemble(
        student,
        low_noise,
        domain,
        ec_max=float(labelled.ec.max()),
        ec_extrapolated=float(np.quantile(labelled.ec, EXTRAPOLATED_QUANTILE)),
        low_noise_below=LOW_NOISE_BELOW if low_noise is not None else -1.0,
    )


def estimates(student: Student, features: Floats) -> Estimates:
    """Return the student's estimates for features (s, d), by its own forward pass."""
    with one_torch_thread(), torch.inference_mode():
        *values, bits = student.answer(
            _components(features, student.components, student.component_offset),
            *_brightness(features),
            lambda chosen: _components(
                features, student.low_noise_components, student.low_noise_offset
            )[:, chosen],
        )
    return Estimates.of(torch.stack(values).numpy(), bits.numpy().astype(np.uint16))


def by_low_noise(student: Student, features: Floats) -> NDArray[np.bool_]:
    """Return which features (s, d) the student's machine for low-noise spectra answers (s,)."""
    if not len(student.low_noise_inducing_points):
        return np.zeros(len(features), np.bool_)
    with torch.inference_mode():
        seen = _components(features, student.components, student.component_offset)
        chosen = student.low_noise(student.noise(seen, Memory()), *_brightness(features))
    return chosen.numpy()


def _components(features: Floats, rows: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    values = features @ rows.double().numpy().T + offset.double().numpy()
    return torch.from_numpy(values.T.astype(np.float32))


def _brightness(features: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scatter and flatness of spectra (s,), as `Student.answer` takes them."""
    logarithms = -features[:, -2:].sum(axis=1), -2.0 * features[:, -1]
    scatter, flatness = (torch.from_numpy(np.exp(each).astype(np.float32)) for each in logarithms)
    return scatter, flatness
