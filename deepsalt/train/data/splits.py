"""Splits by group, and the choice between candidates on them.

Rows of one profile or country never lie on both sides.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from deepsalt.errors import FormatError
from deepsalt.types import Floats

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def group_folds(groups: NDArray[np.str_], count: int, seed: int) -> list[Fold]:
    """Return (training, test) rows of folds of whole groups.

    Groups are shuffled, then given in order of size to the fold with the fewest rows, so that
    folds are about equal.

    Parameters
    ----------
    groups
        Name per row (s,).
    count
        Folds wanted; fewer where there are fewer groups.
    seed
        Of the shuffle.

    Raises
    ------
    FormatError
        A single group: nothing can be held out.
    """
    names, index = np.unique(groups, return_inverse=True)
    if names.size < 2:
        raise FormatError(
            f"all spectra belong to one group ({names[0]}); nothing can be held out, "
            "name another group column"
        )
    # shuffle=True would deal out equal numbers of groups, not of rows (decision 43). Without it,
    # groups of equal size are taken in falling order of their names, for which these numbers stand.
    order = np.random.default_rng(seed).permutation(names.size)[::-1]
    shuffled = np.argsort(order)[index]
    return [*GroupKFold(min(count, names.size)).split(shuffled, groups=shuffled)]


def group_weights(groups: NDArray[np.str_]) -> Floats:
    """Return weights (s,) with which each group counts once, however many rows it has."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / counts[index]
    return weights


def one_standard_error(scores: Floats, *, paired: bool = True) -> int:
    """Return the first candidate within one standard error of the best (Breiman et al. 1984).

    The standard error is that of the best candidate's lead over the other one, which takes out what
    makes folds differ for all alike; not paired, that of the best candidate's own score.

    Parameters
    ----------
    scores
        Higher is better (candidates, folds), in order of preference; folds are whole
        groups.
    paired
        Whether a lead counts by its own standard error, so that small but steady ones do.

    Raises
    ------
    FormatError
        A score is missing, there is no candidate, or there are fewer than two folds.
    """
    candidates, folds = scores.shape
    if folds < 2 or not candidates:
        raise FormatError(
            f"scores {scores.shape} cannot be compared; give at least one candidate and two folds"
        )
    missing = ~np.isfinite(scores).all(axis=1)
    if missing.any():
        raise FormatError(
            f"candidate {np.flatnonzero(missing)[0]} has no score in a fold; leave it out"
        )
    means = scores.mean(axis=1)
    best = int(means.argmax())
    spread = scores[best] - scores if paired else np.broadcast_to(scores[best], scores.shape)
    error = spread.std(axis=1, ddof=1) / np.sqrt(folds)
    return next(i for i in range(candidates) if means[best] - means[i] <= error[i])
