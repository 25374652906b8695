"""What a catalogue published since a moment is the same from a folder and from a server."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.local import add_items
from catalog.search import Query, search
from tests.flows.watch.world import item_of, scene
from tests.servers.stac import FILTERS, serving

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
STATED = {
    1: {"updated": "2026-03-02T00:00:00Z"},
    2: {"updated": "2026-02-02T00:00:00Z"},
    3: {"created": "2026-03-02T00:00:00Z"},
    4: {"created": "2026-02-02T00:00:00Z"},
    5: {"created": "2026-02-02T00:00:00Z", "updated": "2026-03-02T00:00:00Z"},
    6: {},
}


def items():
    for number, stated in STATED.items():
        item = item_of(scene(number), None)
        for name in ("created", "updated"):
            item.properties.pop(name, None)
        item.properties |= stated
        yield item


def found(source: str | Path) -> set[str]:
    return {item.id for item in search(source, Query(updated_since=SINCE))}


EXPECTED = {scene(number).scene_id for number in (1, 3, 5, 6)}


def test_a_folder_gives_what_was_updated_or_created_since_and_what_does_not_say(
    tmp_path: Path,
) -> None:
    add_items(tmp_path / "catalogue", list(items()))
    assert found(tmp_path / "catalogue") == EXPECTED


@pytest.mark.parametrize("conforms", [None, FILTERS], ids=["without filters", "with filters"])
def test_a_server_gives_the_same_updated_items_as_a_folder(conforms: list[str] | None) -> None:
    with serving([item.to_dict() for item in items()]) as server:
        if conforms:
            server.conforms = conforms
        assert found(server.url) == EXPECTED
