"""A service answers metrics, Items and pictures, and nothing else of what lies on its machine."""

import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deepsalt.errors import RunError
from deepsalt.objects import Objects
from flows.service.pages import serve_pages

PICTURE = b"\x89PNG\r\n"
ITEM = "collections/enmap-l2a/2024-04/Ä scene (1).json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes


def ask(port: int, path: str, method: str = "GET", host: str = "localhost") -> Answer:
    """Send a path as it is; clients that parse it would tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's folder, beside a file that is not of it; tests only add to it."""
    place = tmp_path_factory.mktemp("pages")
    objects = Objects.of(place / "store")
    for key in ("quicklook.png", "pictures/a.png", "pictures/a.txt", "records/quarantine/a.png"):
        objects.write(key, PICTURE)
    for key in (ITEM, "catalog.json", "store.json", "records/quarantine/a.json"):
        objects.write(key, b"{}")
    (place / "secret.json").write_text("{}")
    return objects.path


@pytest.fixture(scope="module")  # it takes half a second to end
def port(folder: Path) -> Iterator[int]:
    with serve_pages(CollectorRegistry(), Objects.of(folder), 0) as port:
        yield port


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        pytest.param("/store/quicklook.png", "image/png", PICTURE, id="quicklook"),
        pytest.param("/store/pictures/a.png", "image/png", PICTURE, id="picture"),
        pytest.param("/store/pictures/%61.png?x=1", "image/png", PICTURE, id="query"),
        pytest.param("/store/catalog.json", "application/json", b"{}", id="catalogue"),
        pytest.param(
            "/store/collections/enmap-l2a/2024-04/%C3%84%20scene%20%281%29.json",
            "application/json",
            b"{}",
            id="item",
        ),
    ],
)
def test_what_artifacts_link_to_is_answered(
    port: int, path: str, kind: str, content: bytes
) -> None:
    answer = ask(port, path)
    assert (answer.status, answer.headers["Content-Type"], answer.content) == (200, kind, content)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/", id="root"),
        pytest.param("/store/", id="folder"),
        pytest.param("/store/pictures/none.png", id="missing"),
        pytest.param("/store/pictures/a.txt", id="other kind"),
        pytest.param("/store/pictures/a.png/x.png", id="below a file"),
        pytest.param("/store/store.json", id="no item"),
        pytest.param("/store/records/quarantine/a.json", id="record"),
        pytest.param("/store/records/quarantine/a.png", id="picture elsewhere"),
        pytest.param("/store/collections/../../secret.json", id="dots"),
        pytest.param("/store/collections/%2e%2e/%2E%2e/secret.json", id="dots encoded"),
        pytest.param("/store/collections/%252e%252e/%252e%252e/secret.json", id="encoded twice"),
        pytest.param("/store/collections/..%2f..%2fsecret.json", id="slash encoded"),
        pytest.param("/store/collections/..%5c..%5csecret.json", id="backslash"),
        pytest.param("/store/collections//etc/a.json", id="absolute"),
        pytest.param("//store/collections//../a.json", id="two slashes"),
        pytest.param("/store/pictures/a.png%00.json", id="end of text"),
        pytest.param("/store/pictures/a.txt%0a.png", id="end of line"),
        pytest.param("/store/pictures/%ff.png", id="no text"),
        pytest.param(f"/store/pictures/{'a' * 4000}.png", id="long"),
        pytest.param("file:///store/catalog.json", id="scheme"),
    ],
)
def test_a_path_to_anything_but_pictures_and_items_is_unknown(port: int, path: str) -> None:
    assert ask(port, path).status == 404


@pytest.mark.parametrize("link", ["pictures/out.png", "collections/out"])
def test_a_link_out_of_the_store_is_unknown(port: int, folder: Path, link: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "a.json").write_text("{}")
    (folder / link).symlink_to(outside / "a.json" if "." in link else outside)
    path = link if "." in link else f"{link}/a.json"
    assert ask(port, f"/store/{path}").status == 404


def test_a_link_within_the_store_is_followed(port: int, folder: Path) -> None:
    (folder / "pictures/b.png").symlink_to("a.png")
    assert ask(port, "/store/pictures/b.png").content == PICTURE


def test_a_store_behind_a_link_is_answered(folder: Path) -> None:
    place = folder.with_name("link")
    place.symlink_to(folder)
    with serve_pages(CollectorRegistry(), Objects.of(place), 0) as port:
        assert ask(port, "/store/quicklook.png").status == 200


def test_a_store_that_cannot_be_read_is_said_without_its_place(port: int, folder: Path) -> None:
    os.mkfifo(folder / "pictures/pipe.png")
    answer = ask(port, "/store/pictures/pipe.png")
    assert (answer.status, answer.content) == (503, b"503 Service Unavailable\n")


def test_a_store_in_memory_is_answered() -> None:
    objects = Objects.of("memory://pages")
    objects.write("quicklook.png", PICTURE)
    with serve_pages(CollectorRegistry(), objects, 0) as port:
        assert ask(port, "/store/quicklook.png").content == PICTURE
        assert ask(port, "/store/pictures/a.png").status == 404


def test_a_head_has_the_length_alone(port: int) -> None:
    answer = ask(port, "/store/quicklook.png", "HEAD")
    length = answer.headers["Content-Length"]
    assert (answer.status, length, answer.content) == (200, str(len(PICTURE)), b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_method_that_would_write_is_refused(port: int, folder: Path, method: str) -> None:
    answer = ask(port, "/store/quicklook.png", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (folder / "quicklook.png").read_bytes() == PICTURE


@pytest.mark.parametrize("path", ["/store/catalog.json", "/store/no.json"])
def test_browsers_run_nothing_of_a_store(port: int, path: str) -> None:
    headers = ask(port, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src 'self'")


@pytest.mark.parametrize("path", ["/metrics", "/store/catalog.json"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:4201", 200),
        ("127.0.0.1:4201", 200),
        ("[::1]:4201", 200),
        ("evil.example:4201", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ],
)
def test_a_foreign_name_of_this_machine_is_refused(
    port: int, path: str, host: str, status: int
) -> None:
    assert ask(port, path, host=host).status == status


def test_a_machine_that_is_reached_from_elsewhere_has_any_name(folder: Path) -> None:
    with serve_pages(CollectorRegistry(), Objects.of(folder), 0, host="0.0.0.0") as port:
        assert ask(port, "/store/catalog.json", host="salt.example").status == 200


def test_a_port_that_is_taken_is_refused(port: int, folder: Path) -> None:
    with (
        pytest.raises(RunError, match="give another port"),
        serve_pages(CollectorRegistry(), Objects.of(folder), port),
    ):
        pass
