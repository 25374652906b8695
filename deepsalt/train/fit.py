"""Fitting the student: components without labels, networks with them, then calibration."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from deepsalt.model.student import EC_SHIFT, Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.simulate.optics import is_salt
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance, specimens
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import LEVEL_FEATURES, front_end
from deepsalt.train.config import TrainConfig
from deepsalt.train.network import (
    MISSES_ABOVE,
    MISSES_BELOW,
    Network,
    apply_member,
    train_member,
)
from deepsalt.train.samples import Samples
from deepsalt.train.splits import group_folds

Floats = NDArray[np.float64]

_THRESHOLD_QUANTILE = 0.995  # of the training samples, for both advising bits
_SALT_DIRECTIONS = 6  # eleven specimens; further directions are those of single ones
_MAX_WEIGHT_RATIO = 20.0  # of a simulated sample over the mean: no single one decides


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """What is learned without labels.

    Parameters
    ----------
    components, offset
        Standardised components (k + t, n_features), (k + t,).
    kept
        Components that enter the networks (k).
    """

    components: Floats
    offset: Floats
    kept: int

    def __call__(self, features: Floats) -> Floats:
        """Return standardised components of features (s, k + t)."""
        return features @ self.components.T + self.offset


def sample_weights(samples: Samples, config: TrainConfig) -> Floats:
    """Return weights (s,): measured rows 1, simulated ones together `mixture_weight` of these.

    Among the simulated, weights bring the distribution of conductivity from the simulator's, which
    is chosen to show all salts, to `prior_density`: else every soil would look moderately saline.
    """
    weights = np.ones(samples.ec.size)
    simulated = samples.simulated
    if simulated.any() and not simulated.all():
        log_ec = np.log(samples.ec[simulated] + EC_SHIFT)
        drawn, edges = np.histogram(log_ec, bins=40, density=True)
        density = np.interp(log_ec, (edges[1:] + edges[:-1]) / 2, drawn)
        wanted = prior_density(log_ec, config.saline_share) / (density + 1e-3)
        wanted = np.minimum(wanted, _MAX_WEIGHT_RATIO * wanted.mean())
        total = config.mixture_weight * (~simulated).sum()
        weights[simulated] = total * wanted / wanted.sum()
    return weights


def prior_density(log_ec: Floats, saline_share: float) -> Floats:
    """Return the assumed density of log(EC + 0.03) in dry lands (s,).

    A share of saline ground, normal around log 1 dS/m with 1.2, the rest around log 0.07 with 1.1
    (the laboratory library: median 0.07, 95 % below 0.6 dS/m), both of a 1:2 water extract. An
    assumption, not a fit.
    """
    background = _normal(log_ec, math.log(0.07), 1.1)
    return (1.0 - saline_share) * background + saline_share * _normal(log_ec, math.log(1.0), 1.2)


def _normal(x: Floats, mean: float, sd: float) -> Floats:
    density: Floats = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))
    return density


def project(samples: Samples, weights: Floats, config: TrainConfig) -> Projection:
    """Learn standardised principal components from spectra alone."""
    share = weights / weights.sum()
    mean = share @ samples.features
    centred = samples.features - mean
    spectral = centred[:, :-LEVEL_FEATURES]
    variance, vectors = np.linalg.eigh((spectral * share[:, None]).T @ spectral)
    wanted = min(config.components + config.trailing, variance.size)
    vectors, variance = vectors[:, ::-1][:, :wanted], variance[::-1][:wanted]
    # The sign of an eigenvector is the library's whim; fixed for equal weights on equal data.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(wanted)])
    kept = min(config.components, wanted)
    components = _with_levels(
        vectors / np.sqrt(np.maximum(variance, 1e-12)),
        np.sqrt(share @ centred[:, -LEVEL_FEATURES:] ** 2),
        kept,
    )
    return Projection(components, -components @ mean, kept + LEVEL_FEATURES)


def _with_levels(vectors: Floats, level_sd: Floats, kept: int) -> Floats:
    """Return components (kept + 2 + t, n_features): kept ones, standardised levels, trailing."""
    size, wanted = vectors.shape
    rows = np.zeros((wanted + LEVEL_FEATURES, size + LEVEL_FEATURES))
    rows[:kept, :size] = vectors[:, :kept].T
    for i, sd in enumerate(level_sd):
        rows[kept + i, size + i] = 1.0 / max(float(sd), 1e-6)
    rows[kept + LEVEL_FEATURES :, :size] = vectors[:, kept:].T
    return rows


def fit_student(samples: Samples, config: TrainConfig) -> Student:
    """Fit the student; its interval is calibrated on regions that a member did not see.

    The regions - groups, where a table has none - are cut into as many folds as there are members,
    and each member is trained without one of them (the cross-validation committee of Krogh and
    Vedelsby 1995). Its residuals there calibrate the interval: a single member errs a little more
    than their average, so the interval errs to the wide side.

    Parameters
    ----------
    samples
        Training rows; nothing else is looked at.
    config
        Sizes, penalties, seed.
    """
    weights = sample_weights(samples, config)
    projection = project(samples, weights, config)
    components = projection(samples.features)
    inputs = components[:, : projection.kept].astype(np.float32)
    target = np.log(samples.ec + EC_SHIFT)
    mean = float(np.average(target, weights=weights))
    left_out = np.empty((target.size, 3))
    networks = []
    folds = group_folds(samples.region, config.members, config.seed)
    for i, (train, test) in enumerate(folds):
        network = train_member(
            inputs[train], target[train] - mean, weights[train], config=config, number=i
        )
        left_out[test] = apply_member(network, inputs[test])
        networks.append(network)
    residual = target - mean - left_out[:, 0]
    misses = -residual / left_out[:, 1], residual / left_out[:, 2]
    kinds = [rows for rows in (~samples.simulated, samples.simulated) if rows.any()]
    interval = [
        # The wider of measured and simulated: neither may lose coverage to the other.
        max(conformal_factor(miss[rows], weights[rows], outside) for rows in kinds)
        for miss, outside in zip(misses, (MISSES_BELOW, MISSES_ABOVE), strict=True)
    ]
    directions = salt_directions(projection)
    limits = _limits(samples, components, directions, kinds)
    calibration = Calibration(mean, interval, directions, limits)
    return assemble(projection, networks, calibration)


def salt_directions(projection: Projection) -> Floats:
    """Return orthonormal directions that the pure training salts span (r, k + t).

    A crust is further from the soils than many a roof, so distance alone would flag just what the
    map is for. The specimens are those of `use="train"`, at EnMAP's bands.
    """
    bands = sensor_bands("enmap")
    salts = [mineral for mineral in specimens("train") if is_salt(mineral.mineral)]
    pure = np.array([mineral_reflectance(salt, GRID_NM) for salt in salts])
    scores = projection(front_end(bands)(pure @ response_matrix(GRID_NM, bands).T))
    directions: Floats = np.linalg.svd(scores, full_matrices=False)[2][:_SALT_DIRECTIONS]
    return directions


def _limits(
    samples: Samples, components: Floats, directions: Floats, kinds: list[NDArray[np.bool_]]
) -> list[float]:
    """Return EC_MAX and the thresholds of EXTRAPOLATED and OUT_OF_DOMAIN.

    Of measured and simulated samples, the wider quantile counts.
    """
    distance = (components**2).sum(axis=1) - ((components @ directions.T) ** 2).sum(axis=1)
    t2, ec = (
        max(float(np.quantile(values[rows], _THRESHOLD_QUANTILE)) for rows in kinds)
        for values in (distance, samples.ec)
    )
    return [float(math.ceil(samples.ec.max())), ec, t2]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What is set after the networks are trained.

    Parameters
    ----------
    mean
        Mean of log(EC + 0.03) that the networks predict the difference to.
    interval
        Factors on the widths below and above.
    directions
        Of pure salts (r, k + t).
    limits
        EC_MAX, thresholds of EXTRAPOLATED and OUT_OF_DOMAIN.
    """

    mean: float
    interval: list[float]
    directions: Floats
    limits: list[float]


def assemble(projection: Projection, networks: list[Network], calibration: Calibration) -> Student:
    """Return the student made of a projection and trained networks."""

    def layer(index: int, name: str) -> torch.Tensor:
        return torch.stack([getattr(network[index], name).detach() for network in networks])

    heads_bias = layer(-1, "bias")[..., None].clone()
    heads_bias[:, 0] += calibration.mean
    return Student(
        components=_float32(projection.components),
        component_offset=_float32(projection.offset),
        first=layer(0, "weight"),
        first_bias=layer(0, "bias")[..., None],
        second=layer(1, "weight"),
        second_bias=layer(1, "bias")[..., None],
        heads=layer(2, "weight"),
        heads_bias=heads_bias,
        interval=_float32(calibration.interval),
        salt_directions=_float32(calibration.directions),
        limits=_float32(calibration.limits),
    )


def _float32(values: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))


def conformal_factor(misses: Floats, weights: Floats, outside: float) -> float:
    """Return the factor on a width that leaves this share of new samples beyond it.

    Split conformal prediction for each end by itself (Romano et al. 2019), weighted.

    Parameters
    ----------
    misses
        Distance from the location over the predicted width, towards one end (s,).
    weights
        (s,)
    outside
        Share of samples beyond the end.
    """
    order = np.argsort(misses, kind="stable")
    # One more sample at infinity: the new one, in the conformal guarantee.
    total = weights.sum() + weights.mean()
    reached = np.cumsum(weights[order]) >= total * (1.0 - outside)
    return max(0.0, float(misses[order][reached.argmax() if reached.any() else -1]))


def estimates(student: Student, features: Floats) -> Estimates:
    """Return the student's estimates for features (s, n_features), by its own forward pass."""
    components = features @ student.components.double().numpy().T
    components += student.component_offset.double().numpy()
    with one_torch_thread(), torch.inference_mode():
        return student.respond(torch.from_numpy(components.T.astype(np.float32)))
