"""STAC APIs that ask for a login."""

import json
from pathlib import Path

import pytest

from catalog.search import Query, search
from catalog.search.item import item_document
from deepsalt.errors import LoginError
from tests.catalog.search.test_hostile_servers import as_json, feature, page_of
from tests.servers.hostile import Asked, Hostile, Reply, hostile_server
from tests.servers.stac import StacServer


def guarded(server: Hostile, asked: Asked) -> Reply:
    """Answer as a STAC API that wants a token."""
    if asked.headers.get("authorization") != "Bearer open-sesame":
        return Reply(401, {"Content-Length": "0"})
    if asked.path.startswith("/search"):
        return as_json(page_of("a"))
    return as_json(feature("a") if asked.path == "/item" else StacServer([], server.url).landing())


@pytest.fixture
def profile(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generic profile for servers of this machine, which have no https."""
    monkeypatch.setenv("DEEPSALT_STAC_TOKEN", "open-sesame")


def test_a_catalogue_and_an_item_come_with_a_token(
    profile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile_server(guarded) as server:
        monkeypatch.setenv("DEEPSALT_STAC_HOSTS", server.url)
        found = search(server.url, Query())
        item = item_document(f"{server.url}/item")
    assert [each.id for each in found] == ["a"]
    assert item["id"] == "a"
    assert "open-sesame" not in json.dumps([item, *(each.to_dict() for each in found)])


def test_a_refused_token_is_one_sentence(profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSALT_STAC_TOKEN", "of-yesterday")
    with hostile_server(guarded) as server:
        monkeypatch.setenv("DEEPSALT_STAC_HOSTS", server.url)
        with pytest.raises(LoginError, match="the token from the environment is refused") as said:
            item_document(f"{server.url}/item")
    assert "yesterday" not in str(said.value)
