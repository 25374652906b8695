"""The mid-infrared teacher: a kernel machine on what only a laboratory measures.

Where samples were also measured in the mid-infrared, in which sulphates, carbonates and clays have
their fundamental vibrations, its answers can teach the student beside the labels, and instead of
them where a sample has none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import group_folds
from deepsalt.train.student.distil import teacher_weights
from deepsalt.train.teacher.encoder import Encoder, fit_low_noise
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.train.teacher.teacher import low_noise_rows, view_weights
from deepsalt.train.uncertainty.spread import smeared_r2
from deepsalt.types import Floats

MIN_SPECTRA = 10
"""Labelled samples with a mid-infrared spectrum that a machine needs."""


@dataclass(frozen=True, slots=True, eq=False)
class InfraredMachine:
    """From mid-infrared features (s, i) to log(EC + 0.03) (s,)."""

    encoder: Encoder
    machine: Machine

    def __call__(self, features: NDArray[np.float32]) -> Floats:
        """Return answers (s,) for features (s, i)."""
        answers: Floats = self.machine(self.encoder(features.astype(np.float64))[0])[:, 0]
        return answers


@dataclass(frozen=True, slots=True, eq=False)
class InfraredTeacher:
    """Predictions from the mid-infrared for labelled rows (s).

    Parameters
    ----------
    machine
        Fitted on all labelled samples that have a mid-infrared spectrum.
    held_out
        log(EC + 0.03) by machines that did not see a row's group, NaN where there is none (s,).
    trust
        Weight of these answers by `teacher_weights` against the student's and the mean; 0 where
        there is none (s,).
    """

    machine: InfraredMachine
    held_out: Floats
    trust: Floats

    def lessons(
        self, labelled: Samples, unlabelled: Samples, encoder: Encoder, settings: Settings
    ) -> list[tuple[Floats, Floats, Floats]]:
        """Return what the student is to learn: parts of (inputs, target, weight).

        Held-out answers for labelled rows, plain ones for those without a label, which count as
        much as those of labelled samples in the same view do on average.
        """
        taught = self.trust > 0
        if not taught.any():
            return []
        weights = view_weights(labelled, settings) * self.trust
        inputs = encoder(labelled.features[taught])[0]
        parts = [(inputs, self.held_out[taught], weights[taught])]
        seen = labelled.view[np.isfinite(self.held_out)]
        trust = self.trust[np.isfinite(self.held_out)]
        mean = {view: float(trust[seen == view].mean()) for view in set(seen.tolist())}
        share = np.array([mean.get(view, 0.0) for view in unlabelled.view.tolist()])
        more = unlabelled.has_infrared & (share > 0)
        if unlabelled.infrared is not None and more.any():
            weights = view_weights(unlabelled, settings) * share
            answers = self.machine(unlabelled.infrared[more])
            parts.append((encoder(unlabelled.features[more])[0], answers, weights[more]))
        return parts


def fit_infrared(labelled: Samples, rival: Floats, settings: Settings) -> InfraredTeacher | None:
    """Fit the mid-infrared teacher on the labelled samples that have a spectrum of it.

    Parameters
    ----------
    labelled
        All views of labelled samples; nothing else is used.
    rival
        The student's held-out answers, log(EC + 0.03) (s,).
    settings
        Components, ridge, folds, seed.

    Returns
    -------
    InfraredTeacher | None
        None if too few samples have such a spectrum, or nothing is distilled.
    """
    machine = _fit(labelled, settings)
    if labelled.infrared is None or machine is None or not settings.distil:
        return None
    held_out, mean = np.full((2, len(labelled)), np.nan)
    for train, test in group_folds(labelled.group, settings.inner_folds, settings.seed):
        rows = test[labelled.has_infrared[test]]
        part = _fit(labelled.take(train), settings)
        if part is not None and rows.size:
            held_out[rows] = part(labelled.infrared[rows])
            mean[rows] = part.machine.bias[0]
    known = np.isfinite(held_out)
    if not known.any():
        return None
    trust = np.zeros(len(labelled))
    answers = held_out[known]
    target = labelled.target[known]
    views = labelled.view[known]
    # Beside a poor student noise would be trusted as well: it answers with about the mean.
    trust[known] = np.minimum(
        *(teacher_weights(answers, target, other[known], views) for other in (rival, mean))
    )
    return InfraredTeacher(machine, held_out, trust)


def _fit(samples: Samples, settings: Settings) -> InfraredMachine | None:
    one = samples.take(low_noise_rows(samples))
    one = one.take(one.has_infrared)
    if one.infrared is None or len(one) < MIN_SPECTRA:
        return None
    features = one.infrared.astype(np.float64)
    encoder = fit_low_noise(features, settings.low_noise_components)
    inputs = encoder(features)[0]
    ones = np.ones(len(one))
    machine = fit_machine(inputs, inputs, one.target[:, None], ones, settings.ridge)
    return InfraredMachine(encoder, machine)


def infrared_report(
    samples: Samples, labelled: Samples, teacher: InfraredTeacher | None
) -> dict[str, Any]:
    """Return the mid-infrared's results as plain values; empty if no sample has it."""
    if samples.infrared is None:
        return {}
    told: dict[str, Any] = {"samples": int(np.unique(samples.site[samples.has_infrared]).size)}
    told["used"] = []
    if teacher is not None:
        one = low_noise_rows(labelled)
        one = one[np.isfinite(teacher.held_out[one])]
        score = smeared_r2(labelled.ec[one], teacher.held_out[one])
        told["held_out_r2_log1p"] = round(score, 4) if np.isfinite(score) else None
        told["used"] = np.unique(labelled.view[teacher.trust > 0]).tolist()
    return {"mid_infrared": told}
