"""Findings of a check."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Parameters
    ----------
    severity
        ``error``: the store is inconsistent, or exceeds a limit; ``warning``: leftovers, missing
        extras; ``info``: useful numbers.
    check
        Name of the check, see the table of `deepsalt.check`.
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
