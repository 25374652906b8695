"""An announcement comes from anybody who reaches the server: it is checked like any input."""

from pathlib import Path

import pytest

from catalog.local import add_items
from deepsalt.errors import FormatError
from flows.config import Selection
from flows.watch.arrivals import arrived, item_of
from tests.flows.watch import world
from tests.flows.watch.world import scene


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    add_items(tmp_path / "catalogue", [world.item_of(scene(1), None)])
    return tmp_path / "catalogue"


def item(catalogue: Path) -> str:
    (path,) = catalogue.rglob(f"{scene(1).scene_id}.json")
    return str(path)


@pytest.mark.parametrize(
    "payload", [{}, {"item": None}, {"item": " "}, {"item": "x" * 3000}], ids=str
)
def test_a_payload_without_an_address_is_refused(payload: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="has no address of an Item"):
        item_of(payload)


@pytest.mark.parametrize("address", ["/a\0b", "/a\nWARNING b", "\ud800"], ids=ascii)
def test_an_address_with_control_characters_is_refused(address: str) -> None:
    with pytest.raises(FormatError, match="with control characters"):
        item_of({"item": address})


def test_an_address_with_a_password_is_refused_without_being_repeated() -> None:
    with pytest.raises(FormatError, match="has a user in the address") as refused:
        item_of({"item": "https://me:open-sesame@stac.example.org/v1/item"})
    assert "open-sesame" not in str(refused.value)


def test_an_item_of_the_catalogue_is_an_acquisition(catalogue: Path) -> None:
    found = arrived(item(catalogue), Selection(catalogue=str(catalogue)))
    assert found is not None
    assert found.acquisition.key == scene(1).key


def test_an_item_that_the_watch_does_not_select_is_left(catalogue: Path) -> None:
    selection = Selection(catalogue=str(catalogue), collections=("other",))
    assert arrived(item(catalogue), selection) is None


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "{catalogue}/../../secret.json",
        "~nobody-of-this-name/item.json",
        "https://example.org/item.json",
    ],
)
def test_an_item_outside_the_catalogue_is_not_read(catalogue: Path, place: str) -> None:
    with pytest.raises(FormatError, match="does not lie in the catalogue"):
        arrived(place.format(catalogue=catalogue), Selection(catalogue=str(catalogue)))


def test_a_link_out_of_the_catalogue_is_not_followed(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (catalogue / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(FormatError, match="does not lie in the catalogue"):
        arrived(str(catalogue / "link.json"), Selection(catalogue=str(catalogue)))


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "https://elsewhere.org/item",
        "https://stac.example.org:99999/v1/item",
        "https://[::1",
    ],
)
def test_a_server_announces_its_own_items_only(place: str) -> None:
    with pytest.raises(FormatError, match="does not lie in the catalogue"):
        arrived(place, Selection(catalogue="https://stac.example.org/v1"))


def test_what_is_no_item_is_refused(catalogue: Path) -> None:
    with pytest.raises(FormatError):
        arrived(str(catalogue / "catalog.json"), Selection(catalogue=str(catalogue)))
