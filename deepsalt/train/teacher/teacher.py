"""The teacher: kernel and network members on laboratory spectra, with a distribution of EC.

Two kernel machines with every sample as an inducing point: one for spectra as low in noise as a
laboratory's, and one that has also seen each sample through the satellites' bands and noise.
Networks join the second with a weight that their held-out groups earn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import IN_THE_FIELD, WITH_NOISE, Samples
from deepsalt.train.teacher.encoder import Encoder, fit_encoder, fit_low_noise
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.train.teacher.network import Network, apply_network, train_network
from deepsalt.types import Floats

LOW_NOISE_BELOW = 0.05
"""Noise variance over EnMAP's below which a spectrum counts as a laboratory's."""

_UNEXPLAINED = 0.6
"""Share of the labels' variance that a model leaves: 1 - R² of log(EC + 0.03), which is 0.40 on the
held-out profiles of the shipped model's card."""


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """Members of the teacher.

    Parameters
    ----------
    encoder, noisy
        Machine for all spectra, its answers log(EC + 0.03) (s, 1).
    low_noise_encoder, low_noise
        Machine for low-noise ones.
    networks, share
        Networks, and their share in the noisy answer.
    mean
        Of log(EC + 0.03): what networks predict the difference to.
    """

    encoder: Encoder
    noisy: Machine
    low_noise_encoder: Encoder
    low_noise: Machine
    networks: tuple[Network, ...]
    share: float
    mean: float

    def location(self, features: Floats) -> Floats:
        """Return log(EC + 0.03) (s,) of features (s, d)."""
        inputs, noise = self.encoder(features)
        location = self.mixed(inputs)
        low_noise = noise < LOW_NOISE_BELOW
        if low_noise.any():
            location[low_noise] = self.low_noise(self.low_noise_encoder(features[low_noise])[0])[
                :, 0
            ]
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
        All views; nothing else is used.
    settings
        Sizes, ridge, seed.
    share
        Share of the networks; None to train no networks.
    """
    weights = view_weights(samples, settings)
    encoder, low_noise_encoder = fit_encoders(samples, settings)
    inputs = encoder(samples.features)[0]
    target = samples.target[:, None]
    low_noise = low_noise_rows(samples)
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
    # Every sample is an inducing point: by its least noisy view, or as the simulator shows it.
    inducing_points = np.concatenate([inputs[low_noise], inputs[samples.pixels]])
    noisy = fit_machine(inducing_points, inputs, target, weights, settings.ridge)
    plain = low_noise_encoder(samples.features[low_noise])[0]
    ones = np.ones(len(plain))
    return Teacher(
        encoder,
        noisy,
        low_noise_encoder,
        fit_machine(plain, plain, target[low_noise], ones, settings.ridge),
        networks,
        share or 0.0,
        mean,
    )


def low_noise_rows(samples: Samples) -> NDArray[np.intp]:
    """Return one row per sample, its least noisy view (q,)."""
    disturbed = [view.endswith((WITH_NOISE, IN_THE_FIELD)) for view in samples.view.tolist()]
    order = np.argsort(disturbed, kind="stable")
    order = order[~samples.pixels[order]]
    _, first = np.unique(samples.site[order], return_index=True)
    return np.sort(order[first])


def view_weights(samples: Samples, settings: Settings) -> Floats:
    """Return weights (s,) with which each sample counts once, however often it is seen.

    A label that is only known to a standard deviation counts less: residuals have the variance of
    what a model leaves unexplained plus the label's, and weights are its inverse. Simulated pixels
    beside laboratory samples weigh `mixture_weight` of these together.
    """
    _, index, counts = np.unique(samples.site, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / counts[index]
    if samples.label_sd.any():
        weights *= label_weights(samples.target, samples.label_sd)
    drawn = samples.pixels
    if drawn.any() and not drawn.all():
        weights[drawn] *= settings.mixture_weight * weights[~drawn].sum() / weights[drawn].sum()
    return weights


def label_weights(target: Floats, sd: Floats) -> Floats:
    """Return weights (s,) of labels known to a standard deviation (s,), both on log(EC + 0.03)."""
    unexplained = max(_UNEXPLAINED * float(np.nanvar(target)), 1e-6)
    weights: Floats = unexplained / (unexplained + sd**2)
    return weights


def fit_encoders(samples: Samples, settings: Settings) -> tuple[Encoder, Encoder]:
    """Return the noise-whitened encoder and the one for low-noise spectra."""
    clean = samples.features[low_noise_rows(samples)]
    noise = noise_differences(samples)
    k = settings.components
    return fit_encoder(clean, noise, k, settings.tail), fit_low_noise(
        clean, settings.low_noise_components
    )


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
            "no sample has views both with and without noise; name at least one sensor for views "
            "of laboratory spectra"
        )
    # The mean of each sensor's noise is not noise but an effect of its bands.
    return np.concatenate([part - part.mean(axis=0) for part in found])


def _paired(samples: Samples, noisy: NDArray[np.bool_], clean: NDArray[np.bool_]) -> Floats:
    rows = np.flatnonzero(noisy)
    others = np.flatnonzero(clean)
    _, mine, theirs = np.intersect1d(samples.site[rows], samples.site[others], return_indices=True)
    return samples.features[rows[mine]] - samples.features[others[theirs]]
