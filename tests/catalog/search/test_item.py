"""One Item by its address."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalog.items import to_item
from catalog.search.item import item_document
from deepsalt.errors import FormatError, RunError
from tests.catalog.scenes import acquisition
from tests.servers.hostile import Hostile, Reply, hostile_server


@contextmanager
def serving(document: object, status: int = 200) -> Iterator[Hostile]:
    body = json.dumps(document).encode()
    length = {"Content-Length": str(len(body))}
    with hostile_server(lambda *_: Reply(status, length, lambda: iter([body]))) as server:
        yield server


def test_an_item_file_is_read_with_absolute_hrefs(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(to_item(acquisition()).to_dict()))
    assert item_document(str(path))["assets"]["image"]["href"] == "/data/scene/image.TIF"


def test_an_item_is_read_from_its_server() -> None:
    item = to_item(acquisition()).to_dict()
    item["assets"] = {"image": {"href": "./image.TIF"}}
    with serving(item) as server:
        found = item_document(f"{server.url}/items/a.json")
    assert found["assets"]["image"]["href"] == f"{server.url}/items/image.TIF"


@pytest.mark.parametrize("document", [{"type": "Catalog", "assets": {}, "links": []}, [1]])
def test_another_document_is_refused(document: object) -> None:
    with serving(document) as server, pytest.raises(FormatError, match="is not a STAC Item"):
        item_document(f"{server.url}/items/a.json")


@pytest.mark.parametrize("status", [400, 404, 410])
def test_an_address_without_an_item_is_refused_for_good(status: int) -> None:
    with serving({}, status) as server, pytest.raises(FormatError, match=f"HTTP status {status}"):
        item_document(f"{server.url}/items/a.json")


@pytest.mark.parametrize("status", [401, 403, 409])
def test_an_answer_that_may_change_is_an_error_of_the_run(status: int) -> None:
    with serving({}, status) as server, pytest.raises(RunError, match=f"HTTP status {status}"):
        item_document(f"{server.url}/items/a.json")
