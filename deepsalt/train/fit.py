"""Fitting the student: components without labels, networks with them, then calibration."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.student import EC_SHIFT, Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import LEVEL_FEATURES
from deepsalt.train.config import TrainConfig
from deepsalt.train.network import Network, apply_member, train_member
from deepsalt.train.samples import Samples
from deepsalt.train.splits import group_folds

Floats = NDArray[np.float64]

_DOMAIN_QUANTILE = 0.995
_LABEL_QUANTILE = 0.995
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
    """Fit the student; its interval is calibrated on groups that a member did not see.

    The groups are cut into as many folds as there are members, and each member is trained without
    one of them (the cross-validation committee of Krogh and Vedelsby 1995). Its residuals there
    calibrate the interval: a single member errs a little more than their average, so the interval
    errs to the wide side.

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
    folds = group_folds(samples.group, config.members, config.seed)
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
        max(conformal_factor(miss[rows], weights[rows]) for rows in kinds)
        for miss in misses
    ]
    limits = _limits(samples, components, projection.kept, kinds)
    return assemble(projection, networks, mean=mean, interval=interval, limits=limits)


def _limits(
    samples: Samples, components: Floats, kept: int, kinds: list[NDArray[np.bool_]]
) -> list[float]:
    """Return EC_MAX, the EXTRAPOLATED threshold and the thresholds of T² and Q."""
    scores = components**2
    t2, q = (
        # The wider of the two kinds: crusts are the target, not an anomaly.
        max(float(np.quantile(statistic[rows], _DOMAIN_QUANTILE)) for rows in kinds)
        for statistic in (scores[:, :kept].sum(1), scores[:, kept:].sum(1))
    )
    ec_extrapolated = max(float(np.quantile(samples.ec[rows], _LABEL_QUANTILE)) for rows in kinds)
    return [float(math.ceil(samples.ec.max())), ec_extrapolated, t2, q]


def assemble(
    projection: Projection,
    networks: list[Network],
    *,
    mean: float,
    interval: list[float],
    limits: list[float],
) -> Student:
    """Return the student made of a projection and trained networks."""

    def layer(index: int, name: str) -> torch.Tensor:
        return torch.stack([getattr(network[index], name).detach() for network in networks])

    heads_bias = layer(-1, "bias")[..., None].clone()
    heads_bias[:, 0] += mean
    return Student(
        components=_float32(projection.components),
        component_offset=_float32(projection.offset),
        first=layer(0, "weight"),
        first_bias=layer(0, "bias")[..., None],
        second=layer(1, "weight"),
        second_bias=layer(1, "bias")[..., None],
        heads=layer(2, "weight"),
        heads_bias=heads_bias,
        interval=_float32(interval),
        limits=_float32(limits),
    )


def _float32(values: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))


def conformal_factor(misses: Floats, weights: Floats) -> float:
    """Return the factor on a width that keeps all but half of the misses allowed inside.

    Split conformal prediction for each end by itself (Romano et al. 2019), weighted.

    Parameters
    ----------
    misses
        Distance beyond the location over the predicted width, at one end (s,).
    weights
        (s,)
    """
    order = np.argsort(misses, kind="stable")
    # One more sample at infinity: the new one, in the conformal guarantee.
    total = weights.sum() + weights.mean()
    reached = np.cumsum(weights[order]) >= total * (1.0 + INTERVAL_COVERAGE) / 2.0
    return max(0.0, float(misses[order][reached.argmax() if reached.any() else -1]))


def estimates(student: Student, features: Floats) -> Estimates:
    """Return the student's estimates for features (s, n_features), by its own forward pass."""
    components = features @ student.components.double().numpy().T
    components += student.component_offset.double().numpy()
    with one_torch_thread(), torch.inference_mode():
        return student.respond(torch.from_numpy(components.T.astype(np.float32)))
