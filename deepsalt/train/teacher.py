"""The teacher: kernel and network members on laboratory spectra, with a distribution of EC.

Two kernel machines with every sample as an anchor: one for spectra as quiet as a laboratory's, and
one that has also seen each sample through the satellites' bands and noise. Networks join the second
with a weight that their held-out groups earn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.train.adaptation import one_standard_error
from deepsalt.train.anchors import learned_anchors
from deepsalt.train.config import Settings
from deepsalt.train.constraints import Penalty
from deepsalt.train.encoder import Encoder, fit_encoder, fit_quiet
from deepsalt.train.machine import Machine, choose_anchors, fit_machine
from deepsalt.train.network import Network, apply_network, train_network
from deepsalt.train.samples import IN_THE_FIELD, WITH_NOISE, Samples
from deepsalt.train.splits import group_folds

Floats = NDArray[np.float64]

QUIET_BELOW = 0.05
"""Noise variance over EnMAP's below which a spectrum counts as a laboratory's."""

NETWORK_WEIGHTS = (0.0, 0.25, 0.5)
"""Candidates for the networks' share."""


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """Members of the teacher.

    Parameters
    ----------
    encoder, noisy
        Machine for all spectra, its answers log(EC + 0.03) (s, 1).
    quiet_encoder, quiet
        Machine for quiet ones.
    networks, share
        Networks, and their share in the noisy answer.
    mean
        Of log(EC + 0.03): what networks predict the difference to.
    """

    encoder: Encoder
    noisy: Machine
    quiet_encoder: Encoder
    quiet: Machine
    networks: tuple[Network, ...]
    share: float
    mean: float

    def location(self, features: Floats) -> Floats:
        """Return log(EC + 0.03) (s,) of features (s, d)."""
        inputs, noise = self.encoder(features)
        location = self.mixed(inputs)
        quiet = noise < QUIET_BELOW
        if quiet.any():
            location[quiet] = self.quiet(self.quiet_encoder(features[quiet])[0])[:, 0]
        return location

    def mixed(self, inputs: Floats) -> Floats:
        """Return log(EC + 0.03) (s,) of the machine for all spectra and the networks."""
        location: Floats = self.noisy(inputs)[:, 0].copy()
        if self.networks and self.share:
            other = self.network_location(inputs)
            location += self.share * (other - location)
        return location

    def network_location(self, inputs: Floats) -> Floats:
        """Return the networks' log(EC + 0.03) (s,) for the encoder's inputs (s, k)."""
        answers = [apply_network(net, inputs / self.encoder.scale) for net in self.networks]
        location: Floats = self.mean + np.mean(answers, axis=0)
        return location


def fit_teacher(samples: Samples, settings: Settings, *, share: float | None = None) -> Teacher:
    """Fit the teacher on labelled views of laboratory samples.

    Parameters
    ----------
    samples
        All views; nothing else is looked at.
    settings
        Sizes, ridge, seed.
    share
        Share of the networks; None: no networks are trained.
    """
    weights = view_weights(samples, settings)
    encoder, quiet_encoder = fit_encoders(samples, settings)
    inputs = encoder(samples.features)[0]
    target = samples.target[:, None]
    quiet = quiet_rows(samples)
    networks: tuple[Network, ...] = ()
    mean = float(np.average(target[:, 0], weights=weights))
    if share is not None and settings.networks and np.unique(samples.site).size > 1:
        networks = tuple(
            train_network(
                inputs / encoder.scale,
                target[:, 0] - mean,
                weights,
                groups=samples.group,
                ids=samples.site,
                settings=settings,
                number=number,
            )
            for number in range(settings.networks)
        )
    # Every sample is an anchor: by its quietest view, or as the simulator shows it.
    anchors = np.concatenate([inputs[quiet], inputs[samples.pixels]])
    noisy = fit_machine(anchors, inputs, target, weights, settings.ridge)
    plain = quiet_encoder(samples.features[quiet])[0]
    ones = np.ones(len(plain))
    return Teacher(
        encoder,
        noisy,
        quiet_encoder,
        fit_machine(plain, plain, target[quiet], ones, settings.ridge),
        networks,
        share or 0.0,
        mean,
    )


def quiet_rows(samples: Samples) -> NDArray[np.intp]:
    """Return one row per sample, its quietest view: as measured, else as it is (q,)."""
    disturbed = [view.endswith((WITH_NOISE, IN_THE_FIELD)) for view in samples.view.tolist()]
    order = np.argsort(disturbed, kind="stable")
    order = order[~samples.pixels[order]]
    _, first = np.unique(samples.site[order], return_index=True)
    return np.sort(order[first])


def view_weights(samples: Samples, settings: Settings) -> Floats:
    """Return weights (s,) with which each sample counts once, however often it is seen.

    Simulated pixels beside laboratory samples weigh `mixture_weight` of these together.
    """
    _, index, counts = np.unique(samples.site, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / counts[index]
    drawn = samples.pixels
    if drawn.any() and not drawn.all():
        weights[drawn] *= settings.mixture_weight * weights[~drawn].sum() / weights[drawn].sum()
    return weights


def fit_encoders(samples: Samples, settings: Settings) -> tuple[Encoder, Encoder]:
    """Return the noise-whitened encoder and the one for quiet spectra."""
    clean = samples.features[quiet_rows(samples)]
    noise = noise_differences(samples)
    k = settings.components
    return fit_encoder(clean, noise, k, settings.tail), fit_quiet(clean, settings.quiet_components)


def noise_differences(samples: Samples) -> Floats:
    """Return features of noisy views minus those of the same samples' clean views (m, d).

    Raises
    ------
    FormatError
        No sample has both.
    """
    parts = []
    for view in np.unique(samples.view):
        clean = view.removesuffix(WITH_NOISE)
        if clean != view:
            parts.append(_paired(samples, samples.view == view, samples.view == clean))
    found = [part for part in parts if len(part)]
    if not found:
        raise FormatError(
            "no sample is seen both with and without noise; name at least one sensor to see "
            "laboratory spectra through"
        )
    # Of each sensor's noise its own mean is no noise but the sensor's bands.
    return np.concatenate([part - part.mean(axis=0) for part in found])


def _paired(samples: Samples, noisy: NDArray[np.bool_], clean: NDArray[np.bool_]) -> Floats:
    rows, others = np.flatnonzero(noisy), np.flatnonzero(clean)
    _, mine, theirs = np.intersect1d(samples.site[rows], samples.site[others], return_indices=True)
    return samples.features[rows[mine]] - samples.features[others[theirs]]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What models that did not see a row's group say about it (s,), log(EC + 0.03).

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


def cross_fit(
    samples: Samples, settings: Settings, penalties: Sequence[Penalty] = ()
) -> tuple[HeldOut, float]:
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
        loud = noise >= QUIET_BELOW
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
    chosen = NETWORK_WEIGHTS[one_standard_error(scores, paired=True)] if settings.networks else 0.0
    return replace(out, teacher=_blend(out, chosen)), chosen


def _blend(held_out: HeldOut, share: float) -> Floats:
    return held_out.kernel + share * (held_out.networks - held_out.kernel)


def fit_small(samples: Samples, teacher: Teacher, settings: Settings) -> Machine:
    """Fit a machine with the student's few anchors, learned from the teacher, on the labels."""
    anchors = student_anchors(samples, teacher, settings)
    inputs = teacher.encoder(samples.features)[0]
    weights = view_weights(samples, settings)
    return fit_machine(anchors, inputs, samples.target[:, None], weights, settings.ridge)


def student_anchors(samples: Samples, teacher: Teacher, settings: Settings) -> Floats:
    """Return the student's anchors (m, k): drawn from the samples, then learned if distilling."""
    inputs = teacher.encoder(samples.features)[0]
    quiet = quiet_rows(samples)
    drawn = choose_anchors(inputs[quiet], samples.target[quiet], settings.anchors, settings.seed)
    if not settings.distil or len(drawn) < settings.anchors:
        return drawn
    return learned_anchors(
        drawn,
        inputs,
        teacher.mixed(inputs),
        view_weights(samples, settings),
        ids=samples.site,
        steps=settings.anchor_steps,
        seed=settings.seed,
    )
