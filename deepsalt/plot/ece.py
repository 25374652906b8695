"""Classes of ECe, the EC of the saturation extract, from the probabilities of a mosaic.

Agencies name classes of salinity by limits of ECe. What a map's probabilities say of these limits
is `limits.py`; whether there is salt at all, by the map's own method, is `salt.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.conductivity import Conversion, method_of
from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import (
    CERTAIN,
    CHANCE,
    CHANCE_FILL,
    CHANCE_STEP,
    THRESHOLD,
    chances_known,
)
from deepsalt.plot.limits import Known
from deepsalt.plot.salt import LIKELY, NO_CLASS, NO_SIGN, SaltRule, steps_of
from deepsalt.types import Floats

LIMIT = "limit"
"""Dimension of the probabilities."""
UNTOLD = 254
"""Of a pixel whose class cannot be told."""

_ECE = "ECe"


@dataclass(frozen=True, slots=True)
class Scheme:
    """Names of classes of ECe.

    Parameters
    ----------
    title
        Whose classes they are.
    limits
        ECe that the second class and each one after it begins with, dS/m (n - 1).
    names
        From the least to the most saline (n).
    source
        Where they are published.
    """

    title: str
    limits: tuple[float, ...]
    names: tuple[str, ...]
    source: str


SCHEMES = {
    "usda": Scheme(
        "USDA",
        (2.0, 4.0, 8.0, 16.0),
        (
            "nonsaline",
            "very_slightly_saline",
            "slightly_saline",
            "moderately_saline",
            "strongly_saline",
        ),
        "limits: U.S. Salinity Laboratory Staff 1954, Agriculture Handbook 60; names: Soil Science "
        "Division Staff 2017, Soil Survey Manual, Agriculture Handbook 18, chapter 3",
    ),
    "fao-1988": Scheme(
        "FAO 1988",
        (2.0, 4.0, 8.0, 16.0),
        (
            "nonsaline",
            "slightly_saline",
            "moderately_saline",
            "strongly_saline",
            "very_strongly_saline",
        ),
        "Abrol, Yadav and Massoud 1988, Salt-affected soils and their management, FAO Soils "
        "Bulletin 39, chapter 3",
    ),
    "fao-2006": Scheme(
        "FAO 2006",
        (0.75, 2.0, 4.0, 8.0, 15.0),
        (
            "nearly_not_salty",
            "slightly_salty",
            "moderately_salty",
            "strongly_salty",
            "very_strongly_salty",
            "extremely_salty",
        ),
        "FAO 2006, Guidelines for soil description, 4th edition, electrical conductivity",
    ),
}
"""By the name that `ece_classes` takes."""


def ece_classes(
    ds: xr.Dataset, scheme: str, *, convert: tuple[float, float] | None = None
) -> xr.Dataset:
    """Return classes of ECe by a published scheme, and the probabilities behind them.

    A pixel's class is the one that holds the median: that of the highest limit which ECe exceeds
    with a probability of at least one half. The lowest class asks for more, as in `salt_classes`:
    the probability of its limit is below the base rate, and the 90 % interval ends below the limit.
    What is neither cannot be told, and neither can a pixel that is OUT_OF_DOMAIN.

    Parameters
    ----------
    ds
        A mosaic or a scene product, or a part of one, as `open_mosaic` or `open_product` opens it.
    scheme
        "usda" (limits of 2, 4, 8 and 16 dS/m ECe; U.S. Salinity Laboratory Staff 1954, names of the
        Soil Survey Manual 2017), "fao-1988" (the same limits, other names; Abrol et al. 1988) or
        "fao-2006" (0.75, 2, 4, 8 and 15; FAO 2006). A name such as "slightly saline" means
        different limits in each.
    convert
        ECe over EC by the map's method, and the standard deviation of the natural logarithm of its
        error, such as ``(7.5, 0.3)``: known for your soils. Leave it out where the map is of ECe.

    Returns
    -------
    xr.Dataset
        `ece_class`, uint8, of the shape of `salinity`: 0 for the scheme's lowest class and so on,
        254 cannot be told, 255 (`nodata`) no estimate. `p_ece_above`, float64 from 0 to 1, with a
        dimension `limit` (dS/m ECe) in place of `threshold`; Zarr and netCDF hold whole steps of
        0.0001, as stores do. Both are lazy where the layers are.
        Only limits that the model's calibrated thresholds speak for, once converted, are there.
        The classes beyond are not told apart: the outermost class is then named, such as
        ``slightly_saline_or_saltier``. Attributes: CF `flag_values` and `flag_meanings`, `scheme`,
        `references`, `limits`, `ec_method` and, if converted, `converted_from`,
        `conversion_factor` and `conversion_sd_log`.

    Raises
    ------
    FormatError
        A layer or a threshold is missing.
    UsageError
        There is no such scheme; the map's method is mixed or unknown; it is not ECe and there is no
        conversion, or it is and there is one; no probability is calibrated; or the calibrated ones
        speak for none of the limits.

    Examples
    --------
    The shipped model learned from labels of several methods, so its maps have no classes of ECe.

    >>> import deepsalt
    >>> mosaic = deepsalt.open_mosaic("store")
    >>> deepsalt.ece_classes(mosaic, "usda")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    deepsalt.errors.UsageError: classes are defined for ECe, and the method ... is not known ...
    """
    if scheme not in SCHEMES:
        raise UsageError(f"there is no scheme {scheme!r:.40}; give one of {', '.join(SCHEMES)}")
    for name in ("salinity", "salinity_upper", "quality_flags", CHANCE):
        if name not in ds:
            raise FormatError(f"these layers lack {name}; open a mosaic or a scene product")
    if ds[CHANCE].dtype.kind != "f":
        raise UsageError("probabilities are whole steps as stored; call xarray.decode_cf first")
    method = str(ds["salinity"].attrs.get("ec_method", ""))
    known = _known(ds[CHANCE], _conversion(method, convert))
    chosen = SCHEMES[scheme]
    limits = [limit for limit in chosen.limits if known.tells(limit)]
    if not limits:
        raise UsageError(_untold(chosen, known))
    stated = _stated(ds["salinity"], method, known)
    chances = _chances(ds[CHANCE], known, limits).assign_attrs(stated)
    named = {"scheme": scheme, "references": chosen.source}
    classes = _classes(ds, known, chances, chosen).assign_attrs(stated | named)
    found = ds.drop_vars([*ds.data_vars, THRESHOLD])
    found = found.assign(ece_class=classes, p_ece_above=chances)
    found["p_ece_above"].encoding = {
        "dtype": "uint16",
        "scale_factor": CHANCE_STEP,
        "_FillValue": CHANCE_FILL,
    }
    return found


def _conversion(method: str, convert: tuple[float, float] | None) -> Conversion | None:
    """Return the conversion from a map's method to ECe, or refuse it."""
    known = method_of(method)
    if known is None:
        said = f"{method!r:.80}" if method else "not stated"
        raise UsageError(
            f"classes are defined for ECe, and the method of this map's labels is not known "
            f"({said}), so none can be drawn, not even with a conversion; "
            f"map with a model whose labels have one method (`deepsalt train --ec-method`)"
        )
    if known == _ECE and convert is not None:
        raise UsageError("the map is of ECe already; leave out the conversion")
    if known != _ECE and convert is None:
        raise UsageError(
            f"classes are defined for ECe, and this map is of {known}; give a conversion for your "
            f"soils: ECe over {known}, and the standard deviation of its error's logarithm"
        )
    return None if convert is None else Conversion(*convert)


def _known(layer: xr.DataArray, conversion: Conversion | None) -> Known:
    stated = chances_known(layer.attrs)
    usable = tuple(sorted(at for at, each in stated.items() if each.get("calibrated") == "yes"))
    if not usable:
        raise UsageError(
            "no probability of salt of this model is calibrated, so no class can be drawn: too few "
            "of the soils that it learned from are salty; train a model with more of them"
        )
    return Known(usable, conversion.factor, conversion.sd_log) if conversion else Known(usable)


def _untold(scheme: Scheme, known: Known) -> str:
    limits = ", ".join(f"{limit:g}" for limit in scheme.limits)
    low, high = known.span
    error = f", with an error of {known.sd_log:g} of its logarithm" if known.sd_log else ""
    return (
        f"none of {scheme.title}'s limits ({limits} dS/m ECe) can be told: the model's calibrated "
        f"probabilities are for {low:g} to {high:g} dS/m ECe{error}; train a model with more salty "
        f"soils, or give a factor that is better known"
    )


def _stated(salinity: xr.DataArray, method: str, known: Known) -> dict[str, Any]:
    """Return the attributes that say what EC classes and probabilities are of."""
    kept = ("depth", "reference_temperature", "grid_mapping")
    stated = {name: salinity.attrs[name] for name in kept if name in salinity.attrs}
    stated["ec_method"] = _ECE
    if known.sd_log:
        stated |= {
            "converted_from": method,
            "conversion_factor": known.factor,
            "conversion_sd_log": known.sd_log,
        }
    return stated


def _chances(layer: xr.DataArray, known: Known, limits: Sequence[float]) -> xr.DataArray:
    """Return the probabilities of exceeding limits, and their base rates."""
    try:
        usable = layer.sel({THRESHOLD: list(known.thresholds)})
    except KeyError as error:
        raise FormatError(
            f"these layers lack some of {CHANCE}'s thresholds; give all, and select afterwards"
        ) from error
    if usable.chunks:
        usable = usable.chunk({THRESHOLD: -1})

    def at_limits(chances: Floats) -> Floats:
        return np.stack([known.exceedance(chances, limit) for limit in limits], axis=-1)

    found: xr.DataArray = xr.apply_ufunc(
        at_limits,
        usable.astype(np.float64),
        input_core_dims=[[THRESHOLD]],
        output_core_dims=[[LIMIT]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {LIMIT: len(limits)}},
        output_dtypes=[np.float64],
        keep_attrs=False,
    )
    stated = chances_known(layer.attrs)
    kept = {"prevalence": layer.attrs["prevalence"]} if "prevalence" in layer.attrs else {}
    rates = at_limits(np.array([float(stated[at]["base_rate"]) for at in known.thresholds]))
    found = found.assign_coords({LIMIT: (LIMIT, np.array(limits), _LIMIT_ATTRS)})
    return found.transpose(
        *(LIMIT if dim == THRESHOLD else dim for dim in layer.dims)
    ).assign_attrs(
        long_name="probability that the EC of the saturation extract exceeds the limit",
        units="1",
        limits=list(limits),
        base_rate=[round(float(rate), 6) for rate in rates],
        **kept,
    )


_LIMIT_ATTRS = {"long_name": "EC of the saturation extract to exceed", "units": "dS m-1"}


def _classes(ds: xr.Dataset, known: Known, chances: xr.DataArray, scheme: Scheme) -> xr.DataArray:
    limits = chances.attrs["limits"]
    first = scheme.limits.index(limits[0])
    lowest = SaltRule(limits[0], chances.attrs["base_rate"][0])

    def classed(
        chances: Floats, upper: NDArray[Any], quality_flags: NDArray[np.uint16]
    ) -> NDArray[np.uint8]:
        salt = lowest.classes(chances[..., 0], upper, quality_flags)
        exceeded = (steps_of(chances) >= CERTAIN // 2).sum(axis=-1)
        found = np.where(salt == LIKELY, first + exceeded, UNTOLD)
        found[salt == NO_SIGN] = first
        return np.where(np.isfinite(upper), found, NO_CLASS).astype(np.uint8)

    found: xr.DataArray = xr.apply_ufunc(
        classed,
        chances,
        known.upper(ds["salinity"], ds["salinity_upper"]),
        ds["quality_flags"],
        input_core_dims=[[LIMIT], [], []],
        dask="parallelized",
        output_dtypes=[np.uint8],
        keep_attrs=False,
    )
    names = list(scheme.names[first : first + len(limits) + 1])
    if first:
        names[0] += "_or_less"
    if limits[-1] != scheme.limits[-1]:
        names[-1] += "_or_saltier"
    return found.assign_attrs(
        long_name=f"{scheme.title} salinity class by the EC of the saturation extract",
        flag_values=np.array([*range(first, first + len(names)), UNTOLD], np.uint8),
        flag_meanings=" ".join([*names, "cannot_be_told"]),
        limits=limits,
        comment="the class that holds the median; the lowest only where the probability of its "
        "limit is below the base rate and the 90 % interval ends below it",
        ancillary_variables="p_ece_above",
        nodata=NO_CLASS,
    )
