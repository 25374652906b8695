"""The demo's field campaign: samples of simulated ground, a model of them, and what it changes."""

from pathlib import Path

import pandas as pd
import pytest

from flows.demo import CHECKED, SAMPLED
from tests.flows.conftest import deepsalt


@pytest.mark.slow
def test_samples_sharpen_the_map_where_none_were_taken(tmp_path: Path) -> None:
    result = deepsalt("demo", "--out", tmp_path / "demo", "--field")
    assert result.exit_code == 0, result.output
    rows = {
        line[2:36].strip(): line[36:].split()
        for line in result.output.splitlines()
        if line.startswith("  ")
    }
    samples = pd.read_csv(tmp_path / "demo-field" / "samples.csv")
    assert len(samples) == SAMPLED
    assert samples["lon"].max() < 84.02
    before, after = map(float, rows["Brier skill of more than 2 dS/m"])
    assert after > before
    wide, narrow = map(float, rows["width of the interval, dS/m"])
    assert narrow < 0.8 * wide
    assert int(rows["90 % interval holds the truth"][1].rstrip("%")) >= 80
    assert f"at {CHECKED} other places of the SIMULATED ground" in result.output
    folder = tmp_path / "demo-field"
    assert {"samples.csv", "sites.csv", "sites.png", "model", "store"} <= {
        path.name for path in folder.iterdir()
    }
