"""Which surfaces the out-of-domain test flags, tested on collection sites that it did not see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.specimens import specimens
from deepsalt.train.data.samples import EMPTY, Samples
from deepsalt.train.evaluation.salt import bootstrapped
from deepsalt.train.student.base import Base
from deepsalt.train.uncertainty.contrast import known_spectra
from deepsalt.train.uncertainty.domain import fit_domain
from deepsalt.types import Floats


def surface_shares(base: Base, samples: Samples, components: int) -> list[dict[str, Any]]:
    """Return shares of surfaces flagged by tests that did not see their site, one at a time.

    The encoder, and the training's own soils, are those of the model itself. Minerals are the sites
    of salts; those that simulated crusts are made of are left out, since no test is without them.

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
    simulated = [each.mineral for each in specimens("train")]
    measured = (known.site != EMPTY) & ~np.isin(known.site, simulated)
    flagged = np.zeros(len(known.features), dtype=np.bool_)
    pairs = zip(known.kind[measured].tolist(), known.site[measured].tolist(), strict=True)
    for kind, site in dict.fromkeys(pairs):
        hidden = (known.kind == kind) & (known.site == site)
        without = frozenset([(kind, site)])
        domain = fit_domain(encoder, features, noise, components, without=without)
        flagged[hidden] = domain.score_of(encoder, known.features[hidden]) > 1.0
    return [
        {"kind": str(kind), "view": str(view)} | _share(flagged[rows], known.site[rows])
        for kind in np.unique(known.kind[measured])
        for view in dict.fromkeys(known.view[measured].tolist())
        if (rows := measured & (known.kind == kind) & (known.view == view)).any()
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
