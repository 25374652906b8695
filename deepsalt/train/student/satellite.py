"""From satellite sites, with laboratory knowledge where it proved itself, to a student."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from deepsalt.train.adaptation.combine import Choice, Combined, fit_combined
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import IN_THE_FIELD, Samples
from deepsalt.train.student.base import BOTH, HALF, SITES_ALONE, Base, Compared, compare
from deepsalt.train.student.distil import (
    MAX_LOSS_R2,
    Fitted,
    HeldOutRows,
    calibrated,
    distilled,
    finished,
)
from deepsalt.train.student.inducing_points import learned_inducing_points
from deepsalt.train.teacher.encoder import Encoder
from deepsalt.train.teacher.machine import Machine, choose_inducing_points
from deepsalt.train.teacher.teacher import view_weights
from deepsalt.train.uncertainty.spread import smeared_r2
from deepsalt.types import Floats

_INTERPOLATION = 1e-3  # ridge of a student that copies answers rather than noisy labels
_ALL = "winner, all spectra as inducing points"
_LIBRARY_SHARE = 0.2  # weight of a laboratory spectrum seen in the field, relative to a real one


def fit_satellite(
    samples: Samples, labelled: Samples, settings: Settings, base: Base | None = None
) -> Fitted:
    """Fit a student for the sites' spectra.

    Parameters
    ----------
    samples, labelled
        All rows, and those with a label: satellite sites, and views of laboratory samples.
    settings
        How to train.
    base
        The model that the sites stand beside; None: they stand alone.
    """
    sites = labelled.take(labelled.satellite)
    lab = labelled.take(~labelled.satellite)
    # Laboratory samples of another kind than the sites' spectra would not be a library.
    more = samples.take(samples.satellite & ~samples.labelled)
    model, choice = fit_combined(sites, lab if len(lab) else None, settings, more)
    followed = _followed(model, choice, samples, sites, settings)
    told: dict[str, Any] = {}
    if choice.weight and not choice.gains(sites.target, followed.held_out):
        # What cannot be carried into a student must not cost either.
        told = {"not_carried": followed.told}
        model, choice = model.alone, choice.alone
        followed = _followed(model, choice, samples, sites, settings)
    if base is not None:
        own = {SITES_ALONE: choice.sites_held_out if choice.weight else followed.held_out}
        if choice.weight:
            own[BOTH] = followed.held_out
        found = compare(base, own, sites, settings, [rows for rows, _ in choice.models])
        told |= {"picked": found.name, "compared": found.errors}
        if found.is_base:
            return _moved(base, found, sites, settings, told)
        if found.name == SITES_ALONE and choice.weight:
            model, choice = model.alone, choice.alone
            followed = _followed(model, choice, samples, sites, settings)
    rows = _rows(model.encoder, followed.held_out, sites, settings)
    student = calibrated(model.encoder, followed.location, rows, ridge=settings.width_ridge)
    seen = samples.take(samples.satellite)
    noise = model.encoder(seen.features)[1]
    report = {
        "laboratory_weight": choice.weight,
        "adaptations": list(choice.adaptation),
        "held_out_mse_log_ec": choice.scores,
        "inducing_points": len(followed.location.inducing_points),
    }
    tensors = finished(student, None, seen, sites, noise, settings=settings)
    return Fitted(tensors, report | told | followed.told, student.known)


def _rows(encoder: Encoder, held_out: Floats, sites: Samples, settings: Settings) -> HeldOutRows:
    return HeldOutRows(
        encoder(sites.features)[0],
        held_out,
        sites.ec,
        sites.site,
        view_weights(sites, settings),
    )


def _moved(
    base: Base, found: Compared, sites: Samples, settings: Settings, told: dict[str, Any]
) -> Fitted:
    """Return a student made of the base model, calibrated on the sites."""
    encoder = base.encoder
    if found.name == HALF:
        location = base.with_sites(sites, settings)
    else:
        location = base.moved(*found.line)
        told = told | {"level": found.line[0], "slope": found.line[1]}
    rows = _rows(encoder, found.held_out, sites, settings)
    student = calibrated(encoder, location, rows, ridge=settings.width_ridge)
    told = told | {"inducing_points": len(location.inducing_points)}
    return Fitted(base.assembled(student, sites.ec), told, student.known)


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """A student's location, its held-out answers (s,), and what they say."""

    location: Machine
    held_out: Floats
    told: dict[str, Any]


def _followed(
    model: Combined, choice: Choice, samples: Samples, sites: Samples, settings: Settings
) -> _Followed:
    """Return a student's location that follows the model.

    Sites alone are few enough to be the student's inducing points; else it copies the model, with
    all spectra as inducing points where few lose more than `MAX_LOSS_R2` on held-out regions.
    """
    machine = model.sites.machine
    if not model.weight and len(machine.inducing_points) <= settings.inducing_points:
        return _Followed(machine, choice.held_out, {})
    shipped = "student"
    count = settings.inducing_points
    said = {"combination": choice.held_out}
    said[shipped] = _held_out(choice, samples, sites, count, settings)
    scores = {name: smeared_r2(sites.ec, answers) for name, answers in said.items()}
    if scores[shipped] < scores["combination"] - MAX_LOSS_R2:
        said[_ALL] = _held_out(choice, samples, sites, len(samples), settings)
        scores[_ALL] = smeared_r2(sites.ec, said[_ALL])
        if scores[_ALL] > scores[shipped] + MAX_LOSS_R2:
            shipped = _ALL
            count = len(samples)
    told = {
        "held_out_r2_log1p": {name: round(score, 4) for name, score in scores.items()},
        "shipped": shipped,
    }
    return _Followed(_copy(model, samples, count, settings), said[shipped], told)


def _held_out(
    choice: Choice, samples: Samples, sites: Samples, count: int, settings: Settings
) -> Floats:
    """Return answers (s,) of copies of the models that did not see a site's region."""
    answers = np.empty(len(sites))
    for hidden, model in choice.models:
        shown = samples.take(~np.isin(samples.region, sites.region[hidden]))
        copy = _copy(model, shown, count, settings)
        answers[hidden] = copy(model.encoder(sites.features[hidden])[0])[:, 0]
    return answers


def _copy(model: Combined, samples: Samples, count: int, settings: Settings) -> Machine:
    """Return a machine of at most `count` inducing points that copies the model in the field."""
    field = np.char.endswith(samples.view, IN_THE_FIELD) & (model.weight > 0.0)
    shown = samples.take(samples.satellite | field)
    answers = model.location(shown.features)
    inputs = model.encoder(shown.features)[0]
    own = shown.satellite
    inducing_points = choose_inducing_points(inputs[own], answers[own], count, settings.seed)
    if len(inducing_points) < count and not own.all():
        more = choose_inducing_points(
            inputs[~own], answers[~own], count - len(inducing_points), settings.seed
        )
        inducing_points = np.concatenate([inducing_points, more])
    weights = np.where(own, 1.0, _LIBRARY_SHARE)
    if count < len(samples):
        inducing_points = learned_inducing_points(
            inducing_points,
            inputs,
            answers,
            weights,
            ids=shown.site,
            steps=settings.inducing_steps,
            seed=settings.seed,
        )
    return distilled(inducing_points, [(inputs, answers, weights)], _INTERPOLATION)
