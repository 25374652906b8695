"""The command against catalogues and Items that lead elsewhere."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from catalog.items import parse_item
from deepsalt.errors import FormatError, ReadError
from deepsalt.progress import Silent
from flows.config import Access, SceneConfig, Selection
from flows.progress import bars
from flows.run.selection import find_items, find_scenes
from flows.run.single_scene import map_one
from tests.catalog.search.test_hostile_servers import bystander, catalogue, next_link, page_of
from tests.flows.conftest import Scenes, deepsalt, remote_items
from tests.servers.hostile import Asked, Hostile
from tests.servers.ranges import file_server
from tests.servers.stac import serving


def test_search_names_the_link_and_the_option_with_exit_code_2() -> None:
    with (
        bystander() as other,
        catalogue(lambda *_: page_of("a", next_link(other.url))) as server,
    ):
        place = other.url.removeprefix("http://")
        refused = deepsalt("search", "--catalogue", server.url)
        allowed = deepsalt("search", "--catalogue", server.url, "--allow-host", place, "--json")
    assert isinstance(refused.exception, FormatError)
    assert refused.exception.exit_code == 2
    assert f"give --allow-host {place}" in str(refused.exception)
    assert len(json.loads(allowed.stdout)) == 2


def test_a_run_gives_its_scenes_what_its_catalogue_may_name(scenes: Scenes) -> None:
    with serving(remote_items(scenes.all, "http://127.0.0.1:9")) as api:
        found = find_scenes(Selection(catalogue=api.url, allow_hosts=("files.lan",)))
    assert found.access == Access(networks=("loopback",), allow_hosts=("files.lan",))


def test_an_item_on_its_own_names_public_servers_only(scenes: Scenes, tmp_path: Path) -> None:
    with file_server(scenes.west.parent) as files:
        (item,) = remote_items([scenes.west], files.url)
        with pytest.raises(ReadError, match="give --allow-host"):
            map_one(parse_item(item), str(tmp_path / "store"), SceneConfig())
    assert not files.asked


def test_a_scene_whose_files_are_inside_is_left_for_a_run_that_allows_them(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue is allowed by name here, as a public one would be without."""
    with (
        file_server(scenes.west.parent) as files,
        serving(remote_items([scenes.west], files.url)) as api,
    ):
        monkeypatch.setattr("flows.run.selection.reach_of", public(api.url))
        run = ("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
        refused = deepsalt(*run)
        assert not files.asked
        allowed = deepsalt(*run, "--allow-host", files.url.removeprefix("http://"))
    (scene,) = json.loads(refused.stdout)["scenes"]
    assert (refused.exit_code, scene["status"]) == (1, "failed")
    assert "give --allow-host 127.0.0.1" in scene["reason"]
    assert "open-sesame" not in refused.output
    assert allowed.exit_code == 0


def public(url: str) -> Any:
    """Return a `reach_of` to which the catalogue is a public one."""
    from deepsalt.access import Reach, checked_hosts

    def reach_of(source: str, allowed: tuple[str, ...]) -> Reach:
        return Reach(hosts=checked_hosts([*allowed, url.removeprefix("http://")]))

    return reach_of


def test_a_scene_file_names_servers_of_the_users_own_network(
    scenes: Scenes, tmp_path: Path
) -> None:
    with file_server(scenes.west.parent) as files:
        (item,) = remote_items([scenes.west], files.url)
        (tmp_path / "item.json").write_text(json.dumps(item))
        result = deepsalt("scene", tmp_path / "item.json", "--out", tmp_path / "store")
    assert result.exit_code == 0, result.output


def test_a_long_search_shows_pages_and_items(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.progress.QUIET_S", 0.05)

    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        time.sleep(0.1)
        link = next_link(f"{server.url}/search", body={"token": number})
        return page_of(f"s{number}", *([link] if number < 3 else []))

    with catalogue(page) as server, bars() as progress:
        find_items(Selection(catalogue=server.url), progress)
    assert "Items, 3 pages" in capsys.readouterr().err


def test_a_short_search_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with catalogue() as server, bars() as progress:
        find_items(Selection(catalogue=server.url), progress)
    with catalogue() as server:
        find_items(Selection(catalogue=server.url), Silent())
    assert not capsys.readouterr().err
