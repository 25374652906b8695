"""How much of the residuals is the ground within a cell, and no error of the map.

A sample is a core of a few centimetres, a cell has 30 m. What samples within a cell differ among
themselves no map of cells can explain.
"""

from dataclasses import dataclass, field

import numpy as np

from deepsalt.accuracy.blocks import FEWEST
from deepsalt.accuracy.match import Cells
from deepsalt.accuracy.scores import BOOTSTRAP
from deepsalt.train.data.places import Blocks
from deepsalt.train.evaluation.salt import Bootstrap, bootstrapped
from deepsalt.types import Floats

CANNOT_BE_TOLD = "cannot be told"


@dataclass(frozen=True, slots=True)
class Support:
    """Share of the residuals' variance that is due to support.

    Parameters
    ----------
    shared
        Cells with at least two samples.
    scores
        ``support_share`` with its interval, and ``within_cell_sd_log``; empty if it cannot be told.
    sentence
        What it rests on, or why it cannot be told.
    """

    shared: int
    scores: dict[str, float] = field(hash=False)
    sentence: str


def support_of(
    cells: Cells, block: Blocks, residual: Floats | None, bootstrap: Bootstrap = BOOTSTRAP
) -> Support:
    """Return the share of the residuals' variance that lies within cells.

    With w the variance of log(EC + `EC_SHIFT`) within cells (pooled over cells with two samples or
    more; where the table states a sample's own, that one), a label of m samples has w / m of it.
    The share is the mean of w / m over the mean squared residual, at most 1.

    Parameters
    ----------
    cells, block
        Cells and their blocks.
    residual
        Estimate minus label on log(EC + `EC_SHIFT`) (c,); None: there is none to compare with.
    bootstrap
        How blocks are drawn.
    """
    shared = cells.samples > 1
    stated = np.isfinite(cells.stated_sd)
    if not shared.any() and not stated.all():
        return Support(
            0,
            {},
            f"{CANNOT_BE_TOLD}: no cell holds two samples, and not all samples "
            "state their variance (log_ec_sd)",
        )
    if residual is None:
        return Support(int(shared.sum()), {}, f"{CANNOT_BE_TOLD}: without residuals")
    known = np.nan_to_num(cells.stated_sd) ** 2
    freedom = cells.samples - 1.0

    def pooled(weights: Floats) -> float:
        total = weights @ freedom
        return float(weights @ cells.squares / total) if total > 0 else float("nan")

    def part(weights: Floats) -> float:
        below = weights @ residual**2
        own = known if stated.all() else np.where(stated, known, pooled(weights))
        return min(float(weights @ (own / cells.samples) / below), 1.0) if below > 0 else np.nan

    few = not stated.all() and int(shared.sum()) < FEWEST
    scores = (
        {"support_share": part(np.ones(len(cells)))}
        if few
        else bootstrapped("support_share", part, block.name, bootstrap)
    )
    if shared.any():
        scores["within_cell_sd_log"] = float(np.sqrt(pooled(np.ones(len(cells)))))
    count = f"{int(shared.sum())} cells" if shared.sum() > 1 else "one cell"
    rests = f"{count} with two samples or more" if shared.any() else ""
    given = f"the variance that {int(stated.sum())} cells' samples state" if stated.any() else ""
    roughly = ", too few for an interval" if few else ""
    sentence = f"from {' and '.join(filter(None, (rests, given)))}{roughly}"
    return Support(int(shared.sum()), scores, sentence)
