"""Probabilities where salt is commoner or rarer than in a model's training.

If only the share of saline soils differs, and not what they look like, all odds change by one
factor: the odds of the share here over those of the base rate (Saerens et al. 2002). It is the same
factor for every threshold, so a probability still never rises with its threshold.
"""

from typing import TYPE_CHECKING, TypeVar

from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE_LAYERS, THRESHOLDS_DS_M

if TYPE_CHECKING:
    import xarray as xr

    from deepsalt.types import Floats

    Values = TypeVar("Values", xr.DataArray, Floats)


def odds_factor(base_rate: float, share: float) -> float:
    """Return the factor on all odds.

    Parameters
    ----------
    base_rate
        Share of soils above a threshold in the training.
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


def shifted(chance: "Values", factor: float) -> "Values":
    """Return probabilities of which the odds are multiplied by a factor."""
    return chance * factor / (1.0 - chance + chance * factor)


def threshold_layer(threshold: float) -> str:
    """Return the layer of a threshold, dS/m.

    Raises
    ------
    UsageError
        Probabilities are not given for it.
    """
    for known, name in zip(THRESHOLDS_DS_M, CHANCE_LAYERS, strict=True):
        if known == threshold:
            return name
    raise UsageError(
        f"there is no probability above {threshold:g} dS/m; give one of "
        f"{', '.join(f'{known:g}' for known in THRESHOLDS_DS_M)}"
    )


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
        The same, lazily, with other values in `p_above_...`; their attribute `prevalence` says for
        which share.

    Raises
    ------
    UsageError
        The share or the threshold is none, or the layers name no base rate.

    Examples
    --------
    >>> import deepsalt
    >>> mosaic = deepsalt.at_prevalence(deepsalt.open_mosaic("store"), 0.3)
    >>> mosaic["p_above_1"].attrs["prevalence"]
    '0.3 above 1 dS/m'
    """
    name = threshold_layer(threshold)
    if name not in ds or "base_rate" not in ds[name].attrs:
        raise UsageError(
            f"the layer {name} and its base_rate are missing; open a mosaic with "
            f"deepsalt.open_mosaic"
        )
    factor = odds_factor(float(ds[name].attrs["base_rate"]), share)
    told = {"prevalence": f"{share:g} above {threshold:g} dS/m"}
    moved = {each: shifted(ds[each], factor) for each in CHANCE_LAYERS}
    return ds.assign(
        {each: layer.assign_attrs(ds[each].attrs | told) for each, layer in moved.items()}
    )
