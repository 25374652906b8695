"""Whether there are enough labels to learn from, and names for held-out parts."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.train.data.samples import Samples

MIN_SAMPLES = 10
"""Labelled samples, or sites, that a fit needs: about two per fold within it."""

CURVE_SITES = 30
"""Sites below which a learning curve is not told: parts of them are too few to learn from."""


def enough(samples: Samples, rows: NDArray[np.bool_] | NDArray[np.intp]) -> bool:
    """Return whether these rows hold labels of `MIN_SAMPLES` samples of one kind."""
    counts = samples.labelled[rows]
    satellite = samples.satellite[rows][counts]
    sites = samples.site[rows][counts]
    return any(np.unique(sites[satellite == kind]).size >= MIN_SAMPLES for kind in (True, False))


def without_few_sites(samples: Samples) -> tuple[Samples, dict[str, str]]:
    """Return samples without the labels of satellite sites that are too few to learn from.

    Raises
    ------
    FormatError
        Laboratory samples are too few as well.
    """
    if not enough(samples, np.ones(len(samples), dtype=np.bool_)):
        count = np.unique(samples.site[samples.labelled]).size
        raise FormatError(
            f"{count} samples have a label, too few to learn from; give at least {MIN_SAMPLES} "
            f"from a laboratory or from satellite sites"
        )
    sites = np.unique(samples.site[samples.satellite & samples.labelled]).size
    if not sites or sites >= MIN_SAMPLES:
        return samples, {}
    told = f"{sites} sites with a label are too few; their spectra are used without labels"
    return replace(samples, ec=np.where(samples.satellite, np.nan, samples.ec)), {"sites": told}


def separable(samples: Samples) -> tuple[Samples, dict[str, str]]:
    """Return samples of which parts can be held out within training, and a note where by less.

    Labels of one region are held out by group, those of one group by region, else by sample.
    """
    counts = samples.satellite & samples.labelled
    rows = counts if counts.any() else samples.labelled
    by_name = {"group": samples.group, "region": samples.region, "sample": samples.site}
    usable = [name for name, names in by_name.items() if np.unique(names[rows]).size > 1]
    if not usable:
        raise FormatError(
            "all labels belong to one sample, so nothing can be held out; add samples"
        )
    chosen = {name: name if name in usable else usable[0] for name in ("group", "region")}
    note = {
        f"{name}s": f"only one; choices and intervals are based on held-out {other}s"
        for name, other in chosen.items()
        if name != other
    }
    group = by_name[chosen["group"]]
    region = by_name[chosen["region"]]
    return replace(samples, group=group, region=region), note
