"""Probabilities where salt is commoner or rarer than in a model's training.

If the share of soils above a threshold differs and not what soils on either side of it look like,
the odds of being above it change by one factor: the odds of the share here over those of the base
rate (Saerens et al. 2002). Beyond the threshold soils are as before: among those above it a higher
threshold is exceeded as often as it was, among those below it a lower one is missed as often. So a
probability still never rises with its threshold.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE, THRESHOLD, chances_known, threshold_index
from deepsalt.types import Floats

if TYPE_CHECKING:
    import xarray as xr

    Values = TypeVar("Values", xr.DataArray, Floats)


def odds_factor(base_rate: float, share: float) -> float:
    """Return the factor on the odds of being above a threshold.

    Parameters
    ----------
    base_rate
        Share of soils above it in the training.
    share
        The share above it here.

    Raises
    ------
    UsageError
        One of them is not above 0 and below 1.
    """
    for name, value in (("base rate", base_rate), ("share", share)):
        if not 0.0 < value < 1.0:
            raise UsageError(
                f"a {name} of {value:g} cannot shift probabilities; give one above 0 and below 1"
            )
    return share / (1.0 - share) * (1.0 - base_rate) / base_rate


def shifted(chances: "Sequence[Values]", index: int, factor: float) -> "list[Values]":
    """Return probabilities of all thresholds where the odds of one are multiplied by a factor.

    Parameters
    ----------
    chances
        Probability of each of `THRESHOLDS_DS_M`, of any shape.
    index
        Which threshold the factor belongs to.
    factor
        From `odds_factor`.
    """
    one = chances[index]
    # p' / p and (1 - p') / (1 - p) of the one threshold, which hold for those above and below it.
    above, below = (scale / (1.0 - one + one * factor) for scale in (factor, 1.0))
    return [
        chance * above if i >= index else 1.0 - (1.0 - chance) * below
        for i, chance in enumerate(chances)
    ]


def at_prevalence(ds: "xr.Dataset", share: float, *, threshold: float = 1.0) -> "xr.Dataset":
    """Return a mosaic or product with probabilities for another share of saline soils.

    Parameters
    ----------
    ds
        From `open_mosaic` or `open_product`.
    share
        Share of soils above the threshold here, such as of random field samples.
    threshold
        One of 0.5, 1, 2 and 4 dS/m.

    Returns
    -------
    xr.Dataset
        The same, lazily, with other values in `p_above`, and with the base rates that they have
        then; its attribute `prevalence` says for which share.

    Raises
    ------
    UsageError
        There is no such threshold, the share is not above 0 and below 1, the layers name no base
        rate, or they hold whole steps as stored.

    Examples
    --------
    >>> import deepsalt
    >>> mosaic = deepsalt.at_prevalence(deepsalt.open_mosaic("store"), 0.3)
    >>> mosaic["p_above"].attrs["prevalence"]
    '0.3 above 1 dS/m'
    """
    import xarray as xr

    index = threshold_index(threshold)
    if CHANCE not in ds or "base_rate" not in ds[CHANCE].attrs:
        raise UsageError(
            "probabilities and their base_rate are missing; open a mosaic with deepsalt.open_mosaic"
        )
    layer = ds[CHANCE]
    if layer.dtype.kind != "f":
        raise UsageError("probabilities are whole steps as stored; call xarray.decode_cf first")
    known = chances_known(layer.attrs)
    if layer.sizes.get(THRESHOLD) != len(known):
        raise UsageError("a threshold was selected; give all of them, and select afterwards")
    rates = [np.array(float(stated["base_rate"])) for stated in known.values()]
    factor = odds_factor(float(rates[index]), share)
    each = [layer.isel({THRESHOLD: i}, drop=True) for i in range(len(known))]
    told = {
        "prevalence": f"{share:g} above {threshold:g} dS/m",
        "base_rate": [round(float(rate), 6) for rate in shifted(rates, index, factor)],
    }
    joined = xr.concat(shifted(each, index, factor), ds[THRESHOLD]).transpose(*layer.dims)
    return ds.assign({CHANCE: joined.assign_attrs(layer.attrs | told)})
