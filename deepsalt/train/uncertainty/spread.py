"""How far labels lie from what was predicted: widths, and quantiles of the residuals."""

import math

import numpy as np

from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.metrics import r2
from deepsalt.types import Floats

NODES = 16
"""Quantiles of the residuals over which the expectation of log(1 + EC) is taken."""

_SMALL = 0.05  # log units added to |residual| before its logarithm


def log_width(residual: Floats) -> Floats:
    """Return the target of the width's head: log(|residual| + 0.05) (s,)."""
    return np.log(np.abs(residual) + _SMALL)


def residual_nodes(residual: Floats, width: Floats, weights: Floats) -> Floats:
    """Return quantiles of residuals over widths, of equal probability (NODES,).

    The outermost ones are means beyond, by construction of the midpoints: single residuals do not
    decide the tail.
    """
    ratio = residual / width
    order = np.argsort(ratio, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    part = np.minimum((share - 1e-12) * NODES, NODES - 1).astype(int)
    total = np.bincount(part, weights[order], NODES)
    sums = np.bincount(part, weights[order] * ratio[order], NODES)
    known = total > 0
    nodes: Floats = np.interp(np.arange(NODES), np.flatnonzero(known), sums[known] / total[known])
    return nodes


def expected_log1p(location: Floats, width: Floats, nodes: Floats, ec_max: float) -> Floats:
    """Return E[log(1 + EC)] (s,) over the nodes, EC cut at 0 and `ec_max`, dS/m."""
    ceiling = math.log(ec_max + EC_SHIFT)
    log_ec = np.minimum(location[:, None] + width[:, None] * nodes, ceiling)
    mean: Floats = np.log1p(np.maximum(np.exp(log_ec) - EC_SHIFT, 0.0)).mean(axis=1)
    return mean


def smeared_r2(ec: Floats, location: Floats) -> float:
    """Return R² of log(1 + EC) of held-out answers, smeared by their own residuals (s,)."""
    residual = np.log(ec + EC_SHIFT) - location
    ones = np.ones(ec.size)
    expected = expected_log1p(location, ones, residual_nodes(residual, ones, ones), float(ec.max()))
    return r2(np.log1p(ec), expected)
