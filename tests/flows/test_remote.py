"""A run over a STAC API whose scenes lie on a web server."""

import json
from pathlib import Path

from catalog.items import to_item
from deepsalt.scenes.base import read_acquisition
from tests.flows.conftest import Scenes, deepsalt
from tests.flows.test_pipeline import assert_same
from tests.range_server import serving_files
from tests.stac_server import serving


def remote_items(scenes: Scenes, files: str) -> list[dict[str, object]]:
    """Return Items of the EnMAP scenes with assets on a server, one of them with a secret."""
    items = []
    for path in (scenes.west, scenes.east):
        document = to_item(read_acquisition(path)).to_dict()
        for asset in document["assets"].values():
            name = Path(asset["href"]).relative_to(path.parent).as_posix()
            asset["href"] = f"{files}/{name}?signature=open-sesame"
        items.append(document)
    return items


def test_a_run_over_a_stac_api_equals_one_over_the_files(scenes: Scenes, tmp_path: Path) -> None:
    deepsalt("ingest", scenes.west, scenes.east, "--to", tmp_path / "catalogue")
    local = ("--catalogue", tmp_path / "catalogue", "--out", tmp_path / "local")
    assert deepsalt("run", *local).exit_code == 0
    with serving_files(scenes.west.parent) as files, serving(remote_items(scenes, files)) as api:
        remote = ("--catalogue", api.url, "--bbox", "83,40,85,42", "--out", tmp_path / "remote")
        result = deepsalt("run", *remote, "--json")
    assert result.exit_code == 0, result.output
    assert_same(tmp_path / "remote", tmp_path / "local")


def test_secrets_of_signed_urls_are_not_kept(scenes: Scenes, tmp_path: Path) -> None:
    with serving_files(scenes.west.parent) as files, serving(remote_items(scenes, files)) as api:
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
    assert "open-sesame" not in result.output
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"open-sesame" not in path.read_bytes(), path


def test_a_server_without_the_files_leaves_the_scenes_for_another_run(
    scenes: Scenes, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving_files(empty) as files, serving(remote_items(scenes, files)) as api:
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
    outcome = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {scene["status"] for scene in outcome["scenes"]} == {"failed"}
    assert all("open-sesame" not in scene["reason"] for scene in outcome["scenes"])
    assert not list((tmp_path / "store" / "records").glob("quarantine/*"))
