"""Limits beyond which a mosaic fails, and the maximum age of its newest scene."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from deepsalt.errors import MissingObjectError, ModelError
from deepsalt.model.card import ModelCard
from deepsalt.store import Store
from deepsalt.validate.findings import Finding

MAX_SALINITY_DS_M = 300.0
"""No soil reaches this: a saturated sodium chloride brine conducts about 250 dS/m at 25 degrees."""


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
    max_lost
        Maximum share of a tile's estimates that a version may lose, 0 to 1; one that loses more, or
        has far more cells without an estimate than those before, is held. Default: any.
    max_shift
        Maximum factor by which the salinity of a tile may move from one version to the next; one
        that moves more is held. Default: any.

    Examples
    --------
    >>> import deepsalt
    >>> with deepsalt.Context.local(limits=deepsalt.Limits(max_missing=0.9)) as context:
    ...     context.limits.max_missing
    0.9
    """

    max_missing: float = 1.0
    max_defective: float = 0.5
    max_salinity_ds_m: float | None = None
    max_age_days: float | None = None
    max_lost: float = 1.0
    max_shift: float = math.inf


def effective(limits: Limits, store: Store) -> Limits:
    """Return limits with the model's largest possible salinity, unless one is given.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    if limits.max_salinity_ds_m is not None:
        return limits
    key = f"models/{store.model[:12]}/card.json"
    try:
        card = ModelCard.from_json(store.objects.read(key).decode(), f"{store}/{key}")
    except (MissingObjectError, ModelError, UnicodeDecodeError):
        return replace(limits, max_salinity_ds_m=MAX_SALINITY_DS_M)
    return replace(limits, max_salinity_ds_m=card.ec_max)


def check_age(newest: date | None, max_age_days: float | None) -> Iterator[Finding]:
    """Compare the day of the newest scene with an estimate with today, UTC."""
    today = datetime.now(UTC).date()
    if newest is None:
        found = "no scene with an estimate has a date"
    elif newest > today + timedelta(days=1):
        found = f"the newest scene is dated {newest}, which is in the future"
        advice = "correct the scene's date or this machine's clock"
        yield Finding("warning", "freshness", "mosaic", found, advice)
    else:
        days = (today - newest).days
        found = f"the newest scene with an estimate is from {newest}, {days} days ago"
    if max_age_days is None or (newest and (today - newest).days <= max_age_days):
        yield Finding("info", "freshness", "mosaic", found)
    else:
        found = f"{found}; the maximum is {max_age_days:g} days"
        yield Finding("error", "freshness", "mosaic", found, "map newer scenes")
