"""From samples to a student: laboratory only, or satellite sites with laboratory knowledge."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.train.config import Settings
from deepsalt.train.distil import Reader, calibrated, distilled, teacher_weights
from deepsalt.train.finish import MAX_LOSS_R2, Fitted, finished, penalties_on, reader
from deepsalt.train.infrared import InfraredTeacher, fit_infrared, infrared_report
from deepsalt.train.machine import Machine
from deepsalt.train.samples import (
    Samples,
    as_measured,
    in_the_field,
    stack,
    through_sensor,
)
from deepsalt.train.satellite import fit_satellite
from deepsalt.train.spread import FEW_ABOVE, smeared_r2
from deepsalt.train.tables import Table
from deepsalt.train.teacher import (
    QUIET_BELOW,
    HeldOut,
    Teacher,
    cross_fit,
    fit_teacher,
    quiet_rows,
    student_anchors,
    view_weights,
)

Floats = NDArray[np.float64]

MIN_SAMPLES = 10
"""Labelled samples, or sites, that a fit needs: about two per fold within it."""


def draw_views(tables: Sequence[Table], settings: Settings) -> Samples:
    """Return the samples of tables: as measured, and laboratory spectra through the sensors.

    Beside satellite sites, laboratory spectra are also seen in the field, by the sites' sensors.
    """
    rng = np.random.default_rng([settings.seed, 0])
    looks = dict.fromkeys(t.sensor for t in tables if t.kind != "laboratory")
    parts = []
    for table in tables:
        parts.append(as_measured(table))
        if table.kind == "laboratory":
            for sensor in looks or settings.sensors:
                parts += [through_sensor(table, sensor), through_sensor(table, sensor, rng)]
                if looks:
                    parts.append(in_the_field(table, sensor, rng))
    return stack(parts)


def fit_model(samples: Samples, settings: Settings) -> Fitted:
    """Fit a student on all rows given; nothing else is looked at.

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
            f"all labels are {labelled.ec[0]:g} dS/m; nothing can be learned from them"
        )
    fit = fit_satellite if labelled.satellite.any() else _fit_laboratory
    fitted = fit(samples, labelled, settings)
    return replace(fitted, report=fitted.report | few | note)


def enough(samples: Samples, rows: NDArray[np.bool_] | NDArray[np.intp]) -> bool:
    """Return whether these rows hold labels of `MIN_SAMPLES` samples of one kind."""
    counts = samples.labelled[rows]
    satellite = samples.satellite[rows][counts]
    sites = samples.site[rows][counts]
    return any(np.unique(sites[satellite == kind]).size >= MIN_SAMPLES for kind in (True, False))


def without_few_sites(samples: Samples) -> tuple[Samples, dict[str, str]]:
    """Return samples without labels of satellite sites too few to learn from beside others.

    Raises
    ------
    FormatError
        Laboratory samples are too few as well.
    """
    if not enough(samples, np.ones(len(samples), dtype=np.bool_)):
        count = np.unique(samples.site[samples.labelled]).size
        raise FormatError(
            f"{count} samples have a label, too few to learn from; give at least {MIN_SAMPLES} "
            "of a laboratory or of satellite sites"
        )
    sites = np.unique(samples.site[samples.satellite & samples.labelled]).size
    if not sites or sites >= MIN_SAMPLES:
        return samples, {}
    told = f"{sites} sites with a label are too few; their spectra serve as those without"
    return replace(samples, ec=np.where(samples.satellite, np.nan, samples.ec)), {"sites": told}


def separable(samples: Samples) -> tuple[Samples, dict[str, str]]:
    """Return samples of which parts can be held out within training, and a note where by less.

    Labels of one region are held out by group, those of one group by region, else by sample.
    """
    counts = samples.satellite & samples.labelled
    rows = counts if counts.any() else samples.labelled
    by_name = {"group": samples.group, "region": samples.region, "sample": samples.site}
    usable = [name for name, names in by_name.items() if np.unique(names[rows]).size > 1]
    if not usable:
        raise FormatError("all labels are of one sample; nothing can be held out, add samples")
    chosen = {name: name if name in usable else usable[0] for name in ("group", "region")}
    note = {
        f"{name}s": f"only one; choices and intervals rest on {other}s held out"
        for name, other in chosen.items()
        if name != other
    }
    group, region = by_name[chosen["group"]], by_name[chosen["region"]]
    return replace(samples, group=group, region=region), note


def _fit_laboratory(samples: Samples, labelled: Samples, settings: Settings) -> Fitted:
    held_out, share = cross_fit(labelled, settings)
    teacher = fit_teacher(labelled, settings, share=share)
    inputs, noise = teacher.encoder(labelled.features)
    loud = (noise >= QUIET_BELOW) & ~labelled.pixels
    scored = loud if loud.any() else ~loud
    target = labelled.target
    lost = {
        name: smeared_r2(labelled.ec[scored], getattr(held_out, name)[scored])
        for name in ("student", "teacher", "kernel")
    }
    quiet = quiet_rows(labelled)
    small = lost["student"] >= lost["teacher"] - MAX_LOSS_R2
    anchors = student_anchors(labelled, teacher, settings) if small else inputs[quiet]
    infrared = fit_infrared(labelled, held_out.student, settings)
    location = _distil(
        samples,
        labelled,
        teacher,
        held_out,
        infrared=infrared,
        anchors=anchors,
        settings=settings,
    )
    student = reader(
        teacher.encoder,
        location,
        inputs[scored],
        target[scored] - held_out.student[scored],
        view_weights(labelled, settings)[scored],
        settings=settings,
        above=FEW_ABOVE,
    )
    plain = _quiet_reader(teacher, labelled, held_out, settings)
    report = {
        "held_out_r2_log1p": {name: round(value, 4) for name, value in lost.items()},
        "networks_share": share,
        "shipped": "student" if small else "winner, all samples as anchors",
        "anchors": len(anchors),
    }
    report |= infrared_report(samples, labelled, infrared)
    return Fitted(finished(student, plain, samples, labelled, noise, settings=settings), report)


def _distil(
    samples: Samples,
    labelled: Samples,
    teacher: Teacher,
    held_out: HeldOut,
    *,
    infrared: InfraredTeacher | None,
    anchors: Floats,
    settings: Settings,
) -> Machine:
    """Return the student's location: labels, then the teachers' answers where they are better."""
    weights, target = view_weights(labelled, settings), labelled.target
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
    every, shares = (np.concatenate(column) for column in list(zip(*rows, strict=True))[1:])
    penalties = penalties_on(teacher.encoder, anchors, every, shares, settings)
    return distilled(anchors, rows, settings.ridge, penalties)


def _quiet_reader(
    teacher: Teacher, labelled: Samples, held_out: HeldOut, settings: Settings
) -> Reader:
    rows = quiet_rows(labelled)
    inputs = teacher.quiet_encoder(labelled.features[rows])[0]
    residual = labelled.target[rows] - held_out.kernel[rows]
    ones = np.ones(len(rows))
    return calibrated(
        teacher.quiet_encoder,
        teacher.quiet,
        inputs,
        residual,
        ones,
        ridge=settings.width_ridge,
        above=FEW_ABOVE,
    )
