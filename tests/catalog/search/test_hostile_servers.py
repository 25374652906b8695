"""STAC APIs that lie: each attack ends in one sentence, after few requests and soon."""

import gzip
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from catalog.items import to_item
from catalog.search import Query, search
from catalog.search.server import MAX_BYTES
from deepsalt.access import reach_of
from deepsalt.errors import DeepsaltError, FormatError, RunError, UsageError
from deepsalt.progress import Silent
from tests.catalog.scenes import acquisition
from tests.servers.hostile import Asked, Hostile, Reply, hostile_server, redirect
from tests.servers.stac import StacServer

Page = Callable[[Hostile, Asked, int], dict[str, Any] | Reply]


def as_json(document: object, **headers: str) -> Reply:
    body = json.dumps(document).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    return Reply(headers=sent, body=lambda: iter([body]))


def feature(name: str) -> dict[str, Any]:
    """Return an Item's document."""
    document: dict[str, Any] = json.loads(json.dumps(to_item(acquisition(scene_id=name)).to_dict()))
    return document


ITEM = json.dumps(feature("NAME"))


def page_of(name: str, *links: dict[str, Any]) -> dict[str, Any]:
    features = [json.loads(ITEM.replace("NAME", name))]
    return {"type": "FeatureCollection", "features": features, "links": list(links)}


@contextmanager
def catalogue(page: Page | None = None, landing: object = None) -> Iterator[Hostile]:
    """Serve a STAC API; `page` makes the n-th answer to a search, `landing` replaces the first."""

    def answer(server: Hostile, asked: Asked) -> Reply:
        searches = [each for each in server.asked if each.path.startswith("/search")]
        if asked.path.startswith("/search"):
            found = page(server, asked, len(searches)) if page else page_of("a")
            return found if isinstance(found, Reply) else as_json(found)
        if isinstance(landing, Reply):
            return landing
        return as_json(landing or StacServer([], server.url).landing())

    with hostile_server(answer) as server:
        yield server


@contextmanager
def bystander(host: str = "127.0.0.2") -> Iterator[Hostile]:
    """Serve what nobody is to ask for."""
    with hostile_server(lambda server, asked: as_json(page_of("stolen")), host) as server:
        yield server


def next_link(href: str, **more: object) -> dict[str, Any]:
    return {"rel": "next", "href": href, "method": "POST", **more}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_a_next_link_to_another_host_or_port_is_not_followed(host: str) -> None:
    with bystander(host) as other:
        link = next_link(f"{other.url}/search?token=open-sesame")
        with (
            catalogue(lambda *_: page_of("a", link)) as server,
            pytest.raises(FormatError) as said,
        ):
            search(server.url, Query())
    place = other.url.removeprefix("http://")
    assert str(said.value) == (
        f"{server.url} links to {other.url}/search, which is another host; if it is intended, give "
        f"--allow-host {place}"
    )
    assert not other.asked
    assert len(server.asked) == 2


ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "https://another.example/search",
    "file:///etc/passwd",
    "ftp://127.0.0.1/search",
]


@pytest.mark.parametrize("href", [*ELSEWHERE, "/etc/passwd"])
def test_next_links_to_elsewhere_are_refused_at_once(href: str) -> None:
    with (
        catalogue(lambda *_: page_of("a", next_link(href))) as server,
        pytest.raises(FormatError, match=f"links to {href}, which is") as said,
    ):
        search(server.url, Query())
    assert said.value.exit_code == 2
    assert server.url in str(said.value)
    assert len(server.asked) == 2


@pytest.mark.parametrize("href", ELSEWHERE)
def test_search_links_to_elsewhere_are_refused_at_once(href: str) -> None:
    landing = StacServer([], "http://unused").landing()
    link = {"rel": "search", "href": href, "method": "POST", "type": "application/geo+json"}
    landing["links"] = [link]
    with (
        catalogue(landing=landing) as server,
        pytest.raises(FormatError, match=f"links to {href}, which is"),
    ):
        search(server.url, Query())
    assert len(server.asked) == 1


def test_a_host_that_the_user_allows_is_followed() -> None:
    with bystander() as other, catalogue(lambda *_: page_of("a", next_link(other.url))) as server:
        reach = reach_of(server.url, [other.url.removeprefix("http://")])
        assert {item.id for item in search(server.url, Query(), reach=reach)} == {"a", "stolen"}


def test_a_redirect_to_another_host_is_not_followed() -> None:
    with (
        bystander() as other,
        catalogue(lambda *_: redirect(f"{other.url}/x?key=open-sesame", 307)) as server,
        pytest.raises(FormatError, match=r"leads to .* another host.* --allow-host") as said,
    ):
        search(server.url, Query())
    assert not other.asked
    assert "open-sesame" not in str(said.value)


def test_a_landing_page_that_redirects_elsewhere_is_not_followed() -> None:
    with (
        bystander() as other,
        catalogue(landing=redirect(other.url)) as server,
        pytest.raises(FormatError, match="leads to"),
    ):
        search(server.url, Query())
    assert not other.asked


def test_the_password_of_the_catalogue_goes_to_its_own_port_only() -> None:
    with (
        bystander("127.0.0.1") as other,
        catalogue(lambda *_: page_of("a", next_link(other.url))) as server,
    ):
        url = server.url.replace("://", "://user:open-sesame@")
        search(url, Query(), reach=reach_of(url, ["127.0.0.1"]))
    assert all("authorization" in asked.headers for asked in server.asked)
    assert not any("authorization" in asked.headers for asked in other.asked)


def test_headers_that_a_link_wants_are_not_sent() -> None:
    link_headers = {"Metadata-Flavor": "Google", "Host": "internal"}

    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        link = next_link(f"{server.url}/search", headers=link_headers, body={"token": number})
        return page_of(f"s{number}", *([link] if number == 1 else []))

    with catalogue(page) as server:
        search(server.url, Query())
    assert "metadata-flavor" not in server.asked[-1].headers
    assert server.asked[-1].headers["host"] == server.url.removeprefix("http://")


def test_a_link_to_be_followed_by_delete_is_refused() -> None:
    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        return page_of("a", {"rel": "next", "href": f"{server.url}/search/1", "method": "DELETE"})

    with catalogue(page) as server, pytest.raises(FormatError, match="DELETE"):
        search(server.url, Query())
    assert all(asked.method != "DELETE" for asked in server.asked)


def test_a_page_token_that_comes_again_ends_the_search() -> None:
    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        return page_of(f"s{number}", next_link(f"{server.url}/search", body={"token": "same"}))

    with catalogue(page) as server, pytest.raises(FormatError, match="links in a circle"):
        search(server.url, Query())
    assert len(server.asked) == 3


def test_a_page_that_comes_again_under_a_new_token_ends_the_search() -> None:
    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        return page_of("same", next_link(f"{server.url}/search", body={"token": number}))

    with (
        catalogue(page) as server,
        pytest.raises(FormatError, match="sending the same page of Items"),
    ):
        search(server.url, Query())
    assert len(server.asked) == 3


def test_pages_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.search.remote.MAX_PAGES", 20)

    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        return page_of(f"s{number}", next_link(f"{server.url}/search", body={"token": number}))

    with (
        catalogue(page) as server,
        pytest.raises(UsageError, match="21 pages and has more; narrow"),
    ):
        search(server.url, Query())
    assert len(server.asked) == 22


def packed(coding: str, pieces: Callable[[], Iterator[bytes]]) -> Reply:
    return Reply(headers={"Content-Encoding": coding}, body=pieces)


def bomb() -> Iterator[bytes]:
    unpacked = gzip.compress(b" " * (8 * MAX_BYTES), compresslevel=1)
    return iter([unpacked])


def deep(levels: int) -> Reply:
    body = b'{"type":"Catalog","links":' + b"[" * levels + b"]" * levels + b"}"
    return Reply(headers={"Content-Length": str(len(body))}, body=lambda: iter([body]))


ANSWERS: dict[str, tuple[Reply, str]] = {
    "gigabytes": (
        Reply(body=lambda: itertools.repeat(b" " * 2**20)),
        "sends more than 64 MiB in one answer",
    ),
    "a gzip bomb": (packed("gzip", bomb), "sends more than 64 MiB in one answer"),
    "gzip in gzip": (packed("gzip, gzip", lambda: iter([b"x"])), "which was not requested"),
    "another packing": (packed("br", lambda: iter([b"x"])), "which was not requested"),
    "gzip that is none": (packed("gzip", lambda: iter([b"no gzip"])), "damaged"),
    "a thousand levels": (deep(300), "nested more than 100 deep"),
    "a million levels": (deep(1_000_000), "lists and objects; the maximum is"),
    "millions of arrays": (
        Reply(body=lambda: iter([b"[" + b"[]," * 5_000_000 + b"[]]"])),
        "lists and objects; the maximum is",
    ),
    "no JSON": (Reply(body=lambda: iter([b"<html>"])), "not answer with a STAC document"),
    "a list": (as_json([]), "not an object"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_no_catalogue_ends_in_one_sentence(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.search.server.WAITS_S", ())
    reply, sentence = ANSWERS[case]
    began = time.monotonic()
    with catalogue(landing=reply) as server, pytest.raises(DeepsaltError, match=sentence) as said:
        search(server.url, Query())
    assert server.url in str(said.value)
    assert "\n" not in str(said.value)
    assert len(server.asked) == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("headers_too", [False, True], ids=["body", "from the first byte"])
def test_an_answer_that_drips_is_given_up_in_time(
    headers_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.search.server.ANSWER_S", 1.0)
    slow = Reply(body=lambda: itertools.repeat(b" "), wait_s=0.2)
    began = time.monotonic()
    with (
        _dripping() if headers_too else catalogue(landing=slow) as server,
        pytest.raises(RunError, match="did not answer within 1 seconds; try again later"),
    ):
        search(server.url, Query())
    assert time.monotonic() - began < 5


@contextmanager
def _dripping() -> Iterator[Hostile]:
    """Serve a status line that never ends, a byte at a time."""
    import socket
    import threading

    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not over.wait(0.2):
                connection.send(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        try:
            yield Hostile(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            over.set()
            thread.join(timeout=5)


def test_a_search_says_how_many_pages_and_items_came() -> None:
    heard: list[tuple[int, int]] = []

    class Listening(Silent):
        def listing(self, pages: int, items: int) -> None:
            heard.append((pages, items))

    def page(server: Hostile, asked: Asked, number: int) -> dict[str, Any]:
        link = next_link(f"{server.url}/search", body={"token": number})
        return page_of(f"s{number}", *([link] if number < 3 else []))

    with catalogue(page) as server:
        search(server.url, Query(), progress=Listening())
    assert heard == [(1, 1), (2, 2), (3, 3)]
