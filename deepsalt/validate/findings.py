"""Findings of a check, and its limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]

MAX_SALINITY_DS_M = 300.0
"""No soil reaches this: a saturated sodium chloride brine conducts about 250 dS/m at 25 degrees."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Parameters
    ----------
    severity
        ``error``: the store is inconsistent, or exceeds a limit; ``warning``: leftovers, missing
        extras; ``info``: useful numbers.
    check
        Which check: ``records``, ``products``, ``shards``, ``checksums``, ``values``, ``missing``,
        ``range``, ``interval``, ``freshness``, ``georeferencing``, ``stac`` or ``leftovers``.
    where
        File, tile, product or Item, relative to the store where possible.
    found
        What was found.
    advice
        What to do; empty if there is nothing to do.
    """

    severity: Severity
    check: str
    where: str
    found: str
    advice: str = ""

    @property
    def message(self) -> str:
        """One sentence: what was found and what to do."""
        return f"{self.found}; {self.advice}" if self.advice else self.found


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, errors first, then by place."""
    order = ("error", "warning", "info")
    return sorted(findings, key=lambda each: (order.index(each.severity), each.where, each.found))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits beyond which a mosaic fails.

    Parameters
    ----------
    max_missing
        Maximum share of a tile's measured pixels without an estimate, 0 to 1. Default: 1, since
        crops may hide all soil of a tile.
    max_defective
        Maximum share of a tile's measured pixels without an estimate and without a reason in
        clouds, water, plants or snow, 0 to 1: more means that the model or a scene is broken.
    max_salinity_ds_m
        Maximum salinity, upper bound included, dS/m. Default: `ec_max` of the model's card in the
        store, `MAX_SALINITY_DS_M` without a card.
    max_age_days
        Maximum age of the newest scene with an estimate, days. Default: any.
    """

    max_missing: float = 1.0
    max_defective: float = 0.5
    max_salinity_ds_m: float | None = None
    max_age_days: float | None = None
