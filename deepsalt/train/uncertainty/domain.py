"""Domain of the training spectra: a distance from soils and salt crusts, and its limit.

Hotelling's T² over all components of the student, noise included. Its covariance has three parts:
the soils'; that of salt crusts around them, dry and wet, simulated and measured, so that the target
is no anomaly; and the spectrum's own noise, whose share of each direction the encoder knows. So a
laboratory's spectrum is judged by its finest features and a satellite's by those that its noise
leaves. What lies within that distance and is a built surface, `contrast` finds.

Very flat spectra, such as halite's, are divided by a tiny standard deviation, which blows up any
error of the instrument: flatness counts like noise.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from deepsalt.simulate.optics import is_salt, water_absorption, wet
from deepsalt.simulate.specimens import GRID_NM, Use, mineral_reflectance, specimens
from deepsalt.simulate.spectra import draw_soils
from deepsalt.simulate.surfaces import PLAYA, SALT
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import BROAD_FEATURES, LEVEL_FEATURES, front_end
from deepsalt.train.teacher.encoder import NOISE_GAIN, Encoder
from deepsalt.train.teacher.teacher import LOW_NOISE_BELOW
from deepsalt.train.uncertainty.contrast import Contrast, fit_contrast, known_spectra
from deepsalt.types import Floats

FLAW = 0.005
"""Noise, over a satellite's, that a spectrum has whose standard deviation equals its mean.

It grows with the square of mean over deviation: 0.07 for a median soil, about 5 for pure halite.
"""

_QUANTILE = 0.99  # of the training samples, for either limit

# Limit of T² over the training's quantile: real spectra are further off than simulated views and
# one library's soils. Of six EMIT pixels of a playa (Sevier Lake) the furthest lies within half of
# it, near it where the fit has not seen them; 1 % of crusts of the demo's specimens lie beyond.
_MARGIN_T2 = 1.9
_CRUSTS = 0.95  # of the crusts lie within the limit, where few sites would set it lower

# On the noise variance of the training's satellite views. Real EnMAP land pixels have 20 to 60
# times the modelled one (Potsdam), of sensor and atmosphere; water, which has no spectrum to speak
# of, 5,000 times.
_MARGIN_Q = 100.0

_MEASURED = 3  # times that a real salt counts among simulated crusts
_SOILS = 5  # that crusts share an area with
_FILMS_MM = (0.0, 0.1, 0.3, 1.0)  # of water; a wet playa has up to 0.2 mm (MARMIT on EMIT pixels)
_FLOOR = 1e-9  # of the mean variance: keeps the covariance of few or equal spectra invertible


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """The test for spectra unlike the training's.

    Parameters
    ----------
    rows, offset
        Directions on the student's components, of unit variance among soils and crusts
        (r, k + t), (r,).
    shrinkage
        Variance that noise of a satellite's size adds to each (r,).
    flaw
        `FLAW`.
    max_t2, max_q
        Limits of the distance and of the noise level (Q residual).
    contrast
        Built surfaces against soils and salt crusts.
    """

    rows: Floats
    offset: Floats
    shrinkage: Floats
    flaw: float
    max_t2: float
    max_q: float
    contrast: Contrast

    def distance(self, values: Floats, noise: Floats, flatness: Floats) -> Floats:
        """Return T² (s,) of components (s, k + t), noise (s,) and flatness (s,)."""
        scores = values @ self.rows.T + self.offset
        allowed = noise + self.flaw * flatness
        total: Floats = (scores**2 / (1.0 + self.shrinkage * allowed[:, None])).sum(axis=1)
        return total

    def distance_of(self, encoder: Encoder, features: Floats) -> Floats:
        """Return T² (s,) of unadapted features (s, d) behind the encoder fitted on."""
        values = features @ encoder.rows.T + encoder.offset
        return self.distance(values, encoder(features)[1], flatness(features))

    def score_of(self, encoder: Encoder, features: Floats) -> Floats:
        """Return the domain score (s,) of unadapted features (s, d): out of domain above 1."""
        inputs, noise = encoder(features)
        distance = self.distance_of(encoder, features) / self.max_t2
        score: Floats = np.maximum(distance, np.maximum(noise / self.max_q, self.contrast(inputs)))
        return score


def fit_domain(
    encoder: Encoder,
    features: Floats,
    noise: Floats,
    components: int,
    *,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> Domain:
    """Fit the test.

    Parameters
    ----------
    encoder
        The student's, from unadapted features.
    features
        Unadapted training features (s, d), without simulated crusts and plants.
    noise
        Noise of those that the limit of Q is for (m,).
    components
        Maximum spectral components to try, besides the levels and the tail.
    without
        Kinds and sites of known surfaces that it may not see.
    """
    chosen = _chosen(encoder, components)
    rows = encoder.rows[chosen]
    offset = encoder.offset[chosen]
    values = features @ rows.T + offset
    own = encoder(features)[1]
    low_noise = own < LOW_NOISE_BELOW
    clean = values[low_noise] if low_noise.sum() >= 2 * len(rows) else values
    centre = clean.mean(axis=0)
    salts = salt_crusts("train")
    every = np.concatenate([salts, *(_measured_salts(without),) * _MEASURED])
    crusts = every @ rows.T + offset - centre
    spread = _covariance(clean) + crusts.T @ crusts / len(crusts)
    spread += _FLOOR * max(float(np.trace(spread)), 1.0) * np.eye(len(spread))
    tail = len(encoder.rows) - encoder.scale.size
    added = np.concatenate([encoder.shrinkage, np.full(tail, NOISE_GAIN)])[chosen]
    shrinkage, vectors = eigh(np.diag(added), spread)
    onto = np.zeros((len(rows), len(encoder.rows)))
    onto[:, chosen] = vectors.T
    shrinkage = np.maximum(shrinkage, 0.0)
    contrast = fit_contrast(encoder, features, without)
    domain = Domain(onto, -vectors.T @ centre, shrinkage, FLAW, 1.0, 1.0, contrast)
    distance, target = (domain.distance_of(encoder, part) for part in (features, salts))
    t2, q = float(np.quantile(distance, _QUANTILE)), float(np.quantile(noise, _QUANTILE))
    least = [float(np.quantile(values, _CRUSTS)) for values in (target, encoder(salts)[1])]
    return replace(
        domain,
        max_t2=max(_MARGIN_T2 * t2, least[0]),
        max_q=max(_MARGIN_Q * max(q, 1.0), least[1]),
    )


def flatness(features: Floats) -> Floats:
    """Return the square of mean over standard deviation (s,) of spectra with features (s, d)."""
    found: Floats = np.exp(-2.0 * features[:, -1])
    return found


@lru_cache(maxsize=2)
def salt_crusts(use: Use) -> Floats:
    """Return features of salt crusts (s, d) at EnMAP's bands.

    Every salt specimen of this use, pure and on half the area of a few soils, dry and under films
    of water.
    """
    bands = sensor_bands("enmap")
    pure = np.array([mineral_reflectance(m, GRID_NM) for m in specimens(use) if is_salt(m.mineral)])
    soils = draw_soils(np.random.default_rng(0), _SOILS, use)
    ground = np.concatenate([pure, *(0.5 * (pure + soil) for soil in soils)])
    water = water_absorption(GRID_NM)
    films = [wet(ground, np.full((len(ground), 1), film), water) for film in _FILMS_MM]
    seen: Floats = np.concatenate(films) @ response_matrix(GRID_NM, bands).T
    return front_end(bands)(seen)


def _measured_salts(without: frozenset[tuple[str, str]]) -> Floats:
    """Return features of real salts and of a wet playa, as measured (s, d)."""
    known = known_spectra()
    pairs = zip(known.kind.tolist(), known.site.tolist(), strict=True)
    seen = np.array([pair[0] in (SALT, PLAYA) and pair not in without for pair in pairs])
    found: Floats = known.features[seen & (known.view == "laboratory")]
    return found


def _chosen(encoder: Encoder, components: int) -> NDArray[np.intp]:
    """Return the places of the first components, the levels and the tail among the encoder's.

    With shape, whose range among soils is narrow, 4 instead of 1 of 168 crusts of specimens never
    seen lay beyond the limit.
    """
    kept = encoder.scale.size
    spectral = np.arange(kept - BROAD_FEATURES)[:components]
    return np.concatenate([spectral, np.arange(kept - LEVEL_FEATURES, len(encoder.rows))])


def _covariance(values: Floats) -> Floats:
    """Return the covariance (r, r) of values (s, r), shrunk to its diagonal where they are few."""
    count, size = values.shape
    centred = values - values.mean(axis=0)
    covariance: Floats = centred.T @ centred / max(count - 1, 1)
    share = size / (size + count)
    shrunk: Floats = (1.0 - share) * covariance + share * np.diag(np.diag(covariance))
    return shrunk
