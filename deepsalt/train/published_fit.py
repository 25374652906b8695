"""The published method as one that `train` can fit, in the model format of this package.

The published student is a transformer of 1.1 M multiplications; scenes are mapped by kernel
machines. So its answers are copied into a machine with every training spectrum as an anchor, and
the report says how well the copy agrees. Benchmarks score the transformer itself.
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.train.config import Settings
from deepsalt.train.distil import assemble, calibrated, distilled
from deepsalt.train.domain import fit_domain
from deepsalt.train.encoder import Encoder, fit_quiet
from deepsalt.train.finish import Fitted
from deepsalt.train.fit import separable
from deepsalt.train.machine import Machine
from deepsalt.train.metrics import r2
from deepsalt.train.published import Published, PublishedConfig, fit_published
from deepsalt.train.samples import EMPTY, WITH_NOISE, Samples
from deepsalt.train.splits import group_folds
from deepsalt.train.teacher import view_weights

Floats = NDArray[np.float64]

_COPY_RIDGE = 1e-3
_EXTRAPOLATED_QUANTILE = 0.995


def fit_published_samples(samples: Samples, config: PublishedConfig) -> Published:
    """Fit the published method on samples: laboratory spectra as measured, satellites' ones.

    Without satellite tables the noisy views of laboratory spectra stand for satellite spectra, and
    each is paired with its sample; else pairs are those that the tables trust.
    """
    lab = np.flatnonzero((samples.view == "laboratory") & samples.labelled)
    seen = _seen(samples)
    place = {site: i for i, site in enumerate(samples.site[lab].tolist())}
    names = np.where(samples.satellite[seen], samples.partner[seen], samples.site[seen])
    pairs = [(i, place[n]) for i, n in enumerate(names.tolist()) if n != EMPTY and n in place]
    target = samples.target
    return fit_published(
        samples.snv[lab],
        target[lab],
        samples.snv[seen],
        target[seen],
        np.array(pairs, dtype=np.intp).reshape(-1, 2),
        config=config,
    )


def _seen(samples: Samples) -> NDArray[np.intp]:
    satellite = samples.satellite
    noisy = np.char.endswith(samples.view, WITH_NOISE)
    return np.flatnonzero(satellite if satellite.any() else noisy)


def fit_published_model(samples: Samples, settings: Settings) -> Fitted:
    """Fit the published method and copy its student into a model of this package."""
    config = PublishedConfig(seed=settings.seed)
    samples, note = separable(samples)
    seen = samples.take(_seen(samples))
    known = seen.take(seen.labelled)
    held_out = np.empty(len(known))
    for _, test in group_folds(known.group, settings.inner_folds, settings.seed):
        partners = known.partner[test]
        hidden = np.isin(samples.group, known.group[test])
        hidden |= np.isin(samples.site, partners[partners != EMPTY])
        part = fit_published_samples(samples.take(~hidden), config)
        held_out[test] = part.predict(known.snv[test])
    student = fit_published_samples(samples, config)
    encoder = fit_quiet(seen.features, settings.components, settings.tail)
    machine, agreement = _copied(encoder, seen, student.predict(seen.snv))
    inputs, noise = encoder(known.features)
    reader = calibrated(
        encoder,
        machine,
        inputs,
        known.target - held_out,
        view_weights(known, settings),
        ridge=settings.width_ridge,
    )
    weights = assemble(
        reader,
        None,
        fit_domain(encoder, seen.features, noise, settings.domain),
        ec_max=float(known.ec.max()),
        ec_extrapolated=float(np.quantile(known.ec, _EXTRAPOLATED_QUANTILE)),
        quiet_below=-1.0,
    )
    return Fitted(weights, {"r2_of_the_copy_with_the_transformer": round(agreement, 4)} | note)


def _copied(encoder: Encoder, seen: Samples, answers: Floats) -> tuple[Machine, float]:
    """Return the machine that answers as the transformer does, and the R² between both."""
    inputs = encoder(seen.features)[0]
    sites = np.unique(seen.site, return_index=True)[1]
    weights = np.ones(len(seen))
    machine = distilled(inputs[sites], [(inputs, answers, weights)], _COPY_RIDGE)
    return machine, r2(answers, machine(inputs)[:, 0])
