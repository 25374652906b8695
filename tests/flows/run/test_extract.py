"""Field samples matched with scenes of a catalogue, by the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsalt.scenes.base import read_acquisition
from tests.flows.conftest import Scenes, deepsalt, remote_items
from tests.servers.ranges import serving_files
from tests.servers.stac import serving

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def samples(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples over the three scenes, taken on the first one's day."""
    path = tmp_path_factory.mktemp("samples") / "samples.csv"
    rng = np.random.default_rng(1)
    corners = np.array([c for each in scenes.all for c in read_acquisition(each).footprint])
    day = read_acquisition(scenes.west).start
    assert day is not None
    table = pd.DataFrame(
        {
            "id": [f"s{i:02}" for i in range(40)],
            "lon": rng.uniform(corners[:, 0].min(), corners[:, 0].max(), 40).round(6),
            "lat": rng.uniform(corners[:, 1].min(), corners[:, 1].max(), 40).round(6),
            "ec": rng.lognormal(size=40).round(3),
            "date": day.date().isoformat(),
            "crop": "cotton",
        }
    )
    table.loc[0, "lon"] -= 1.0  # beside all scenes
    table.to_csv(path, index=False)
    return path


def test_each_sample_has_a_row_or_a_reason(samples: Path, catalogue: Path, tmp_path: Path) -> None:
    out = tmp_path / "sites.csv"
    result = deepsalt("extract", samples, "--catalogue", catalogue, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    table = pd.read_csv(out)
    assert told["samples"] == 40
    assert told["matched"] == len({name for row in table["sample_id"] for name in row.split("+")})
    assert told["matched"] > 10
    assert sum(told["unmatched"].values()) == 40 - told["matched"]
    assert set(table["crop"]) == {"cotton"}
    left_out = pd.read_csv(tmp_path / "sites.left-out.csv")
    assert left_out["reason"].notna().all()
    assert (tmp_path / "sites.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_ends_with_the_reasons_and_the_next_command(
    samples: Path, catalogue: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sites.csv"
    result = deepsalt("extract", samples, "--catalogue", catalogue, "--out", out)
    lines = result.stdout.splitlines()
    assert lines[0] == "40 samples, 3 scenes, of which 3 show some"
    assert lines[1].startswith("matched")
    assert any("no scene covers it within 30 days" in line for line in lines)
    assert lines[-1].startswith("next: `deepsalt train --satellite ")


@pytest.mark.parametrize("engine", [("--threads", 1), ("--workers", 2)])
def test_the_table_is_the_same_on_every_engine(
    samples: Path, catalogue: Path, tmp_path: Path, engine: tuple[str, int]
) -> None:
    tables = []
    for name, options in (("here", ()), ("there", engine)):
        out = tmp_path / f"{name}.csv"
        deepsalt("extract", samples, "--catalogue", catalogue, "--out", out, *options)
        tables.append(out.read_bytes())
    assert tables[0] == tables[1]


def test_scenes_too_long_before_or_after_do_not_count(
    samples: Path, catalogue: Path, tmp_path: Path
) -> None:
    spread = tmp_path / "spread.csv"
    table = pd.read_csv(samples)
    table.loc[1, "date"] = "2024-05-15"  # so that the search finds scenes of both days
    table.loc[2, "date"] = None
    table.to_csv(spread, index=False)
    out = tmp_path / "sites.csv"
    options = ("--catalogue", catalogue, "--out", out, "--all-looks", "--json")
    told = json.loads(deepsalt("extract", spread, *options, "--days", 3).stdout)
    assert told["scenes"]["found"] == 3
    assert told["unmatched"]["it states no date"] == 1
    near = pd.read_csv(out)
    assert (near["days"].abs() <= 3).all()
    deepsalt("extract", spread, *options, "--any-date")
    ever = pd.read_csv(out)
    assert len(ever) > len(near)
    assert "s02" in set(ever["sample_id"])
    refused = deepsalt("extract", spread, *options, "--days", 400)
    assert "--any-date matches all the same" in str(refused.exception)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lon": "lat", "lat": "lon"}, "longitude and latitude swapped"),
        ({"date": "2019-05-01"}, "no scene over the samples was taken within 30 days"),
        ({"lon": 10.0}, "no scene of the catalogue lies over any sample"),
    ],
    ids=["swapped", "late", "elsewhere"],
)
def test_where_no_scene_is_found_the_reason_is_said(
    samples: Path, catalogue: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    table = pd.read_csv(samples)
    is_renamed = set(change.values()) == {"lon", "lat"}
    table = table.rename(columns=change) if is_renamed else table.assign(**change)
    other = tmp_path / "other.csv"
    table.to_csv(other, index=False)
    result = deepsalt("extract", other, "--catalogue", catalogue, "--out", tmp_path / "sites.csv")
    assert said in str(result.exception)


def test_an_item_that_cannot_be_used_is_reported(
    samples: Path, catalogue: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(catalogue, tmp_path / "catalogue"))
    item = next(path for path in damaged.rglob("ENMAP*.json"))
    document = json.loads(item.read_text())
    document["properties"]["proj:transform"] = [1, 2]
    item.write_text(json.dumps(document))
    out = tmp_path / "sites.csv"
    result = deepsalt("extract", samples, "--catalogue", damaged, "--out", out, "--json")
    assert result.exit_code == 3
    assert document["id"] in json.loads(result.stdout)["failed"]


def test_a_folder_that_does_not_exist_is_refused_before_anything_is_read(
    samples: Path, catalogue: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nowhere" / "sites.csv"
    result = deepsalt("extract", samples, "--catalogue", catalogue, "--out", out)
    assert "does not exist; create it first" in str(result.exception)


def test_a_scene_that_cannot_be_read_is_named_and_the_rest_is_written(
    scenes: Scenes, samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scenes"
    for each in scenes.all:
        if each.is_dir():
            shutil.copytree(each, folder / each.name)
        else:
            shutil.copy(each, folder / each.name)
    catalogue = tmp_path / "catalogue"
    assert deepsalt("ingest", folder, "--to", catalogue).exit_code == 0
    (image,) = (folder / scenes.west.name).glob("*SPECTRAL_IMAGE*")
    image.unlink()
    out = tmp_path / "sites.csv"
    result = deepsalt("extract", samples, "--catalogue", catalogue, "--out", out)
    assert result.exit_code == 3
    assert "could not be read" in result.stdout
    assert "3 scenes, of which 2 show some" in result.stdout
    assert len(pd.read_csv(out))
    reasons = pd.read_csv(tmp_path / "sites.left-out.csv")["reason"]
    assert reasons.str.contains("SPECTRAL_IMAGE").any()


def test_scenes_on_a_server_give_the_same_rows_from_parts_of_their_files(
    scenes: Scenes,
    samples: Path,
    catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepsalt.fetch.objects.LEAST_BYTES", 10_000)
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    deepsalt("extract", samples, "--catalogue", catalogue, "--out", here)
    with (
        serving_files(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files)) as api,
    ):
        result = deepsalt("extract", samples, "--catalogue", api.url, "--out", there)
    assert result.exit_code == 0, result.output
    assert here.read_bytes() == there.read_bytes()
    assert b"open-sesame" not in (tmp_path / "there.left-out.csv").read_bytes()
