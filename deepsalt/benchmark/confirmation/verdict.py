"""Scores of the confirmation, and when a gain is claimed; the unit is the world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepsalt.benchmark.confirmation.worlds import WORLDS
from deepsalt.benchmark.metrics import within_groups
from deepsalt.benchmark.rows import (
    CONTROL_LABELS,
    CONTROL_PAIRS,
    CONTROL_TEACHER,
    NO_LIBRARY,
    PRODUCT,
    SITES_ONLY,
    Answer,
    Row,
)
from deepsalt.train.metrics import r2
from deepsalt.types import Floats

NEEDED = 10
"""Worlds, of `WORLDS`, in which the lead has to exceed 0. By chance (each world a fair coin) that
happens in 79 of 4096 cases, 2 %."""

AIM = 0.12
"""Lead of R² that is aimed at."""

MOST_COST = 0.02
"""What permuted labels of the library may cost, median over worlds."""

POOLED, WITHIN = "pooled", "within regions"


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of one cell.

    Parameters
    ----------
    world, sensor, size
        Where: name of the world, sensor, number of sites.
    row, satellite_only
        The row, and whether it is a rival.
    scores
        R² of log1p in unseen regions, `POOLED` and `WITHIN`.
    picked
        What the product took; "" for other rows.
    seconds
        CPU time of the fit.
    """

    world: str
    sensor: str
    size: int
    row: str
    satellite_only: bool
    scores: dict[str, float]
    picked: str
    seconds: float


def scored(world: str, sensor: str, size: int, row: Row, *, answer: Answer) -> Scored:
    """Return the scores of a cell's answers, which hold `ec`, `observed`, dS/m, and `region`."""
    seen, said = np.log1p(answer["observed"]), np.log1p(answer["ec"])
    scores = {POOLED: r2(seen, said), WITHIN: within_groups(seen, said, answer["region"])}
    picked = str(answer["picked"]) if "picked" in answer else ""
    return Scored(
        world,
        sensor,
        size,
        row.name,
        row.satellite_only,
        scores,
        picked,
        float(answer["seconds"]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What one sensor, number of sites and score say.

    Parameters
    ----------
    sensor, size, score
        What is judged.
    product, rival
        R² of the product, and of the best satellite-only row, by world (w,). The best is chosen
        in each world on the scored sites themselves, so that the choice favours the rival.
    control_leads
        Lead over the rival by control and world (w,).
    cost
        R² that permuted labels of the library cost against no library, by world (w,).
    teacher_cost
        R² that a random teacher costs against the sites alone, by world (w,).
    """

    sensor: str
    size: int
    score: str
    product: Floats
    rival: Floats
    control_leads: dict[str, Floats]
    cost: Floats
    teacher_cost: Floats

    @property
    def lead(self) -> Floats:
        """Lead of the product by world (w,)."""
        return self.product - self.rival

    @property
    def gain(self) -> bool:
        """Whether a gain may be claimed."""
        return is_gain(self.lead)

    @property
    def labels_harmless(self) -> bool:
        """Whether permuted labels cost little enough."""
        return float(np.median(self.cost)) <= MOST_COST

    def loses(self, control: str) -> bool:
        """Return whether a control shows no gain, and does not lead in the median world."""
        leads = self.control_leads[control]
        return not is_gain(leads) and float(np.median(leads)) <= 0.0


def is_gain(lead: Floats) -> bool:
    """Return whether leads by world (w,) exceed 0 in at least `NEEDED` of all `WORLDS`."""
    return lead.size == WORLDS and int((lead > 0).sum()) >= NEEDED


def judge(results: Sequence[Scored], sensor: str, size: int, score: str) -> Verdict:
    """Return the verdict for a sensor, a number of sites and a score."""
    here = [r for r in results if (r.sensor, r.size) == (sensor, size)]
    worlds = dict.fromkeys(r.world for r in here)

    def of(row: str) -> Floats:
        by_world = {r.world: r.scores[score] for r in here if r.row == row}
        return np.array([by_world[world] for world in worlds])

    rivals = dict.fromkeys(r.row for r in here if r.satellite_only)
    rival = np.max([of(row) for row in rivals], axis=0)
    controls = (CONTROL_TEACHER, CONTROL_PAIRS)
    return Verdict(
        sensor,
        size,
        score,
        of(PRODUCT),
        rival,
        {name: of(name) - rival for name in controls},
        of(NO_LIBRARY) - of(CONTROL_LABELS),
        of(SITES_ONLY) - of(CONTROL_TEACHER),
    )
