"""Encoders: from features to the inputs of a kernel machine, learned without labels.

`fit_encoder` whitens by noise: components are ordered by signal over noise (the minimum noise
fraction of Green et al. 1988), the last ones measure how noisy a spectrum is, and the first ones
are shrunk by it as a Wiener filter would. So one set of weights serves a laboratory's and a
satellite's spectra. `fit_low_noise` takes plain principal components.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from deepsalt.model.adaptation import Adaptation
from deepsalt.spectral.transform import BROAD_FEATURES, LEVEL_FEATURES, SHAPE_NM
from deepsalt.types import Floats

LENGTH = 4.5
"""Length of the kernel over the root mean square distance of inputs from their mean."""

LEVEL_SHARE = 0.5
"""Weight of a level among the inputs, components and means of shape having 1."""

NOISE_GAIN = 1.5
"""Noise counted over noise seen: the tail's noise also stands for drift, which it hardly shows."""

_FLAT = 1e-12  # variance taken for that of spectra that are all equal
_FLOOR = 1e-3  # of the mean noise variance, added in all directions so that none is noise-free


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """From features (s, d) to inputs (s, k).

    Parameters
    ----------
    rows, offset
        Components (k + t, d), (k + t,), as in `deepsalt.model.student.Student`.
    shrinkage, scale
        (k,)
    """

    rows: Floats
    offset: Floats
    shrinkage: Floats
    scale: Floats

    def __call__(self, features: Floats) -> tuple[Floats, Floats]:
        """Return inputs (s, k) and noise (s,), 1 where a spectrum is as noisy as a satellite's."""
        components = features @ self.rows.T + self.offset
        kept = self.scale.size
        tail = components[:, kept:]
        noise = (tail**2).mean(axis=1) if tail.shape[1] else np.zeros(len(features))
        inputs = components[:, :kept] / (1.0 + self.shrinkage * noise[:, None])
        return inputs * self.scale, noise

    def after(self, adaptation: Adaptation) -> "Encoder":
        """Return the encoder of features that are not adapted yet."""
        rows, offset = adaptation.fold(self.rows, self.offset)
        return Encoder(rows, offset, self.shrinkage, self.scale)


def fit_encoder(clean: Floats, noise: Floats, components: int, tail: int) -> Encoder:
    """Fit a noise-whitened encoder.

    Parameters
    ----------
    clean
        Features of soils with little noise (s, d).
    noise
        Features of the same or other soils with a satellite's noise, minus those without (m, d).
    components, tail
        Spectral components that enter the machine, and that measure the noise; fewer where the
        spectra do not span as many.
    """
    spectral = clean[:, :-BROAD_FEATURES]
    mean = spectral.mean(axis=0)
    size = mean.size
    signal = _covariance(spectral)
    disturbed = _covariance(noise[:, :-BROAD_FEATURES])
    floor = _FLOOR * max(float(np.trace(disturbed)) / size, 1e-12)
    # Directions without signal cannot be told apart; a trace of it fixes their order.
    signal += max(1e-9 * np.trace(signal) / size, 1e-9 * _FLAT) * np.eye(size)
    ratio, vectors = eigh(signal, disturbed + floor * np.eye(size))
    ratio = ratio[::-1]
    vectors = _signed(vectors[:, ::-1])
    tail = min(tail, size // 4)
    k = min(components, max(len(clean) - 1, 1), size - tail)
    first = vectors[:, :k] / np.sqrt(ratio[:k])
    last = vectors[:, size - tail :]
    rows = _with_broad(clean, first, last)
    shrinkage = np.concatenate([NOISE_GAIN / ratio[:k], np.zeros(BROAD_FEATURES)])
    return Encoder(*rows, shrinkage, _scale(k))


def fit_low_noise(clean: Floats, components: int, tail: int = 0) -> Encoder:
    """Fit an encoder on principal components of features (s, d), whitened, without shrinkage.

    The last `tail` components, in units of their own spread, tell how unlike these spectra one is.
    """
    spectral = clean[:, :-BROAD_FEATURES]
    variance, vectors = eigh(_covariance(spectral))
    rank = min(max(len(clean) - 1, 1), variance.size)
    tail = min(tail, rank // 4)
    k = min(components, rank - tail)
    vectors = _signed(vectors[:, ::-1])
    spread = np.sqrt(np.maximum(variance[::-1], 1e-12 * max(float(variance[-1]), _FLAT)))
    last = slice(rank - tail, rank)
    rows = _with_broad(clean, vectors[:, :k] / spread[:k], vectors[:, last] / spread[last])
    return Encoder(*rows, np.zeros(k + BROAD_FEATURES), _scale(k))


def _covariance(spectral: Floats) -> Floats:
    """Return the covariance (d, d) of spectra (s, d): none of a single one, as in thin folds."""
    size = spectral.shape[1]
    if len(spectral) < 2:
        return np.zeros((size, size))
    covariance: Floats = np.cov(spectral.T)
    return covariance


def _scale(components: int) -> Floats:
    levels = np.full(LEVEL_FEATURES, LEVEL_SHARE)
    scale: Floats = np.concatenate([np.ones(components + len(SHAPE_NM)), levels])
    return scale / (LENGTH * float(np.sqrt(components)))


def _signed(vectors: Floats) -> Floats:
    """Fix the sign of eigenvectors, a library's whim, for equal weights on equal data."""
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    signed: Floats = vectors * np.sign(largest)
    return signed


def _with_broad(clean: Floats, first: Floats, last: Floats) -> tuple[Floats, Floats]:
    """Return rows (k + b + t, d) and offset: components, `BROAD_FEATURES` standardised, tail."""
    mean = clean.mean(axis=0)
    spread = clean[:, -BROAD_FEATURES:].std(axis=0)
    k = first.shape[1]
    size = clean.shape[1]
    rows = np.zeros((k + BROAD_FEATURES + last.shape[1], size))
    rows[:k, :-BROAD_FEATURES] = first.T
    for i in range(BROAD_FEATURES):
        rows[k + i, size - BROAD_FEATURES + i] = 1.0 / max(float(spread[i]), 1e-6)
    rows[k + BROAD_FEATURES :, :-BROAD_FEATURES] = last.T
    return rows, -rows @ mean
