"""How far apart residuals are still alike: the practical range of their variogram."""

import numpy as np
from numpy.typing import NDArray

from deepsalt.types import Floats

_MOST = 1500  # sites whose pairs are looked at; more are drawn from
_BINS = 20  # of equally many pairs, so that each is equally well known
_RANGES = 40  # candidates, evenly spaced in their logarithm
_SHUFFLES = 99
_SIGNIFICANT = 0.05
_AS_GOOD = 0.9  # of what the best range explains
_SEED = 0


def practical_range_m(points: Floats, values: Floats) -> float | None:
    """Return the distance beyond which values are no more alike than any; None: there is none.

    An exponential variogram ``c0 + c1 (1 - exp(-3 h / a))`` with c1 >= 0 is fitted to the robust
    estimates of Cressie and Hawkins (1980) by weighted least squares (Cressie 1985), over pairs up
    to half of the largest distance (Journel and Huijbregts 1978). Returned is the largest a that
    explains 90 % of what the best one does of the variogram's departure from a constant. It counts
    if no more than 5 % of shuffled values are explained as well.

    Parameters
    ----------
    points
        Of `deepsalt.grid.on_sphere`, distinct, metres (n, 3); at least three.
    values
        (n,)
    """
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(_SEED)
    if len(points) > _MOST:
        drawn = np.sort(rng.choice(len(points), _MOST, replace=False))
        points, values = points[drawn], values[drawn]
    apart_m = pdist(points)
    near = np.flatnonzero(apart_m <= apart_m.max() / 2.0)
    order = near[np.argsort(apart_m[near], kind="stable")]
    bins = np.array_split(order, min(_BINS, order.size))
    first, second = np.triu_indices(len(points), 1)
    lag_m = np.array([apart_m[rows].mean() for rows in bins])
    count = np.array([rows.size for rows in bins], dtype=np.float64)
    ranges_m = np.geomspace(lag_m[0], lag_m[-1], _RANGES)
    shapes = 1.0 - np.exp(-3.0 * lag_m / ranges_m[:, None])

    def gains(of: Floats) -> Floats:
        root = np.sqrt(np.abs(of[first[order]] - of[second[order]]))
        return _gains(_robust(root, bins), count, shapes)

    found = gains(values)
    best = found.max()
    shuffled = [gains(rng.permutation(values)).max() for _ in range(_SHUFFLES)]
    if 1 + sum(gain >= best for gain in shuffled) > _SIGNIFICANT * (_SHUFFLES + 1):
        return None
    # Blocks that are too small flatter a score, blocks that are too large only make it less sure.
    return float(ranges_m[np.flatnonzero(found >= _AS_GOOD * best)[-1]])


def _robust(root: Floats, bins: list[NDArray[np.intp]]) -> Floats:
    """Return semivariances (b,) of root absolute differences, sorted by distance."""
    sizes = np.array([rows.size for rows in bins])
    means = np.add.reduceat(root, np.cumsum(sizes) - sizes) / sizes
    return np.asarray(means**4 / (0.457 + 0.494 / sizes) / 2.0)


def _gains(gamma: Floats, count: Floats, shapes: Floats) -> Floats:
    """Return the share of the weighted squares around a constant that each shape explains (a,)."""
    weight = count / np.maximum(gamma, 1e-12) ** 2
    weight /= weight.sum()
    level = gamma - weight @ gamma
    centred = shapes - (shapes @ weight)[:, None]
    common = centred @ (weight * level)
    own = centred**2 @ weight
    gained = np.where(common > 0.0, common**2 / np.maximum(own, 1e-300), 0.0)
    return np.asarray(gained / max(float(weight @ level**2), 1e-300))
