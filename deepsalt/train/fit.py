"""Fitting the student: closed form throughout, so a seed gives the same weights each time."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.student import EC_SHIFT, Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import LEVEL_FEATURES
from deepsalt.train.config import TrainConfig
from deepsalt.train.samples import Samples
from deepsalt.train.splits import group_folds

Floats = NDArray[np.float64]

_JITTER = 1e-6  # keeps the normal equations solvable where anchors nearly coincide
_SPREAD_RIDGE = 10.0  # times the ridge of the location: a spread is noisier to learn
_SMALL_RESIDUAL = 0.05  # log units; below the repeatability of a conductivity label
_MAX_WEIGHT_RATIO = 20.0  # of a simulated sample over the mean: no single one decides
_NODES = 15  # quantiles that the mean over the residuals is taken over
_DOMAIN_QUANTILE = 0.995
_LABEL_QUANTILE = 0.995


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """What is learned without labels.

    Parameters
    ----------
    components, offset
        Standardised components (k + t, n_features), (k + t,).
    anchors
        (a, k)
    length
        Kernel length.
    """

    components: Floats
    offset: Floats
    anchors: Floats
    length: float

    def __call__(self, features: Floats) -> Floats:
        """Return standardised components of features (s, k + t)."""
        return features @ self.components.T + self.offset

    def kernel(self, features: Floats) -> Floats:
        """Return the kernel against the anchors (s, a)."""
        return matern(self(features)[:, : self.anchors.shape[1]], self.anchors, self.length)


def matern(a: Floats, b: Floats, length: float) -> Floats:
    """Return the Matérn 3/2 kernel between rows (n, k) and (m, k): (n, m)."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T
    scaled = np.sqrt(3.0 * np.maximum(squared, 0.0)) / length
    kernel: Floats = (1.0 + scaled) * np.exp(-scaled)
    return kernel


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

    A share of saline ground, normal around log 5 dS/m with 1.2, the rest around log 0.2 with 0.9
    (the laboratory library: median 0.07, 95 % below 0.6 dS/m). An assumption, not a fit.
    """
    background = _normal(log_ec, math.log(0.2), 0.9)
    return (1.0 - saline_share) * background + saline_share * _normal(log_ec, math.log(5.0), 1.2)


def _normal(x: Floats, mean: float, sd: float) -> Floats:
    density: Floats = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))
    return density


def project(samples: Samples, weights: Floats, config: TrainConfig) -> Projection:
    """Learn components, anchors and kernel length from spectra alone."""
    share = weights / weights.sum()
    mean = share @ samples.features
    centred = samples.features - mean
    spectral = centred[:, :-LEVEL_FEATURES]
    variance, vectors = np.linalg.eigh((spectral * share[:, None]).T @ spectral)
    wanted = min(config.components + config.trailing, variance.size)
    vectors, variance = vectors[:, ::-1][:, :wanted], variance[::-1][:wanted]
    # The sign of an eigenvector is the library's whim; fixed for equal weights on equal data.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(wanted)])
    components = _with_levels(
        vectors / np.sqrt(np.maximum(variance, 1e-12)),
        np.sqrt(share @ centred[:, -LEVEL_FEATURES:] ** 2),
        min(config.components, wanted),
    )
    chosen = _draw_anchors(samples, share, config)
    scores = centred[chosen] @ components[: config.components + LEVEL_FEATURES].T
    squared = ((scores[:, None] - scores[None]) ** 2).sum(axis=2)
    length = config.length_factor * float(np.sqrt(np.median(squared[squared > 0])))
    return Projection(components, -components @ mean, scores, length)


def _with_levels(vectors: Floats, level_sd: Floats, kernel: int) -> Floats:
    """Return components (k + 2 + t, n_features): kernel's, the standardised levels, trailing."""
    size, wanted = vectors.shape
    rows = np.zeros((wanted + LEVEL_FEATURES, size + LEVEL_FEATURES))
    rows[:kernel, :size] = vectors[:, :kernel].T
    for i, sd in enumerate(level_sd):
        rows[kernel + i, size + i] = 1.0 / max(float(sd), 1e-6)
    rows[kernel + LEVEL_FEATURES :, :size] = vectors[:, kernel:].T
    return rows


def _draw_anchors(samples: Samples, share: Floats, config: TrainConfig) -> NDArray[np.intp]:
    """Return rows to be anchors: half measured, half simulated where there are both."""
    rng = np.random.default_rng([config.seed, 1])
    kinds = [
        rows for rows in map(np.flatnonzero, (~samples.simulated, samples.simulated)) if rows.size
    ]
    drawn = []
    for rows in kinds:
        likely = share[rows] / share[rows].sum()
        count = min(config.anchors // len(kinds), int((likely > 0).sum()))
        drawn.append(rng.choice(rows, size=count, replace=False, p=likely))
    return np.sort(np.concatenate(drawn))


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Ridge regression on kernel features: value = kernel @ slope + mean."""

    slope: Floats
    mean: float

    def __call__(self, kernel: Floats) -> Floats:
        """Return values for kernel rows (s, a): (s,)."""
        return kernel @ self.slope + self.mean


def regress(
    kernel: Floats, target: Floats, weights: Floats, *, between: Floats, ridge: float
) -> Regression:
    """Fit a weighted Nyström ridge regression.

    Parameters
    ----------
    kernel
        Against the anchors (s, a).
    target, weights
        (s,)
    between
        Kernel among the anchors (a, a).
    ridge
        Penalty.
    """
    mean = float(np.average(target, weights=weights))
    weighted = kernel * weights[:, None]
    normal = kernel.T @ weighted + ridge * between + _JITTER * np.eye(len(between))
    slope: Floats = np.linalg.solve(normal, weighted.T @ (target - mean)).astype(np.float64)
    return Regression(slope, mean)


def fit_student(samples: Samples, config: TrainConfig) -> Student:
    """Fit the student; intervals are calibrated on groups left out in turn.

    Parameters
    ----------
    samples
        Training rows; nothing else is looked at.
    config
        Sizes, penalties, seed.
    """
    weights = sample_weights(samples, config)
    projection = project(samples, weights, config)
    target = np.log(samples.ec + EC_SHIFT)
    kernel = projection.kernel(samples.features)
    between = matern(projection.anchors, projection.anchors, projection.length)
    folds = group_folds(samples.group, config.folds, config.seed)

    def fit(y: Floats, ridge: float, rows: NDArray[np.intp] | slice = slice(None)) -> Regression:
        return regress(kernel[rows], y[rows], weights[rows], between=between, ridge=ridge)

    def left_out(y: Floats, ridge: float) -> Floats:
        """Return values for each group by fits that did not see it (s,)."""
        values = np.empty_like(y)
        for train, test in folds:
            values[test] = fit(y, ridge, train)(kernel[test])
        return values

    residual = target - left_out(target, config.ridge)
    log_size = np.log(np.abs(residual) + _SMALL_RESIDUAL)
    spread_ridge = _SPREAD_RIDGE * config.ridge
    standardised = residual / np.exp(left_out(log_size, spread_ridge))
    heads = fit(target, config.ridge), fit(log_size, spread_ridge)
    return _assemble(projection, heads, standardised, samples, weights)


def _assemble(
    projection: Projection,
    heads: tuple[Regression, Regression],
    standardised: Floats,
    samples: Samples,
    weights: Floats,
) -> Student:
    measured = ~samples.simulated
    scores = projection(samples.features) ** 2
    k = projection.anchors.shape[1]
    kinds = [rows for rows in (measured, ~measured) if rows.any()]
    t2, q = (
        # The wider of the two kinds: crusts are the target, not an anomaly.
        max(float(np.quantile(statistic[rows], _DOMAIN_QUANTILE)) for rows in kinds)
        for statistic in (scores[:, :k].sum(1), scores[:, k:].sum(1))
    )
    ec_extrapolated = max(float(np.quantile(samples.ec[rows], _LABEL_QUANTILE)) for rows in kinds)
    ends = np.array([conformal_ends(standardised[rows]) for rows in kinds])
    nodes = (np.arange(_NODES) + 0.5) / _NODES
    arrays = {
        "components": projection.components,
        "component_offset": projection.offset,
        "anchors": projection.anchors,
        "length": projection.length,
        "heads": np.stack([head.slope for head in heads]),
        "head_offset": [head.mean for head in heads],
        "residual_nodes": weighted_quantiles(standardised, weights, nodes),
        "interval": [ends[:, 0].min(), ends[:, 1].max()],
        "limits": [math.ceil(samples.ec.max()), ec_extrapolated, t2, q],
    }
    return Student(
        **{k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in arrays.items()}
    )


def weighted_quantiles(values: Floats, weights: Floats, probabilities: Floats) -> Floats:
    """Return quantiles of weighted values (p,)."""
    order = np.argsort(values, kind="stable")
    position = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return np.interp(probabilities, position, values[order])


def conformal_ends(standardised: Floats) -> tuple[float, float]:
    """Return the ends that hold `INTERVAL_COVERAGE` of new residuals.

    Split conformal prediction with half the misses on each side (Romano et al. 2019): the
    ceil((n + 1) (1 - alpha / 2))-th smallest residual, and its counterpart from below.
    """
    n = standardised.size
    ordered = np.sort(standardised)
    rank = min(n, math.ceil((n + 1) * (1.0 + INTERVAL_COVERAGE) / 2.0))
    return float(ordered[n - rank]), float(ordered[rank - 1])


def estimates(student: Student, features: Floats) -> Estimates:
    """Return the student's estimates for features (s, n_features), by its own forward pass."""
    components = features @ student.components.double().numpy().T
    components += student.component_offset.double().numpy()
    with one_torch_thread(), torch.inference_mode():
        return student.respond(torch.from_numpy(components.T.astype(np.float32)))
