"""Is there salt? Four classes, from a probability and the interval.

Salt is rare in what models learn from, so the mean is drawn towards soils without salt and hides
it. The probability p of an EC above one threshold and the upper end of the interval say more. The
threshold is the highest that the model has a calibrated probability for.

| class | where |
|---|---|
| salt likely | p is at least one half |
| salt possible | p is below one half and at least the base rate |
| no sign of salt | p is below the base rate, and the interval ends below the threshold |
| cannot be told | p is below the base rate, but the interval reaches the threshold |

The base rate is the share above the threshold of what the model learned from: what p would be of a
soil that nobody looked at. So from there on the spectrum speaks for salt; below, it speaks against
it, and the interval says whether it also rules salt out. An interval that ends below the threshold
does not outweigh a p above the base rate: whoever reads "no sign of salt" must be able to rely on
it, so both have to agree. A pixel that is OUT_OF_DOMAIN cannot be told, whatever p says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import (
    CHANCE,
    CHANCE_FILL,
    CHANCE_STEP,
    THRESHOLD,
    chances_known,
    threshold_index,
)
from deepsalt.types import QualityFlag

NO_SIGN, UNTOLD, POSSIBLE, LIKELY = range(4)
"""The classes, from the least to the most salt."""
MEANINGS = ("no_sign_of_salt", "cannot_be_told", "salt_possible", "salt_likely")
NO_CLASS = 255
"""Of a pixel without an estimate; `quality_flags` says why."""

_HALF = 0.5
_ROUNDING = 1e-6  # steps, of a base rate that is a whole number of them


@dataclass(frozen=True, slots=True)
class SaltRule:
    """How pixels are classed.

    Parameters
    ----------
    threshold
        dS/m, by the method of the model's labels.
    base_rate
        Share of the training's profiles or sites above it.
    """

    threshold: float
    base_rate: float

    @classmethod
    def of(cls, layers: Mapping[Any, Any]) -> Self | None:
        """Return the rule for layers, by their attributes; None if no probability is calibrated.

        Parameters
        ----------
        layers
            Arrays with `attrs`, by name: a Dataset, or the arrays of a Zarr group.
        """
        known = chances_known(layers[CHANCE].attrs) if CHANCE in layers else {}
        usable = [at for at, stated in known.items() if stated.get("calibrated") == "yes"]
        if not usable:
            return None
        return cls(max(usable), float(known[max(usable)]["base_rate"]))

    @property
    def index(self) -> int:
        """Which of the thresholds of `p_above` it is."""
        return threshold_index(self.threshold)

    def chance(self, ds: xr.Dataset) -> xr.DataArray:
        """Return p of a mosaic or product.

        Raises
        ------
        FormatError
            It has other thresholds only.
        """
        try:
            return ds[CHANCE].sel({THRESHOLD: self.threshold}, drop=True)
        except KeyError as error:
            raise FormatError(
                f"these layers lack {CHANCE} of {self.threshold:g} dS/m; select no threshold"
            ) from error

    @property
    def needs(self) -> tuple[str, str, str]:
        """Names of the layers that `classes` takes."""
        return (CHANCE, "salinity_upper", "quality_flags")

    def classes(
        self,
        chance: NDArray[Any],
        upper: NDArray[np.floating[Any]],
        quality_flags: NDArray[np.uint16],
    ) -> NDArray[np.uint8]:
        """Return the class of each pixel; of one without an estimate it means nothing.

        Parameters
        ----------
        chance
            p as stored, uint16 steps of `CHANCE_STEP`, or as a number from 0 to 1.
        upper
            `salinity_upper`, dS/m.
        quality_flags
            The layer.
        """
        steps = steps_of(chance)
        found = np.where(upper >= self.threshold, np.uint8(UNTOLD), np.uint8(NO_SIGN))
        for least, salt in ((self.base_rate, POSSIBLE), (_HALF, LIKELY)):
            reached = steps >= np.ceil(least / CHANCE_STEP - _ROUNDING).astype(np.uint16)
            np.maximum(found, reached.view(np.uint8) * np.uint8(salt), out=found)
        unknown = (quality_flags & np.uint16(QualityFlag.OUT_OF_DOMAIN)) != 0
        np.putmask(found, unknown, np.uint8(UNTOLD))
        return found


def steps_of(chance: NDArray[Any]) -> NDArray[np.uint16]:
    """Return probabilities in steps of `CHANCE_STEP`, as they are stored."""
    if chance.dtype == np.uint16:
        return chance
    steps = np.rint(chance / CHANCE_STEP)
    return np.where(np.isnan(steps), CHANCE_FILL, steps).astype(np.uint16)


def salt_classes(ds: xr.Dataset) -> xr.DataArray:
    """Return whether there is salt: four classes, from a probability and the interval.

    The mean alone hides salt, because salt is rare in what models learn from. Where p is the
    probability of an EC above the highest threshold that the model has a calibrated one for, and
    the base rate is the share above it of what the model learned from:

    - 3, *salt likely*: p is at least one half;
    - 2, *salt possible*: p is below one half and at least the base rate;
    - 1, *cannot be told*: p is below the base rate, but the interval reaches the threshold, or the
      pixel is OUT_OF_DOMAIN whatever p is;
    - 0, *no sign of salt*: p is below the base rate and the interval ends below the threshold.

    Where salt is commoner than in the training, p is too low.

    Parameters
    ----------
    ds
        A mosaic or a scene product, or a part of one, as `open_mosaic` or `open_product` opens it.

    Returns
    -------
    xr.DataArray
        Classes, uint8, of the shape of `salinity`; 255 (`nodata`) where there is no estimate. Lazy
        where these are Dask arrays; otherwise all pixels are read. Attributes: CF `flag_values`
        and `flag_meanings`, `threshold` (dS/m) and `base_rate`.

    Raises
    ------
    FormatError
        A layer is missing.
    UsageError
        No probability of the model is calibrated: no class may be drawn from one.

    Examples
    --------
    >>> import deepsalt
    >>> mosaic = deepsalt.open_mosaic("store")
    >>> salt = deepsalt.salt_classes(mosaic)
    >>> salt.attrs["flag_meanings"]
    'no_sign_of_salt cannot_be_told salt_possible salt_likely'
    >>> likely = (salt == 3).mean(dim=("y", "x"))
    >>> likely.dims
    ('period',)
    """
    for name in ("salinity_upper", "quality_flags", CHANCE):
        if name not in ds:
            raise FormatError(f"these layers lack {name}; open a mosaic or a scene product")
    rule = SaltRule.of(ds)
    if rule is None:
        raise UsageError(
            "no probability of salt of this model is calibrated, so no class can be drawn: too few "
            "of the soils that it learned from are salty; train a model with more of them"
        )

    def classed(*layers: NDArray[Any]) -> NDArray[np.uint8]:
        return np.where(np.isfinite(layers[1]), rule.classes(*layers), np.uint8(NO_CLASS))

    found: xr.DataArray = xr.apply_ufunc(
        classed,
        rule.chance(ds),
        ds["salinity_upper"],
        ds["quality_flags"],
        dask="parallelized",
        output_dtypes=[np.uint8],
        keep_attrs=False,
    )
    found.attrs = _attrs(rule)
    return found.rename("salt_class")


def _attrs(rule: SaltRule) -> dict[str, Any]:
    return {
        "long_name": f"whether the electrical conductivity exceeds {rule.threshold:g} dS/m",
        "flag_values": np.arange(len(MEANINGS), dtype=np.uint8),
        "flag_meanings": " ".join(MEANINGS),
        "threshold": rule.threshold,
        "base_rate": rule.base_rate,
        "ancillary_variables": " ".join(rule.needs),
        "nodata": NO_CLASS,
        "grid_mapping": "spatial_ref",
    }
