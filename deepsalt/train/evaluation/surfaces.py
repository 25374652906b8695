"""Which surfaces the out-of-domain test flags, tested on collection sites that it did not see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.train.data.samples import Samples
from deepsalt.train.evaluation.salt import bootstrapped
from deepsalt.train.student.base import Base
from deepsalt.train.uncertainty.contrast import known_spectra
from deepsalt.train.uncertainty.domain import fit_domain
from deepsalt.types import Floats

FOLDS = 4
"""Parts into which the sites of each kind are dealt; minerals are the sites of salts."""


def surface_shares(base: Base, samples: Samples, components: int) -> list[dict[str, Any]]:
    """Return shares of surfaces flagged by tests that did not see their sites.

    The encoder, and the training's own soils, are those of the model itself.

    Parameters
    ----------
    base
        The model.
    samples
        Its samples.
    components
        Of the test, as it was trained.

    Returns
    -------
    list of dict
        For each kind and view: ``kind``, ``view``, ``spectra``, ``sites``, and ``flagged``, the
        mean share of the sites, with the ends of its 90 % interval over sites where there are
        enough of them.
    """
    encoder = base.encoder
    seen = samples.take(samples.satellite) if samples.satellite.any() else samples
    features = seen.take(~seen.pixels).features
    noise = encoder(features)[1]
    known = known_spectra()
    measured = known.site != ""
    flagged = np.zeros(len(known.features), dtype=np.bool_)
    fold = np.zeros(len(known.kind), dtype=np.intp)
    for kind in np.unique(known.kind[measured]):
        rows = known.kind == kind
        fold[rows] = np.unique(known.site[rows], return_inverse=True)[1] % FOLDS
    for number in range(FOLDS):
        hidden = measured & (fold == number)
        names = zip(known.kind[hidden].tolist(), known.site[hidden].tolist(), strict=True)
        domain = fit_domain(encoder, features, noise, components, without=frozenset(names))
        flagged[hidden] = domain.score_of(encoder, known.features[hidden]) > 1.0
    return [
        {"kind": str(kind), "view": str(view)} | _share(flagged[rows], known.site[rows])
        for kind in np.unique(known.kind[measured])
        for view in dict.fromkeys(known.view[measured].tolist())
        if (rows := (known.kind == kind) & (known.view == view)).any()
    ]


def _share(flagged: NDArray[np.bool_], site: NDArray[np.str_]) -> dict[str, Any]:
    """Return the mean share over sites, with its interval."""
    names, index, counts = np.unique(site, return_inverse=True, return_counts=True)

    def mean(weights: Floats) -> float:
        each = weights / counts[index]
        return float(each @ flagged / each.sum())

    found = bootstrapped("flagged", mean, site)
    shares = {name: round(value, 4) for name, value in found.items()}
    return {"spectra": int(flagged.size), "sites": int(names.size)} | shares
