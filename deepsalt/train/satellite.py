"""From satellite sites, with laboratory knowledge where it proved itself, to a student."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.train.combine import fit_combined
from deepsalt.train.config import Settings
from deepsalt.train.distil import distilled
from deepsalt.train.encoder import Encoder
from deepsalt.train.finish import Fitted, finished, penalties_on, reader
from deepsalt.train.machine import Machine, choose_anchors
from deepsalt.train.samples import IN_THE_FIELD, Samples
from deepsalt.train.teacher import view_weights

Floats = NDArray[np.float64]

_INTERPOLATION = 1e-3  # ridge of a student that copies answers rather than noisy labels


def fit_satellite(samples: Samples, labelled: Samples, settings: Settings) -> Fitted:
    """Fit a student for the sites' spectra.

    Parameters
    ----------
    samples, labelled
        All rows, and those with a label: satellite sites, and views of laboratory samples.
    settings
        How to train.
    """
    sites = labelled.take(labelled.satellite)
    lab = labelled.take(~labelled.satellite)
    # Laboratory samples of another kind than the sites' spectra would not be a library.
    more = samples.take(samples.satellite & ~samples.labelled)
    model, choice = fit_combined(sites, lab if len(lab) else None, settings, more)
    encoder, machine = model.sites.encoder, model.sites.machine
    inputs = encoder(sites.features)[0]
    weights = view_weights(sites, settings)
    if model.weight:
        machine = _copy(model.location, encoder, samples, settings)
    elif penalties := penalties_on(encoder, machine.anchors, sites.target, weights, settings):
        rows = [(inputs, sites.target, weights)]
        machine = distilled(machine.anchors, rows, model.sites.ridge, penalties)
    student = reader(
        encoder,
        Machine(machine.anchors, machine.heads, machine.bias),
        inputs,
        sites.target - choice.held_out,
        weights,
        settings=settings,
    )
    noise = encoder(samples.features[samples.satellite])[1]
    report = {
        "laboratory_weight": choice.weight,
        "adaptations": list(choice.adaptation),
        "site_components": model.sites.components,
        "site_ridge": model.sites.ridge,
        "held_out_mse_log_ec": choice.scores,
        "anchors": len(machine.anchors),
    }
    return Fitted(
        finished(student, None, samples.take(samples.satellite), sites, noise, settings=settings),
        report,
    )


def _copy(location: Any, encoder: Encoder, samples: Samples, settings: Settings) -> Machine:
    """Return a machine that answers as the combination does, on all spectra of the sensor."""
    seen = samples.satellite | np.char.endswith(samples.view, IN_THE_FIELD)
    features = samples.features[seen]
    answers, inputs = location(features), encoder(features)[0]
    first = choose_anchors(
        inputs[samples.satellite[seen]], answers[samples.satellite[seen]], settings.anchors, 0
    )
    more = settings.anchors - len(first)
    rest = ~samples.satellite[seen]
    if more > 0 and rest.any():
        extra = choose_anchors(inputs[rest], answers[rest], more, settings.seed)
        first = np.concatenate([first, extra])
    weights = np.where(rest, 0.2, 1.0)
    penalties = penalties_on(encoder, first, answers, weights, settings)
    return distilled(first, [(inputs, answers, weights)], _INTERPOLATION, penalties)
