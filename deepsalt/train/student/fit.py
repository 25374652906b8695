"""From samples to a student: laboratory only, or satellite sites with laboratory knowledge."""

from dataclasses import replace

import numpy as np

from deepsalt.errors import FormatError
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.sufficiency import separable, without_few_sites
from deepsalt.train.student.base import Base
from deepsalt.train.student.cross import HeldOut, cross_fit, student_inducing_points
from deepsalt.train.student.distil import (
    MAX_LOSS_R2,
    CalibratedMachine,
    Fitted,
    HeldOutRows,
    calibrated,
    distilled,
    finished,
    teacher_weights,
)
from deepsalt.train.student.infrared import InfraredTeacher, fit_infrared, infrared_report
from deepsalt.train.student.satellite import fit_satellite
from deepsalt.train.teacher.machine import Machine
from deepsalt.train.teacher.teacher import (
    LOW_NOISE_BELOW,
    Teacher,
    fit_teacher,
    low_noise_rows,
    view_weights,
)
from deepsalt.train.uncertainty.spread import smeared_r2
from deepsalt.types import Floats


def fit_model(samples: Samples, settings: Settings, base: Base | None = None) -> Fitted:
    """Fit a student on all given rows; uses nothing else but a base model.

    Parameters
    ----------
    samples
        The rows.
    settings
        How to train.
    base
        The model that satellite sites stand beside. Default: none.

    Raises
    ------
    FormatError
        Labels of too few samples, or all alike.
    """
    samples, few = without_few_sites(samples)
    samples, note = separable(samples)
    labelled = samples.take(samples.labelled)
    if labelled.ec.min() == labelled.ec.max():
        raise FormatError(
            f"all labels are {labelled.ec[0]:g} dS/m, so nothing can be learned; give labels that "
            f"differ"
        )
    if labelled.satellite.any():
        fitted = fit_satellite(samples, labelled, settings, base)
    else:
        fitted = _fit_laboratory(samples, labelled, settings)
    return replace(fitted, report=fitted.report | few | note)


def _fit_laboratory(samples: Samples, labelled: Samples, settings: Settings) -> Fitted:
    held_out, share = cross_fit(labelled, settings)
    teacher = fit_teacher(labelled, settings, share=share)
    inputs, noise = teacher.encoder(labelled.features)
    loud = (noise >= LOW_NOISE_BELOW) & ~labelled.pixels
    scored = loud if loud.any() else ~loud
    lost = {
        name: smeared_r2(labelled.ec[scored], getattr(held_out, name)[scored])
        for name in ("student", "teacher", "kernel")
    }
    low_noise = low_noise_rows(labelled)
    small = lost["student"] >= lost["teacher"] - MAX_LOSS_R2
    inducing_points = (
        student_inducing_points(labelled, teacher, settings) if small else inputs[low_noise]
    )
    infrared = fit_infrared(labelled, held_out.student, settings)
    location = _distil(
        samples,
        labelled,
        teacher,
        held_out,
        infrared=infrared,
        inducing_points=inducing_points,
        settings=settings,
    )
    student = calibrated(
        teacher.encoder,
        location,
        HeldOutRows(
            inputs[scored],
            held_out.student[scored],
            labelled.ec[scored],
            labelled.group[scored],
            view_weights(labelled, settings)[scored],
        ),
        ridge=settings.width_ridge,
    )
    plain = _low_noise_machine(teacher, labelled, held_out, settings)
    report = {
        "held_out_r2_log1p": {name: round(value, 4) for name, value in lost.items()},
        "networks_share": share,
        "shipped": "student" if small else "winner, all samples as inducing points",
        "inducing_points": len(inducing_points),
    }
    report |= infrared_report(samples, labelled, infrared)
    weights = finished(student, plain, samples, labelled, noise, settings=settings)
    return Fitted(weights, report, student.known, plain.known)


def _distil(
    samples: Samples,
    labelled: Samples,
    teacher: Teacher,
    held_out: HeldOut,
    *,
    infrared: InfraredTeacher | None,
    inducing_points: Floats,
    settings: Settings,
) -> Machine:
    """Return the student's location: labels, then the teachers' answers where they are better."""
    weights = view_weights(labelled, settings)
    target = labelled.target
    inputs = teacher.encoder(labelled.features)[0]
    rows = [(inputs, target, weights)]
    if settings.distil:
        trust = teacher_weights(held_out.teacher, target, held_out.student, labelled.view)
        rows.append((inputs, held_out.teacher, weights * trust))
        unlabelled = samples.take(~samples.labelled)
        if len(unlabelled) and trust.any():
            encoded = teacher.encoder(unlabelled.features)[0]
            answers = teacher.location(unlabelled.features)
            share = float(trust.mean()) * view_weights(unlabelled, settings)
            rows.append((encoded, answers, share))
        if infrared is not None:
            rows += infrared.lessons(labelled, unlabelled, teacher.encoder, settings)
    return distilled(inducing_points, rows, settings.ridge)


def _low_noise_machine(
    teacher: Teacher, labelled: Samples, held_out: HeldOut, settings: Settings
) -> CalibratedMachine:
    rows = low_noise_rows(labelled)
    inputs = teacher.low_noise_encoder(labelled.features[rows])[0]
    ones = np.ones(len(rows))
    return calibrated(
        teacher.low_noise_encoder,
        teacher.low_noise,
        HeldOutRows(inputs, held_out.kernel[rows], labelled.ec[rows], labelled.group[rows], ones),
        ridge=settings.width_ridge,
    )
