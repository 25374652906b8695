"""One search for folders and servers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pystac
import pytest

from catalog.items import parse_item, to_item
from catalog.local import add_items
from catalog.search import Query, search
from deepsalt.errors import FormatError, RunError, UsageError
from deepsalt.types import Asset
from tests.catalog.scenes import acquisition, square
from tests.servers.stac import StacServer, serving
from tests.shared import shared_data

AREA = {"type": "Polygon", "coordinates": [[[0, 0], [3, 0], [0, 3], [0, 0]]]}


def scenes() -> list[pystac.Item]:
    """Return 30 scenes over a 6 x 5 grid of places, days and cloud covers, some of them odd."""
    found = []
    for number in range(30):
        start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number * 10)
        item = to_item(
            acquisition(
                scene_id=f"scene-{number:02d}",
                collection="enmap-l2a" if number % 3 else "prisma-l2d",
                sensor="enmap" if number % 3 else "prisma",
                start=None if number == 7 else start,
                end=None if number == 7 else start + timedelta(seconds=4),
                footprint=square(179.9, 1.0) if number == 11 else square(number % 6, number // 6),
                cloud_cover_pct=None if number == 13 else number * 3.0,
                overall_quality=number % 3,
                assets=(Asset("image", f"https://host/{number}/image.tif", 5),),
            )
        )
        if number % 2:
            for name in ("eo:cloud_cover", "enmap:overallQuality"):
                if name in item.properties:
                    item.properties[name] = str(item.properties[name]).removesuffix(".0")
        found.append(item)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue")
    add_items(path, scenes())
    return path


@pytest.fixture
def server() -> Iterator[StacServer]:
    with serving([json.loads(json.dumps(item.to_dict())) for item in scenes()]) as state:
        yield state


QUERIES: dict[str, tuple[Query, int]] = {
    "everything": (Query(), 30),
    "collection": (Query(collections=("prisma-l2d",)), 10),
    "two collections": (Query(collections=("prisma-l2d", "enmap-l2a")), 30),
    "no such collection": (Query(collections=("emit",)), 0),
    "box": (Query(bbox=(0.0, 0.0, 1.1, 1.1)), 4),
    "box across 180": (Query(bbox=(179.0, 0.0, -179.0, 2.0)), 1),
    "area": (Query(area=AREA), 10),
    "month": (Query(datetime="2024-02"), 2),
    "range": (Query(datetime="2024-01-11/2024-02-10"), 4),
    "open range": (Query(datetime="2024-09-01/.."), 5),
    "clouds": (Query(max_cloud_pct=30), 11),
    "quality": (Query(max_quality=1), 20),
    "all at once": (
        Query(
            collections=("enmap-l2a",),
            bbox=(0.0, 0.0, 5.5, 3.5),
            datetime="2024",
            max_cloud_pct=50,
            max_quality=1,
        ),
        4,
    ),
}


@pytest.mark.parametrize("case", QUERIES)
def test_a_folder_and_a_server_with_the_same_items_give_the_same_answer(
    case: str, folder: Path, server: StacServer
) -> None:
    query, count = QUERIES[case]
    found = [parse_item(item) for item in search(folder, query)]
    assert found == [parse_item(item) for item in search(server.url, query)]
    assert len(found) == count


def test_catalog_json_may_be_given_instead_of_its_folder(folder: Path) -> None:
    assert len(search(folder / "catalog.json", Query())) == 30
    assert len(search(str(folder), Query(limit=5))) == 5


def test_results_are_sorted_by_date_and_the_limit_takes_the_first(folder: Path) -> None:
    names = [item.id for item in search(folder, Query(limit=3))]
    assert names == ["scene-00", "scene-01", "scene-02"]


def test_all_pages_of_a_server_are_read(server: StacServer) -> None:
    server.page = 4
    assert len(search(server.url, Query())) == 30
    assert len(server.requests) == 8


def test_the_limit_stops_asking_for_pages(server: StacServer) -> None:
    server.page = 4
    assert len(search(server.url, Query(limit=6))) == 6
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_recovers_is_asked_again(status: int, server: StacServer) -> None:
    server.failures = [status]
    assert len(search(server.url, Query())) == 30


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_final_answer_is_not_asked_again_and_names_the_server(
    status: int, server: StacServer
) -> None:
    server.failures = [status, status]
    with pytest.raises(RunError, match=f"{server.url}.* {status}"):
        search(server.url, Query())
    assert len(server.failures) == 1


def test_a_server_that_does_not_exist_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catalog.search.server.WAITS_S", ())
    with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9/stac did not answer") as error:
        search("http://user:secret@127.0.0.1:9/stac?token=secret", Query())
    assert "secret" not in str(error.value)


def test_a_page_that_is_no_stac_is_named(server: StacServer) -> None:
    server.items = [{"type": "Feature", "id": "broken", "collection": "c", "bbox": [0, 0, 1, 1]}]
    with pytest.raises(FormatError, match="broken"):
        search(server.url, Query())


def test_a_catalogue_without_search_says_so(server: StacServer) -> None:
    server.conforms = []
    with pytest.raises(UsageError, match="not a STAC API with search"):
        search(server.url, Query())


def test_an_item_from_a_server_can_be_written_as_json_without_asking_again(
    server: StacServer,
) -> None:
    (item,) = search(server.url, Query(limit=1))
    before = len(server.visits)
    item.to_dict()
    assert len(server.visits) == before


def test_a_box_across_180_degrees_is_asked_for_in_halves(server: StacServer) -> None:
    search(server.url, Query(bbox=(179.0, 0.0, -179.0, 2.0)))
    boxes = [wanted["bbox"] for _, wanted in server.requests]
    assert boxes == [[179.0, 0.0, 180.0, 2.0], [-180.0, 0.0, -179.0, 2.0]]


def test_real_items_with_text_numbers_are_filtered_on_a_server() -> None:
    paths = sorted(shared_data("stac-dlr-enmap").glob("*____L2A*.json"))
    with serving([json.loads(path.read_text()) for path in paths]) as state:
        found = search(state.url, Query(max_cloud_pct=40, max_quality=1, datetime="2025-07-08"))
    assert len(found) == 6
    assert all(parse_item(item).overall_quality == 0 for item in found)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_catalogue_says_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="ingest"):
        search(tmp_path / name, Query())


def test_a_catalogue_whose_documents_link_in_a_circle_ends(tmp_path: Path) -> None:
    catalogue = {"type": "Catalog", "id": "c", "links": [{"rel": "child", "href": "catalog.json"}]}
    (tmp_path / "catalog.json").write_text(json.dumps(catalogue))
    assert search(tmp_path, Query()) == []


def test_a_link_to_a_server_in_a_folder_is_refused(tmp_path: Path) -> None:
    links = [{"rel": "child", "href": "https://host/catalog.json"}]
    catalogue = {"type": "Catalog", "id": "c", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(catalogue))
    with pytest.raises(FormatError, match="https://host"):
        search(tmp_path, Query())


def test_two_thousand_items_are_searched_at_once(tmp_path: Path) -> None:
    document = json.dumps(to_item(acquisition(scene_id="NAME")).to_dict())
    links = []
    for number in range(2000):
        (tmp_path / f"{number}.json").write_text(document.replace("NAME", f"s{number}"))
        links.append({"rel": "item", "href": f"./{number}.json"})
    (tmp_path / "catalog.json").write_text(
        json.dumps({"type": "Catalog", "id": "c", "links": links})
    )
    assert len(search(tmp_path, Query(max_cloud_pct=20, bbox=(0.0, 0.0, 50.0, 50.0)))) == 2000
