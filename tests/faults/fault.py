"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.world import Trial

Disturb = Callable[[Trial], str]
"""Disturb a store; return what went wrong already, "" when nothing did."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Parameters
    ----------
    name
        As the table shows it.
    where
        What the store is: ``folder`` or ``bucket``.
    disturb
        What happens.
    trials
        How often, in a full campaign.
    """

    name: str
    where: str
    disturb: Disturb
    trials: int
