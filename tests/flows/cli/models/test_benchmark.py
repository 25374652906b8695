"""`deepsalt benchmark` from the command line."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli.models.benchmark import app
from tests.train.soils import soil_frame, soil_table


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    table = folder / "soils.csv"
    soil_frame(soil_table()).to_csv(table, index=False)
    arguments = [
        "--quick",
        "--part",
        "real",
        "--folds",
        "3",
        "--lab",
        str(table),
        "--out",
        str(folder / "out"),
    ]
    result = CliRunner().invoke(app, arguments)
    return folder / "out", result, arguments


@pytest.mark.slow
def test_a_quick_benchmark_writes_numbers_tables_and_plots(done):
    out, result, _ = done
    assert result.exit_code == 0, result.output
    for name in ("benchmark.json", "benchmark.md", "scatter.png", "coverage.png", "regions.png"):
        assert (out / name).stat().st_size > 0, name


@pytest.mark.slow
def test_the_report_tells_command_and_data_without_machine_paths(done):
    out, _, _ = done
    text = (out / "benchmark.json").read_text()
    report = json.loads(text)
    assert report["command"] == "deepsalt benchmark --quick --part real --folds 3 --out out"
    assert report["quick"] is True
    assert str(out.parent) not in text


@pytest.mark.slow
def test_a_second_run_computes_no_cell_again_and_says_the_same(done):
    out, _, arguments = done
    before = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    scores = json.loads((out / "benchmark.json").read_text())["scores"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    after = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert before == after
    assert json.loads((out / "benchmark.json").read_text())["scores"] == scores


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--confirm", "--seeds", "3"], "--seeds"),
        (["--confirm", "--quick"], "--quick"),
        (["--confirm", "--rehearse"], "--rehearse"),
        (["--confirm", "--config", "x.toml"], "--config"),
        (["--rehearse", "--part", "real"], "--part"),
    ],
    ids=str,
)
def test_what_would_change_a_confirmation_is_refused(tmp_path, given, named):
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out")])
    assert f"{named} has no meaning" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_unknown_parts_are_refused_before_anything_is_read(tmp_path):
    result = CliRunner().invoke(app, ["--part", "reel", "--lab", "x.csv", "--out", str(tmp_path)])
    assert "real, simulated or both" in str(result.exception)
