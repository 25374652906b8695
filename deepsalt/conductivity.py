"""Electrical conductivity (EC) of soils: units, limit, the logarithm that is learned, methods.

EC of a saturated paste, of 1:1, 1:2 and 1:5 extracts are different quantities; factors between them
depend on texture and span a factor of two and more. None is built in: who knows one for their soils
gives it, with its error.
"""

import re
from dataclasses import dataclass
from typing import Literal

from deepsalt.errors import UsageError

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

_UNSURE = ("mixed", "unknown", "not stated", "unstated")
_RATIO = re.compile(r"1\s*:\s*(\d+(?:[.,]\d+)?)")
_PASTE = re.compile(r"\bece\b|saturat|\bpaste\b")
_FACTORS = (0.05, 50.0)
_MOST_SD = 2.0


def method_of(text: str) -> str | None:
    """Return a method's name in one spelling; None if it is not stated, mixed or unknown.

    Parameters
    ----------
    text
        As a table or a model card says it, such as ``ECe``, ``EC 1:5`` or ``1:2 water extract``.
    """
    lower = " ".join(text.lower().split())
    if not lower or ";" in lower or any(word in lower for word in _UNSURE):
        return None
    ratios = {found.replace(",", ".") for found in _RATIO.findall(lower)}
    is_paste = bool(_PASTE.search(lower))
    if len(ratios) + is_paste > 1:
        return None
    if is_paste:
        return "ECe"
    return f"EC 1:{ratios.pop()}" if ratios else lower


@dataclass(frozen=True, slots=True)
class Conversion:
    """From one method to another.

    Parameters
    ----------
    factor
        EC by the method converted to, over EC by the method converted from.
    sd_log
        Standard deviation of the natural logarithm of the factor's error.
    """

    factor: float
    sd_log: float

    def __post_init__(self) -> None:
        """Refuse what is no conversion."""
        least, most = _FACTORS
        if not least <= self.factor <= most:
            raise UsageError(
                f"the factor {self.factor:g} of a conversion is not within {least:g} to {most:g}; "
                f"give EC by the method converted to over EC by the one converted from"
            )
        if not 0 < self.sd_log <= _MOST_SD:
            raise UsageError(
                f"the error {self.sd_log:g} of a conversion is not above 0 and up to {_MOST_SD:g}; "
                f"give the standard deviation of its logarithm, 0.3 for about 30 %"
            )

    @classmethod
    def parse(cls, text: str) -> "Conversion":
        """Return the conversion that a text such as ``2.2,0.3`` names.

        Raises
        ------
        UsageError
            The text is not two numbers, or a number is out of range.
        """
        try:
            factor, sd_log = (float(part) for part in text.split(","))
        except ValueError:
            raise UsageError(
                f"--convert is FACTOR,SD_LOG, such as 2.2,0.3; found {text!r:.60}"
            ) from None
        return cls(factor, sd_log)
