"""Baselines of the benchmark: what a soil spectroscopist would try first.

Each is fitted on one view and applied to the same view, its best case, answers log(1 + EC) within
the training range, and tunes itself by groups within the training rows only.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from deepsalt.benchmark.indices import salinity_indices
from deepsalt.conductivity import EC_SHIFT
from deepsalt.spectral.transform import (
    BROAD_FEATURES,
    LEVEL_FEATURES,
    SEGMENTS_NM,
    STEP_NM,
    common_nm,
)
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import Fold, group_folds
from deepsalt.train.teacher.network import apply_network, train_network
from deepsalt.types import BandTable, Floats

Predictor = Callable[[Samples], Floats]
Fit = Callable[[Samples], Predictor]
T = TypeVar("T")

PLS_COMPONENTS = 20
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 30)
"""Candidates of the tuned PLS."""
RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)
KERNEL_COMPONENTS = (12, 40)
KERNEL_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
NEIGHBOURS = (30, 60, 120)
TREES = 300
TREE_LEAVES = (1, 2, 4, 8, 16)
TREE_FEATURES = (0.1, 0.4)
NETWORK_COMPONENTS = (6, 20)
NETWORK_DROPOUTS = (0.0, 0.1, 0.2, 0.35, 0.5)
MEMBERS = 5
"""Networks of an ensemble."""

_FOLDS = 5  # within the training rows
_MATERN = 1.5  # smoothness of the kernel
_LOCAL_COMPONENTS = 20  # of the distance between spectra and of the local regression


def first_derivatives(samples: Samples) -> Floats:
    """Return first differences of the common bands after SNV within each window (s, n)."""
    nm = common_nm()
    snv = samples.snv.astype(np.float64)
    parts = [snv[:, (nm >= low) & (nm <= high)] for low, high in SEGMENTS_NM]
    return np.concatenate([np.diff(part, axis=1) for part in parts], axis=1)


def second_derivatives(samples: Samples) -> Floats:
    """Return second derivatives of the common bands after SNV (s, n)."""
    return samples.features[:, :-BROAD_FEATURES]


def shape(samples: Samples) -> Floats:
    """Return SNV means over broad ranges (s, 6)."""
    return samples.features[:, -BROAD_FEATURES:-LEVEL_FEATURES]


def levels(samples: Samples) -> Floats:
    """Return log mean reflectance and log relative deviation (s, 2): brightness alone."""
    return samples.features[:, -LEVEL_FEATURES:]


def indices(samples: Samples) -> Floats:
    """Return the salinity indices (s, 9) of spectra on the common bands."""
    level = levels(samples)
    mean = np.exp(level[:, :1])
    deviation = np.exp(level.sum(axis=1, keepdims=True))
    nm = common_nm()
    names = tuple(f"{center:.0f}" for center in nm)
    # 20 nm reach past a window's edge, so that indices at 2119 nm and the like find a band.
    bands = BandTable(names, tuple(nm.tolist()), (STEP_NM,) * nm.size, (True,) * nm.size)
    found = salinity_indices(mean + deviation * samples.snv, bands)
    known = np.isfinite(found).all(axis=0)
    return np.clip(found[:, known], -2.0, 2.0)


def fit_mean(training: Samples) -> Predictor:
    """Predict the mean of log(1 + EC)."""
    mean = float(np.log1p(training.ec).mean())
    return lambda samples: np.full(len(samples), mean)


def _ridge(covariates: Callable[[Samples], Floats], training: Samples) -> Predictor:
    center = covariates(training).mean(axis=0)
    spread = covariates(training).std(axis=0) + 1e-9

    def inputs(samples: Samples) -> Floats:
        known = (covariates(samples) - center) / spread
        return np.concatenate([known, known**2], axis=1)

    def fit(rows: Samples, ridge: float) -> Predictor:
        model = Ridge(alpha=ridge).fit(inputs(rows), np.log1p(rows.ec))
        return lambda samples: np.asarray(model.predict(inputs(samples)))

    return _tuned(training, RIDGES, fit)


def fit_albedo(training: Samples) -> Predictor:
    """Ridge regression on brightness and its square."""
    return _ridge(levels, training)


def fit_indices(training: Samples) -> Predictor:
    """Ridge regression on the salinity indices and their squares."""
    return _ridge(indices, training)


def _pls(rows: Samples, components: int) -> Predictor:
    count = min(components, len(rows) - 1)
    model = PLSRegression(count, scale=False).fit(first_derivatives(rows), np.log1p(rows.ec))
    return lambda samples: np.asarray(model.predict(first_derivatives(samples))).ravel()


def fit_pls(training: Samples) -> Predictor:
    """Partial least squares, 20 components on SNV first derivatives."""
    return _clipped(training, _pls(training, PLS_COMPONENTS))


def fit_pls_tuned(training: Samples) -> Predictor:
    """Partial least squares with as many components as held-out groups like."""
    return _tuned(training, COMPONENTS, _pls)


def fit_trees(training: Samples) -> Predictor:
    """Extra-trees (Geurts et al. 2006) on SNV first derivatives, shape and brightness."""
    return _clipped(training, _trees(training, (2, 0.3)))


def fit_trees_tuned(training: Samples) -> Predictor:
    """Extremely randomised trees whose leaves and features held-out groups like."""
    grid = [(leaf, features) for leaf in TREE_LEAVES for features in TREE_FEATURES]
    return _tuned(training, grid, _trees)


def _trees(rows: Samples, chosen: tuple[int, float]) -> Predictor:
    leaf, features = chosen

    def inputs(samples: Samples) -> Floats:
        return np.concatenate([first_derivatives(samples), shape(samples), levels(samples)], axis=1)

    model = ExtraTreesRegressor(
        TREES, min_samples_leaf=leaf, max_features=features, random_state=0
    ).fit(inputs(rows), np.log1p(rows.ec))
    return lambda samples: np.asarray(model.predict(inputs(samples)))


def fit_networks(training: Samples) -> Predictor:
    """Small networks on the inputs of the kernel machine, each stopped on other held-out groups."""
    grid = [(k, dropout) for k in NETWORK_COMPONENTS for dropout in NETWORK_DROPOUTS]
    return _tuned(training, grid, _networks)


def _networks(rows: Samples, chosen: tuple[int, float]) -> Predictor:
    components, dropout = chosen
    inputs = _components(rows, components)
    known = np.log1p(rows.ec)
    mean, spread = known.mean(), known.std() + 1e-9
    # Sites are few: small batches and long patience; the teacher's settings suit thousands.
    settings = Settings(hidden=(32, 16), dropout=dropout, epochs=200, patience=20, batch=16)
    members = [
        train_network(
            inputs(rows),
            (known - mean) / spread,
            np.ones(len(rows)),
            groups=rows.group,
            ids=rows.site,
            settings=settings,
            number=number,
        )
        for number in range(MEMBERS)
    ]

    def predict(samples: Samples) -> Floats:
        said = [apply_network(member, inputs(samples)) for member in members]
        return np.asarray(mean + spread * np.mean(said, axis=0))

    return predict


def fit_kernel_ridge(training: Samples) -> Predictor:
    """Matérn kernel ridge on SNV second derivatives, shape, brightness; of log(EC + 0.03), smeared.

    The smearing (Duan 1983) by held-out residuals turns the mean of a logarithm into that of
    log(1 + EC), the scale of the scores.
    """
    grid = [(k, ridge) for k in KERNEL_COMPONENTS for ridge in KERNEL_RIDGES]
    chosen, held_out = _choose(training, grid, _kernel, training.target)
    nodes = np.quantile(training.target - held_out, (np.arange(40) + 0.5) / 40)
    model = _kernel(training, chosen)
    return _clipped(training, lambda samples: smeared(model(samples), nodes))


def smeared(location: Floats, nodes: Floats) -> Floats:
    """Return the mean of log(1 + EC) (s,) of log(EC + 0.03) (s,) with residuals (m,)."""
    ec = np.exp(np.minimum(location[:, None] + nodes, 7.0)) - EC_SHIFT
    return np.asarray(np.log1p(np.maximum(ec, 0.0)).mean(axis=1))


def _components(rows: Samples, components: int) -> Callable[[Samples], Floats]:
    """Return the function from samples to whitened components, shape and brightness (s, k + 8)."""
    count = min(components, len(rows) - 1)
    spectral = second_derivatives(rows)
    pca = PCA(count, whiten=True, svd_solver="covariance_eigh").fit(spectral)
    center = [broad(rows).mean(axis=0) for broad in (shape, levels)]
    spread = [broad(rows).std(axis=0) + 1e-9 for broad in (shape, levels)]

    def inputs(samples: Samples) -> Floats:
        form = (shape(samples) - center[0]) / spread[0]
        bright = 0.5 * (levels(samples) - center[1]) / spread[1]
        parts = [pca.transform(second_derivatives(samples)), form, bright]
        return np.asarray(np.concatenate(parts, axis=1), dtype=np.float64)

    return inputs


def _kernel(rows: Samples, chosen: tuple[int, float]) -> Predictor:
    components, ridge = chosen
    inputs = _components(rows, components)
    known = inputs(rows)
    kernel = Matern(3.0 * np.sqrt(min(components, len(rows) - 1)), nu=_MATERN)
    mean = float(rows.target.mean())
    gram = kernel(known)
    gram[np.diag_indices_from(gram)] += ridge
    weights = np.linalg.solve(gram, rows.target - mean)
    return lambda samples: np.asarray(mean + kernel(inputs(samples), known) @ weights)


def fit_local(training: Samples) -> Predictor:
    """Memory-based learning: ridge regression on the nearest spectra only."""
    return _tuned(training, NEIGHBOURS, _local)


def _local(rows: Samples, neighbours: int) -> Predictor:
    count = min(_LOCAL_COMPONENTS, len(rows) - 1)
    pca = PCA(count, whiten=True, svd_solver="covariance_eigh").fit(second_derivatives(rows))
    known = pca.transform(second_derivatives(rows))
    target = np.log1p(rows.ec)
    search = NearestNeighbors(n_neighbors=min(neighbours, len(rows))).fit(known)

    def predict(samples: Samples) -> Floats:
        wanted = pca.transform(second_derivatives(samples))
        near = search.kneighbors(wanted, return_distance=False)
        inputs = known[near]
        labels = target[near]
        center = inputs.mean(axis=1, keepdims=True)
        mean = labels.mean(axis=1, keepdims=True)
        inputs = inputs - center
        gram = inputs.transpose(0, 2, 1) @ inputs + near.shape[1] * np.eye(count)
        slope = np.linalg.solve(gram, inputs.transpose(0, 2, 1) @ (labels - mean)[..., None])
        step = (wanted[:, None, :] - center) @ slope
        return np.asarray(mean[:, 0] + step[:, 0, 0])

    return predict


def _clipped(training: Samples, predict: Predictor) -> Predictor:
    low = np.log1p(training.ec.min())
    high = np.log1p(training.ec.max())
    return lambda samples: np.clip(predict(samples), low, high)


def _tuned(
    training: Samples, candidates: Sequence[T], fit: Callable[[Samples, T], Predictor]
) -> Predictor:
    chosen, _ = _choose(training, candidates, fit, np.log1p(training.ec))
    return _clipped(training, fit(training, chosen))


def _choose(
    training: Samples,
    candidates: Sequence[T],
    fit: Callable[[Samples, T], Predictor],
    target: Floats,
) -> tuple[T, Floats]:
    """Return the candidate with the least squared error on held-out groups, and its answers."""
    folds = inner_folds(training)
    low = target.min()
    high = target.max()
    best: tuple[float, T, Floats] | None = None
    for candidate in candidates:
        answers = np.empty(len(training))
        for train, test in folds:
            answers[test] = fit(training.take(train), candidate)(training.take(test))
        answers = np.clip(answers, low, high)
        error = float(((target - answers) ** 2).mean())
        if best is None or error < best[0]:
            best = error, candidate, answers
    if best is None:
        raise ValueError("no candidate to choose from")
    return best[1], best[2]


def inner_folds(training: Samples) -> list[Fold]:
    """Return folds of whole groups; of samples where there is one group."""
    names = training.group if np.unique(training.group).size > 1 else training.site
    return group_folds(names, _FOLDS, 0)


BASELINES: dict[str, Fit] = {
    "mean": fit_mean,
    "albedo": fit_albedo,
    "indices": fit_indices,
    "PLS-20, clipped": fit_pls,
    "PLS tuned, clipped": fit_pls_tuned,
    "extra-trees": fit_trees,
    "kernel ridge": fit_kernel_ridge,
    "local": fit_local,
}
"""Rows by name, each a fit on the rows of one view."""

FAMILIES: dict[str, Fit] = {
    "mean": fit_mean,
    "salinity indices": fit_indices,
    "PLS": fit_pls_tuned,
    "kernel machine": fit_kernel_ridge,
    "trees": fit_trees_tuned,
    "networks": fit_networks,
}
"""Families of satellite-only models, the last four with ten candidates each, tuned alike."""
