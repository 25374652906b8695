"""Layers of a scene product and of a mosaic: names, types, fill values and CF attributes.

One table, so that prediction, products, mosaics and checks cannot disagree. Fill values matter: an
unwritten `quality_flags` must read as "outside" and an unwritten date as missing, never as 0. Each
layer also has its fill value as an attribute, so that rioxarray clips, pads and warps with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepsalt.errors import UsageError
from deepsalt.types import REJECTING, QualityFlag

AttrValue = str | int | float | list[int] | list[float] | list[str]

INTERVAL_COVERAGE = 0.9
"""Share of samples that [`salinity_lower`, `salinity_upper`] is calibrated to hold."""

THRESHOLDS_DS_M = (0.5, 1.0, 2.0, 4.0)
"""Thresholds of EC, by the method of the model's labels, that probabilities are given for."""
CHANCE = "p_above"
"""Layer with the probability of an EC above each of them."""
THRESHOLD = "threshold"
"""Its first dimension, and that one's coordinate."""
THRESHOLD_ATTRS = {"long_name": "electrical conductivity to exceed", "units": "dS m-1"}
CHANCE_ATTRS = ("base_rate", "calibrated")
"""Attributes of a probability that tell what it rests on, a value per threshold."""
CHANCE_COLUMNS = tuple(f"{CHANCE}_{threshold:g}" for threshold in THRESHOLDS_DS_M)
"""Columns of tables with the probability of an EC above each of them."""
CHANCE_STEP = 1e-4
"""Unit in which probabilities are stored."""
CERTAIN = 10_000
"""A probability of 1, as stored."""
CHANCE_FILL = 65535
"""`_FillValue` of a probability: there is no estimate."""

UNITS = "dS m-1"
DATE_FILL = -2147483648
"""`_FillValue` of `last_observed`: no scene contributed."""
NAN_ATTRIBUTE = "AAAAAAAA+H8="
"""NaN as `_FillValue` of a Zarr v3 array, which is JSON: eight bytes in base 64, as xarray writes
and reads it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Parameters
    ----------
    name
        Variable name.
    dtype
        NumPy name of the stored type.
    fill
        Value of unwritten cells.
    attrs
        CF attributes that do not depend on the model; use `attributes` for a copy to change.
    lead
        Names and sizes of the dimensions before y and x; the period comes before them.
    """

    name: str
    dtype: str
    fill: float | int
    attrs: Mapping[str, AttrValue] = field(hash=False)
    lead: tuple[tuple[str, int], ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of its dimensions in a scene product."""
        return (*(name for name, _ in self.lead), "y", "x")

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the sizes of its dimensions over so many pixels."""
        return (*(size for _, size in self.lead), height, width)

    def key(self, index: tuple[int, int, int]) -> str:
        """Return the key of a chunk or shard of a mosaic; one holds all of `lead`.

        Parameters
        ----------
        index
            Along period, y and x.
        """
        period, *place = index
        return "/".join(map(str, (self.name, "c", period, *(0 for _ in self.lead), *place)))

    @property
    def is_runs(self) -> bool:
        """Whether its values are runs of few whole numbers: flags, counts, days."""
        return self.dtype != "float32" and "scale_factor" not in self.attrs

    def attributes(self) -> dict[str, AttrValue]:
        """Return a fresh copy of the CF attributes."""
        return dict(self.attrs)

    def fill_attribute(self) -> dict[str, AttrValue]:
        """Return the attribute of a stored array that tells readers the fill value.

        Counts and flags use `nodata`, which rioxarray reads; with `_FillValue` xarray would turn
        them into floats, whose bits cannot be tested. Probabilities become floats.
        """
        if self.dtype == "float32":
            return {"_FillValue": NAN_ATTRIBUTE}
        is_count = self.dtype == "uint16" and self.is_runs
        return {"nodata" if is_count else "_FillValue": int(self.fill)}


def quality_flags_attrs() -> dict[str, AttrValue]:
    """Return the CF flag attributes of `quality_flags`: a mask and a meaning per `QualityFlag`."""
    return {
        "long_name": "why a pixel is or is not estimated",
        "flag_masks": [int(bit) for bit in QualityFlag],
        "flag_meanings": " ".join(str(bit.name).lower() for bit in QualityFlag),
        "comment": "0 is an estimate without any flag; pixels with any of the bits "
        + ", ".join(str(bit.name).lower() for bit in REJECTING)
        + " have no estimate, the other bits advise",
    }


def salinity_attrs(
    ec_method: str = "",
    depth: str = "",
    temperature: str = "",
    chances: Mapping[str, AttrValue] | None = None,
) -> dict[str, dict[str, AttrValue]]:
    """Return the CF attributes of the salinity layers and the probabilities, by layer name.

    Parameters
    ----------
    ec_method, depth, temperature
        Method of the electrical conductivity, its soil depth and its reference temperature:
        `ModelCard.ec_method`, `.depth` and `.temperature`.
    chances
        Further attributes of the probabilities: `CHANCE_ATTRS`, of each threshold.

    Notes
    -----
    CF has no standard name for the electrical conductivity of soil, hence `long_name`.
    """
    stated = {"ec_method": ec_method, "depth": depth, "reference_temperature": temperature}
    common: dict[str, AttrValue] = {"units": UNITS, "grid_mapping": "spatial_ref"}
    common.update({key: value for key, value in stated.items() if value})
    bound = {"interval_coverage": INTERVAL_COVERAGE, **common}
    percent = f"{INTERVAL_COVERAGE:.0%}".replace("%", " %")
    return {
        "salinity": {
            "long_name": "surface electrical conductivity of soil",
            "ancillary_variables": "salinity_lower salinity_upper quality_flags",
            **common,
        },
        "salinity_lower": {
            "long_name": f"lower end of the {percent} interval of surface electrical conductivity",
            **bound,
        },
        "salinity_upper": {
            "long_name": f"upper end of the {percent} interval of surface electrical conductivity",
            **bound,
        },
        CHANCE: {
            "long_name": "probability that the electrical conductivity exceeds the threshold",
            "units": "1",
            "scale_factor": CHANCE_STEP,
            "grid_mapping": "spatial_ref",
            "thresholds": list(THRESHOLDS_DS_M),
            **{key: value for key, value in stated.items() if value},
            **(chances or {}),
        },
    }


def chances_known(attrs: Mapping[str, Any]) -> dict[float, dict[str, Any]]:
    """Return what the attributes of `p_above` say of each threshold: those of `CHANCE_ATTRS`.

    By threshold, dS/m, so that it also holds for a layer of which some were selected.
    """
    stated = {name: np.atleast_1d(attrs[name]).tolist() for name in CHANCE_ATTRS if name in attrs}
    return {
        float(threshold): {name: values[i] for name, values in stated.items()}
        for i, threshold in enumerate(np.atleast_1d(attrs.get("thresholds", ())))
    }


def threshold_index(threshold: float) -> int:
    """Return which of `THRESHOLDS_DS_M` a threshold is, dS/m.

    Raises
    ------
    UsageError
        Probabilities are not given for it.
    """
    if threshold not in THRESHOLDS_DS_M:
        raise UsageError(
            f"there is no probability above {threshold:g} dS/m; give one of "
            f"{', '.join(f'{known:g}' for known in THRESHOLDS_DS_M)}"
        )
    return THRESHOLDS_DS_M.index(threshold)


def _layer(name: str, dtype: str, fill: float | int, attrs: Mapping[str, AttrValue]) -> Layer:
    return Layer(name, dtype, fill, {**attrs, "grid_mapping": "spatial_ref"})


def _chance_layer(attrs: Mapping[str, AttrValue]) -> Layer:
    return Layer(CHANCE, "uint16", CHANCE_FILL, attrs, ((THRESHOLD, len(THRESHOLDS_DS_M)),))


SCENE_LAYERS: tuple[Layer, ...] = (
    *(
        _chance_layer(attrs) if name == CHANCE else _layer(name, "float32", np.nan, attrs)
        for name, attrs in salinity_attrs().items()
    ),
    _layer("quality_flags", "uint16", int(QualityFlag.OUTSIDE), quality_flags_attrs()),
)
"""Layers of a scene product, in order."""

MOSAIC_LAYERS: tuple[Layer, ...] = (
    *SCENE_LAYERS,
    _layer("observations", "uint16", 0, {"long_name": "scenes that contributed", "units": "1"}),
    _layer(
        "last_observed",
        "int32",
        DATE_FILL,
        {
            # Not "days since ...": xarray would turn it into dates, which rioxarray cannot warp.
            "long_name": "days from 1970-01-01 to the newest contributing acquisition",
            "units": "d",
            "comment": "in numpy: datetime64('1970-01-01') + last_observed * timedelta64(1, 'D')",
        },
    ),
    _layer(
        "disagreement",
        "float32",
        np.nan,
        {"long_name": "spread of salinity between contributing scenes", "units": UNITS},
    ),
)
"""Layers of a mosaic, in order: those of a scene product and those that combining adds."""
