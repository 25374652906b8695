"""How long a training will take, told before it starts.

A power law of the number of samples, fitted to CPU seconds of single fits on one core of the
development machine (x86-64, 2026). Other machines, and busy ones, differ by a factor: bars show the
end of the work in hand at its own speed.
"""

import numpy as np

from deepsalt.train.config import Settings
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.sufficiency import CURVE_SITES

_CURVE = 9  # fits of all sites that the learning curve's fits of parts take as long as


def expected_s(samples: Samples, settings: Settings, *, evaluate: bool, has_base: bool) -> float:
    """Return about how long a training takes on one core, seconds.

    Parameters
    ----------
    samples
        What is trained on.
    settings
        How; their folds and networks count.
    evaluate
        Whether the model is scored with groups and regions left out.
    has_base
        Whether sites stand beside a model; only then they have a learning curve.
    """
    labelled = samples.take(samples.labelled)
    sites = np.unique(labelled.site[labelled.satellite]).size
    library = np.unique(labelled.site[~labelled.satellite]).size
    fit_s = _fit_s(sites, library, settings)
    if not evaluate:
        return fit_s
    counted = labelled.take(labelled.satellite) if sites else labelled
    groups, regions = (np.unique(names).size for names in (counted.group, counted.region))
    folds = min(settings.region_folds, regions) if regions > 1 else 0
    if (counted.group != counted.region).any():
        folds += min(settings.folds, groups)
    has_curve = has_base and sites >= CURVE_SITES and regions >= MIN_BLOCKS
    curve_s = _CURVE * _fit_s(sites, 0, settings) if has_curve else 0.0
    return (1 + folds) * fit_s + curve_s


def _fit_s(sites: int, library: int, settings: Settings) -> float:
    """Return the seconds of one fit on sites, laboratory samples, or both."""
    share = settings.inner_folds / 5.0
    thousand = library / 1000.0
    if not sites:
        networks = settings.networks * thousand**0.75
        return float(share * (1.2 + 2.8 * thousand**2 + networks))
    alone = 0.06 + 0.6 * (sites / 300.0) ** 1.9
    return float(share * (alone + 20.0 * thousand**2))
