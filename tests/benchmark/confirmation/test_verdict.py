"""When a gain is claimed."""

import numpy as np
import pytest

from deepsalt.benchmark.confirmation.report import page, tables
from deepsalt.benchmark.confirmation.verdict import (
    POOLED,
    WITHIN,
    Scored,
    is_gain,
    judge,
    scored,
)
from deepsalt.benchmark.rows import (
    CONTROL_LABELS,
    CONTROL_PAIRS,
    CONTROL_TEACHER,
    NO_LIBRARY,
    PRODUCT,
    SITES_ONLY,
    confirmation_rows,
)
from deepsalt.train.config import Settings

ABOUT = {"command": "c", "version": "0", "worlds": "w", "sources": "s"}
RIVALS = ("PLS", "trees", SITES_ONLY)
OTHERS = (NO_LIBRARY, PRODUCT, CONTROL_LABELS, CONTROL_TEACHER, CONTROL_PAIRS)


def results(product, worlds=12, **others):
    """Scores of all rows: rivals 0.1 unless told, the product as given by world."""
    found = []
    for i in range(worlds):
        for row in (*RIVALS, *OTHERS):
            value = product[i] if row == PRODUCT else others.get(row, [0.1] * worlds)[i]
            scores = {POOLED: value, WITHIN: value}
            found.append(Scored(f"w-{i:02d}", "enmap", 60, row, row in RIVALS, scores, "", 1.0))
    return found


@pytest.mark.parametrize(
    ("ahead", "behind", "level", "gain"),
    [
        (12, 0, 0, True),
        (10, 2, 0, True),
        (10, 0, 2, True),
        (9, 3, 0, False),
        (9, 0, 3, False),
        (11, 0, 0, False),
    ],
    ids=["all", "ten", "ten, two level", "nine", "nine, three level", "a world is missing"],
)
def test_a_gain_needs_a_lead_in_ten_of_twelve_worlds(ahead, behind, level, gain):
    assert is_gain(np.array([0.2] * ahead + [-0.3] * behind + [0.0] * level)) is gain


def test_the_rival_of_a_world_is_the_best_of_that_world():
    found = judge(
        results([0.5] * 12, PLS=[0.4, 0.2] * 6, trees=[0.1, 0.3] * 6), "enmap", 60, POOLED
    )
    assert found.rival.tolist() == [0.4, 0.3] * 6
    assert found.lead == pytest.approx([0.1, 0.2] * 6)


def test_permuted_labels_are_compared_with_no_library():
    harmless = results([0.5] * 12, **{NO_LIBRARY: [0.12] * 12})
    assert judge(harmless, "enmap", 60, POOLED).labels_harmless
    harmful = results([0.5] * 12, **{NO_LIBRARY: [0.13] * 12})
    assert not judge(harmful, "enmap", 60, POOLED).labels_harmless


def test_a_control_that_leads_as_well_has_not_lost_the_gain():
    found = judge(results([0.5] * 12, **{CONTROL_PAIRS: [0.4] * 12}), "enmap", 60, POOLED)
    assert found.loses(CONTROL_TEACHER)
    assert not found.loses(CONTROL_PAIRS)


def test_scores_are_of_log1p_and_within_regions_leaves_their_means_out():
    row = confirmation_rows(Settings())[0]
    observed = np.array([0.5, 1.0, 4.0, 9.0])
    answer = {
        "observed": observed,
        "ec": np.expm1(np.log1p(observed) + np.array([1.0, 1.0, 0.0, 0.0])),
        "region": np.array(["a", "a", "b", "b"]),
        "seconds": np.array(0.0),
    }
    found = scored("w", "enmap", 60, row, answer=answer).scores
    assert found[WITHIN] == pytest.approx(1.0)
    assert found[POOLED] < 0.6


@pytest.mark.parametrize(
    ("product", "told"),
    [([0.3] * 12, "| gain |"), ([0.15] * 12, "below the aim"), ([0.1] * 12, "no gain shown")],
    ids=["above the aim", "below it", "none"],
)
def test_the_page_says_whether_there_is_a_gain(product, told):
    text = page(results(product), ABOUT, rehearsal=False)
    assert text.count(told) == 2


def test_a_rehearsal_claims_nothing():
    text = page(results([0.9] * 12), ABOUT, rehearsal=True)
    assert "| gain" not in text
    assert "lost" not in text
    assert "REHEARSAL" in text.splitlines()[0]


def test_the_page_is_one_page_and_says_that_it_is_simulated():
    text = page(results([0.3] * 12), ABOUT, rehearsal=False)
    assert len(text.split()) < 800
    assert "SIMULATED" in text.splitlines()[0]


def test_the_tables_hold_every_row_of_every_world():
    text = tables(results([0.3] * 12), ABOUT, rehearsal=True)
    assert all(text.count(f"\n| {row} |") == 3 for row in (*RIVALS, *OTHERS))
    headings = [line for line in text.splitlines() if line.startswith("## ") and "R²" in line]
    assert all("SIMULATED" in heading for heading in headings)
