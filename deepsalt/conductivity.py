"""Electrical conductivity (EC) of soils: units, limit, and the logarithm that is learned."""

from typing import Literal

EC_SHIFT = 0.03
"""Added to the conductivity before the logarithm, dS/m: near the detection limit of the labels."""

MAX_EC_DS_M = 500.0
"""No soil extract conducts more; saturated brine has about 250 dS/m."""

EcUnit = Literal["dS/m", "mS/m", "uS/cm"]

TO_DS_M: dict[EcUnit, float] = {"dS/m": 1.0, "mS/m": 0.01, "uS/cm": 0.001}
"""Factor from a unit of electrical conductivity to dS/m."""

SPELLINGS: dict[str, EcUnit] = {
    "ds/m": "dS/m",
    "ms/cm": "dS/m",
    "mmho/cm": "dS/m",
    "mmhos/cm": "dS/m",
    "ms/m": "mS/m",
    "us/cm": "uS/cm",
    "\u00b5s/cm": "uS/cm",  # micro sign
    "\u03bcs/cm": "uS/cm",  # Greek mu
}
"""Units as people write them, in lower case without spaces."""
