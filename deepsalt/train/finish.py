"""The last steps of every fit: penalties, a calibrated reader, the assembled student."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.model.student import Student
from deepsalt.train.config import Settings
from deepsalt.train.constraints import Penalty
from deepsalt.train.distil import Reader, assemble, calibrated
from deepsalt.train.domain import fit_domain
from deepsalt.train.encoder import Encoder
from deepsalt.train.lines import location_penalties, width_penalties
from deepsalt.train.machine import Machine
from deepsalt.train.samples import Samples
from deepsalt.train.teacher import QUIET_BELOW

Floats = NDArray[np.float64]

MAX_LOSS_R2 = 0.02
"""R² of log1p(EC) that the student may lose against the winner; else the winner ships."""

_EXTRAPOLATED_QUANTILE = 0.995


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A student and how it came about.

    Parameters
    ----------
    student
        Its weights.
    report
        What was chosen on held-out groups, plain values for the card.
    """

    student: Student
    report: dict[str, Any]


def penalties_on(
    encoder: Encoder, anchors: Floats, target: Floats, weights: Floats, settings: Settings
) -> list[Penalty]:
    """Return penalties on the location; their bounds are relative to the mean it starts from."""
    return location_penalties(
        encoder, anchors, float(np.average(target, weights=weights)), settings
    )


def reader(
    encoder: Encoder,
    location: Machine,
    inputs: Floats,
    residual: Floats,
    weights: Floats,
    *,
    settings: Settings,
    above: float,
) -> Reader:
    """Return a reader of a location, calibrated on residuals (s,) of encoded rows (s, k)."""
    return calibrated(
        encoder,
        location,
        inputs,
        residual,
        weights,
        ridge=settings.width_ridge,
        penalties=width_penalties(encoder, location.anchors, settings),
        above=above,
    )


def finished(
    student: Reader,
    quiet: Reader | None,
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
        quiet,
        domain,
        ec_max=float(labelled.ec.max()),
        ec_extrapolated=float(np.quantile(labelled.ec, _EXTRAPOLATED_QUANTILE)),
        quiet_below=QUIET_BELOW if quiet is not None else -1.0,
    )
