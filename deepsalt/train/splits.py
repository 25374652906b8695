"""Splits by group: rows of one profile or country never lie on both sides."""

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError

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
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if names.size < 2:
        raise FormatError(
            f"all spectra belong to one group ({names[0]}); nothing can be held out, "
            "name another group column"
        )
    count = min(count, names.size)
    shuffled = np.random.default_rng(seed).permutation(names.size)
    fold_of = np.empty(names.size, dtype=np.intp)
    filled = np.zeros(count)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        smallest = int(filled.argmin())
        fold_of[group] = smallest
        filled[smallest] += sizes[group]
    row_fold = fold_of[index]
    return [(np.flatnonzero(row_fold != f), np.flatnonzero(row_fold == f)) for f in range(count)]
