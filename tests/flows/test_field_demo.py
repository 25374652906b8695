"""The demo's field campaign: samples of simulated ground, a model of them, and what it changes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.demo import CHECKED, SAMPLED, field_samples
from tests.flows.conftest import deepsalt


def test_places_of_a_campaign_are_the_same_each_time_and_lie_in_the_west(tmp_path: Path) -> None:
    tables = []
    for name in ("a", "b"):
        field_samples(tmp_path / f"{name}.csv", 7)
        tables.append(pd.read_csv(tmp_path / f"{name}.csv"))
    assert tables[0].equals(tables[1])
    assert len(tables[0]) == SAMPLED
    assert tables[0]["lon"].max() < 84.02
    assert np.isfinite(tables[0]["ec"]).all()


@pytest.mark.slow
def test_samples_improve_the_map_where_none_were_taken(tmp_path: Path) -> None:
    result = deepsalt("demo", "--out", tmp_path / "demo", "--field")
    assert result.exit_code == 0, result.output
    rows = {
        line[2:36].strip(): line[36:].split()
        for line in result.output.splitlines()
        if line.startswith("  ")
    }
    before, after = map(float, rows["R2 of log1p(dS/m)"])
    assert after > before
    assert f"at {CHECKED} other places of the SIMULATED ground" in result.output
    folder = tmp_path / "demo-field"
    assert {"samples.csv", "sites.csv", "sites.png", "model", "store"} <= {
        path.name for path in folder.iterdir()
    }
