"""Whether intervals hold the true scores as often as they say, over many SIMULATED campaigns."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from deepsalt.accuracy.blocks import blocks_of
from deepsalt.accuracy.match import Cells
from deepsalt.accuracy.scores import (
    BOOTSTRAP,
    error_scores,
    interval_scores,
    probability_scores,
    r2,
    rank_scores,
    recalibrated_scores,
)
from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.data.places import Blocks
from tests.accuracy.fields import CHANCE_ATTRS, Field, at_random, in_clusters

DRAWS = 200
FEWER = replace(BOOTSTRAP, draws=200)
NONE = replace(BOOTSTRAP, fewest=10**9)
SCORES = (
    "spearman",
    "average_precision_top_fifth",
    "r2_recalibrated",
    "r2_log1p",
    "rmse_log1p",
    "bias_log1p",
    "coverage",
    "brier_skill_p_above_1",
    "average_precision_p_above_1",
)


def scores(cells: Cells, block: Blocks, bootstrap: object = FEWER) -> dict[str, float]:
    return {
        **rank_scores(cells, block, bootstrap),
        **error_scores(cells, block, bootstrap),
        **interval_scores(cells, block, bootstrap),
        **probability_scores(cells, block, CHANCE_ATTRS, bootstrap),
    }


def true_scores(field: Field) -> Mapping[str, float]:
    every = field.all_cells()
    return scores(every, Blocks(np.full(len(every), "block"), 1, ""), NONE)


def true_r2_tuned(field: Field, cells: Cells) -> float:
    """R² over the whole field of the line that a campaign fits."""
    every = field.all_cells()
    label, estimate = (np.log(values + EC_SHIFT) for values in (cells.ec, cells.estimate))
    slope, offset = np.polyfit(estimate, label, 1)
    log_ec = np.log(every.ec + EC_SHIFT)
    tuned = offset + slope * np.log(every.estimate + EC_SHIFT)
    return r2(log_ec, tuned)(np.ones(len(every)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "campaign",
    [lambda rng: at_random(rng, 150), lambda rng: in_clusters(rng, 24, 6, 5.0)],
    ids=["random", "clustered"],
)
def test_each_90_percent_interval_holds_the_true_score_in_84_to_95_percent(
    campaign: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]],
) -> None:
    held = defaultdict[str, list[bool]](list)
    for draw in range(DRAWS):
        field = Field.draw(draw)
        cells = field.cells(*campaign(np.random.default_rng([draw, 1])))
        block = blocks_of(cells.lon, cells.lat)
        found = scores(cells, block) | recalibrated_scores(cells, block, FEWER)
        truth = {**true_scores(field), "r2_recalibrated": true_r2_tuned(field, cells)}
        for name in SCORES:
            held[name].append(found[f"{name}_low"] <= truth[name] <= found[f"{name}_high"])
    shares = {name: float(np.mean(held[name])) for name in SCORES}
    assert {name: share for name, share in shares.items() if not 0.84 <= share <= 0.95} == {}
