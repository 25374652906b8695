"""Contrast of built surfaces with soils and salt crusts: quadratic logistic regression.

A distance from soils alone leaves half of the roofs and pavements within it. Their spectra are
known, so they are told apart by odds: log(p / (1 - p)) is quadratic in the first components and the
levels of the student, linear in the others, and written as a sum of weighted squares (`FORMS`).

Against a library of soils alone such a contrast finds the library and takes any other soil for a
roof. So the other side also has bare ground of the built surfaces' own instrument, real salts, and
simulated ground that is wet, salted and seen through an atmosphere.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.optics import is_salt, water_absorption, wet
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance, specimens
from deepsalt.simulate.spectra import draw_mixtures, draw_soils
from deepsalt.simulate.surfaces import BUILT, BURNT, SALT, surfaces
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.transform import BROAD_FEATURES, LEVEL_FEATURES, front_end
from deepsalt.train.data.samples import EMPTY, as_measured, in_the_field, through_sensor
from deepsalt.train.data.tables import Table
from deepsalt.train.teacher.encoder import Encoder
from deepsalt.types import BandTable, Floats

FORMS = 12
"""Squares of a contrast: of all that there are, those with the largest weights."""

_QUADRATIC = 32  # first components that enter with squares and products, besides the levels
_RIDGE = 1e-2  # of standardised terms
_STEPS = 8  # of Newton's method
_LOG_ODDS = 1.0  # that a surface is built, at equal odds before, from which it is flagged
_ROWS = 1200  # of the training's spectra, at most
_EXCEPTIONS = 0.01  # of the training's spectra, and of salts, that may be flagged

# Weights of the other side's parts. Salts count most: no crust may be taken for a roof.
_OWN, _SURFACES, _SALTS, _DRAWN, _WET = 2.0, 0.8, 3.0, 1.6, 2.0
_DRAWS = 400  # simulated spectra of each kind and sensor
_FILM_MM = 1.5  # of water at most, on simulated wet ground
_FEW_PLANTS = 0.1  # at most: ground with more is masked as vegetation


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Log odds of a built surface over their limit: sum of weights x (rows @ input + offset)².

    Parameters
    ----------
    rows, offset, weights
        On the student's inputs (f, k), (f,), (f,); flagged above 1.
    """

    rows: Floats
    offset: Floats
    weights: Floats

    def __call__(self, inputs: Floats) -> Floats:
        """Return log odds over their limit (s,) of inputs (s, k)."""
        values: Floats = (inputs @ self.rows.T + self.offset) ** 2 @ self.weights
        return values


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Spectra of what is known besides the training's (s rows).

    Parameters
    ----------
    features
        (s, d)
    kind
        As in `deepsalt.simulate.surfaces`; ``drawn`` and ``wet`` ground is simulated (s,).
    site
        Collection site, of salts the mineral, "" of simulated ground (s,).
    view
        ``laboratory``, ``enmap with noise`` ... (s,).
    """

    features: Floats
    kind: NDArray[np.str_]
    site: NDArray[np.str_]
    view: NDArray[np.str_]


def fit_contrast(
    encoder: Encoder, soils: Floats, without: frozenset[tuple[str, str]] = frozenset()
) -> Contrast:
    """Fit the contrast.

    Parameters
    ----------
    encoder
        The student's, from unadapted features.
    soils
        Unadapted training features (s, d).
    without
        Kinds and sites of surfaces that it may not see.
    """
    known = known_spectra()
    pairs = zip(known.kind.tolist(), known.site.tolist(), strict=True)
    seen = np.array([pair not in without for pair in pairs]) & (known.kind != BURNT)
    own = soils[np.unique(np.linspace(0, len(soils) - 1, _ROWS).astype(int))]
    features = np.concatenate([known.features[seen], own])
    kind = np.concatenate([known.kind[seen], np.full(len(own), "own")])
    site = np.concatenate([known.site[seen], np.full(len(own), EMPTY)])
    is_built = kind == BUILT
    weights = _weights(kind, site)
    inputs = encoder(features)[0]
    terms, square = _quadratic(inputs)
    rest = weights * ~is_built
    mean = rest @ terms / rest.sum()
    spread = np.sqrt(rest @ (terms - mean) ** 2 / rest.sum()) + 1e-9
    slopes, level = _logistic((terms - mean) / spread, is_built, weights)
    slopes /= spread
    contrast = _squares(slopes, level - float(mean @ slopes), square, spread[: inputs.shape[1]])
    limit = max(
        _LOG_ODDS,
        *(
            float(np.quantile(contrast(inputs[kind == name]), 1.0 - _EXCEPTIONS))
            for name in np.unique(kind[~is_built])
        ),
    )
    return Contrast(contrast.rows, contrast.offset, contrast.weights / limit)


@lru_cache(maxsize=1)
def known_spectra() -> Known:
    """Return surfaces as measured, through sensors and in the field, and simulated ground."""
    rng = np.random.default_rng(20)
    measured = surfaces()
    bands = sensor_bands("lab")
    table = _table(measured.reflectance, bands, measured.kind, measured.site)
    views = [as_measured(table)]
    views += [through_sensor(table, sensor, rng) for sensor in ("enmap", "prisma")]
    views.append(in_the_field(table, "enmap", rng, max_plants=_FEW_PLANTS))
    parts = [(view.features, view.group, view.region, view.view) for view in views]
    for sensor in ("enmap", "emit"):
        for kind, features in (("drawn", _drawn(sensor, rng)), ("wet", _wet(sensor, rng))):
            size = len(features)
            names = (np.full(size, kind), np.full(size, EMPTY), np.full(size, sensor))
            parts.append((features, *names))
    return Known(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _table(
    reflectance: Floats, bands: BandTable, kind: NDArray[np.str_], site: NDArray[np.str_]
) -> Table:
    """Return spectra as a table whose groups are kinds, and whose regions are sites."""
    none = np.full(len(kind), EMPTY)
    return Table(
        name="surfaces",
        kind="laboratory",
        sensor="lab",
        bands=bands,
        reflectance=reflectance,
        ec=np.full(len(kind), np.nan),
        group=kind,
        region=site,
        scene=none,
        sample=none,
        lab_sample=none,
        ec_method=none,
        simulated=False,
        sha256="surfaces",
        licence="",
        attribution="",
        dropped={},
        warnings=(),
    )


def _drawn(sensor: str, rng: np.random.Generator) -> Floats:
    """Return features of simulated pixels that few plants cover (s, d)."""
    bands = sensor_bands(sensor)
    drawn = draw_mixtures(rng, 2 * _DRAWS, bands=bands, use="train")
    bare = np.maximum(drawn.cover.green, drawn.cover.dry) < _FEW_PLANTS
    return front_end(bands)(drawn.reflectance[bare])


def _wet(sensor: str, rng: np.random.Generator) -> Floats:
    """Return features of soils, and of salts on half of a soil, wet and in the field (s, d)."""
    minerals = specimens("train")
    salts = np.array([mineral_reflectance(m, GRID_NM) for m in minerals if is_salt(m.mineral)])
    ground = draw_soils(rng, 2 * _DRAWS, "train")
    ground[_DRAWS:] = 0.5 * (ground[_DRAWS:] + salts[rng.integers(len(salts), size=_DRAWS)])
    film = rng.uniform(0.0, _FILM_MM, (2 * _DRAWS, 1))
    seen = wet(ground, film, water_absorption(GRID_NM))
    size = GRID_NM.size
    bands = BandTable(
        tuple(f"{nm:.0f}" for nm in GRID_NM),
        tuple(GRID_NM.tolist()),
        (float(GRID_NM[1] - GRID_NM[0]),) * size,
        (True,) * size,
    )
    none = np.full(len(seen), EMPTY)
    table = _table(np.asarray(seen, dtype=np.float64), bands, none, none)
    return in_the_field(table, sensor, rng, max_plants=_FEW_PLANTS).features


def _weights(kind: NDArray[np.str_], site: NDArray[np.str_]) -> Floats:
    """Return weights (s,): both sides weigh alike, and so do the sites of a kind, and salts."""
    # By mineral, the many faces of halite would count as little as one powder of niter.
    site = np.where(kind == SALT, EMPTY, site)
    _, index, counts = np.unique(
        np.char.add(np.char.add(kind, "/"), site), return_inverse=True, return_counts=True
    )
    weights: Floats = 1.0 / counts[index]
    shares = {"own": _OWN, SALT: _SALTS, "drawn": _DRAWN, "wet": _WET}
    for name in np.unique(kind):
        weights[kind == name] *= shares.get(name, _SURFACES) / weights[kind == name].sum()
    for side in (kind == BUILT, kind != BUILT):
        weights[side] *= 0.5 / weights[side].sum()
    return weights


def _quadratic(inputs: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return inputs and their products (s, t), and the two inputs of each product (2, t - k)."""
    size = inputs.shape[1]
    spectral = np.arange(size - BROAD_FEATURES)[:_QUADRATIC]
    places = np.concatenate([spectral, np.arange(size - LEVEL_FEATURES, size)])
    pairs = places[np.array(np.triu_indices(places.size))]
    return np.concatenate([inputs, inputs[:, pairs[0]] * inputs[:, pairs[1]]], axis=1), pairs


def _logistic(terms: Floats, target: NDArray[np.bool_], weights: Floats) -> tuple[Floats, float]:
    """Return slopes (t,) and level of a ridge logistic regression, by Newton's method."""
    design = np.concatenate([terms, np.ones((len(terms), 1))], axis=1)
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[-1] = 1e-9  # the level is free
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        gradient = design.T @ (weights * (chance - target)) + ridge * found
        curvature = (design.T * (weights * chance * (1.0 - chance))) @ design + np.diag(ridge)
        found -= np.linalg.solve(curvature, gradient)
    return found[:-1], float(found[-1])


def _squares(slopes: Floats, level: float, pairs: NDArray[np.intp], spread: Floats) -> Contrast:
    """Return the quadratic function of slopes and level as `FORMS` squares.

    Of inputs in units of their spread (k,): so those left out matter least.
    """
    size = spread.size
    form = np.zeros((size + 1, size + 1))
    form[:size, size] = 0.5 * slopes[:size]
    form[size, size] = 0.5 * level
    np.add.at(form, (pairs[0], pairs[1]), 0.5 * slopes[size:])
    units = np.append(spread, 1.0)
    weights, vectors = np.linalg.eigh(units[:, None] * (form + form.T) * units)
    kept = np.argsort(-np.abs(weights), kind="stable")[:FORMS]
    return Contrast((vectors[:size, kept] / spread[:, None]).T, vectors[size, kept], weights[kept])
