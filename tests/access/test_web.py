"""Hops between loopback servers: what is followed, what is sent, and to which address."""

import asyncio
from ipaddress import ip_address

import pytest

from deepsalt.access.reach import Address, Reach
from deepsalt.access.web import MAX_HOPS, RefusedError, Web, WebError
from tests.servers.hostile import Asked, Hostile, Reply, hostile_server, redirect

LOOPBACK = Reach(frozenset({"loopback"}))


def get(
    url: str, reach: Reach = LOOPBACK, method: str = "GET", **options: object
) -> tuple[int, str]:
    """Ask once; returns the status and where the answer came from."""

    async def ask() -> tuple[int, str]:
        async with (
            Web(reach, **options) as web,  # type: ignore[arg-type]
            web.ask(method, url, {}, b"{}" if method == "POST" else None) as answer,
        ):
            return answer.status, answer.url

    return asyncio.run(ask())


def fine(server: Hostile, asked: Asked) -> Reply:
    return Reply(headers={"Content-Length": "0"})


def test_a_redirect_to_another_host_is_followed_where_it_may_go() -> None:
    with (
        hostile_server(fine, "127.0.0.2") as second,
        hostile_server(lambda s, a: redirect(f"{second.url}/file")) as first,
    ):
        assert get(first.url) == (200, f"{second.url}/file")


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_redirect_to_a_private_address_sends_nothing_there(host: str) -> None:
    with (
        hostile_server(fine, host) as inside,
        hostile_server(lambda s, a: redirect(f"{inside.url}/admin?key=open-sesame")) as public,
    ):
        allowed = Reach(hosts=frozenset({public.url.removeprefix("http://")}))
        with pytest.raises(RefusedError, match=r"lies on .* \(loopback\).*--allow-host") as said:
            get(public.url, allowed)
    assert not inside.asked
    assert "open-sesame" not in str(said.value)


@pytest.mark.parametrize(
    "form", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
)
def test_other_spellings_of_an_address_are_judged_as_it(form: str) -> None:
    with hostile_server(fine) as inside, pytest.raises(RefusedError, match="which lies on"):
        get(f"http://{form}:{inside.url.rpartition(':')[2]}/", Reach())
    assert not inside.asked


def test_a_name_is_judged_by_the_address_that_is_connected_to() -> None:
    with hostile_server(fine) as inside:
        url = f"http://metadata.google.internal:{inside.url.rpartition(':')[2]}/"
        with pytest.raises(RefusedError, match="loopback"):
            get(url, Reach(), addresses=lambda host, port: [ip_address("127.0.0.1")])
    assert not inside.asked


def test_a_name_that_moves_between_two_questions_is_not_followed() -> None:
    answers: list[list[Address]] = [[ip_address("127.0.0.1")], [ip_address("93.184.216.34")]]
    reach = Reach(frozenset({"loopback"}), home="stac.example")

    async def twice(url: str) -> None:
        for _ in range(2):  # each with a connection of its own
            async with (
                Web(reach, addresses=lambda host, port: answers.pop(0)) as web,
                web.ask("GET", url) as answer,
            ):
                assert answer.status == 200

    with hostile_server(fine) as server, pytest.raises(RefusedError, match="than before"):
        asyncio.run(twice(f"http://stac.example:{server.url.rpartition(':')[2]}/"))
    assert len(server.asked) == 1


def test_of_several_addresses_only_the_admitted_ones_are_tried() -> None:
    reach = Reach(frozenset({"127.0.0.2"}))
    both: list[Address] = [ip_address("127.0.0.1"), ip_address("127.0.0.2")]
    with hostile_server(fine) as inside:
        url = f"http://files.example:{inside.url.rpartition(':')[2]}/"
        with pytest.raises(WebError):  # nobody listens at the other one
            get(url, reach, addresses=lambda host, port: both)
    assert not inside.asked


def test_redirects_without_end_are_given_up() -> None:
    with (
        hostile_server(lambda s, a: redirect(f"{s.url}{a.path}x")) as server,
        pytest.raises(RefusedError, match=f"after {MAX_HOPS} redirects"),
    ):
        get(server.url)
    assert len(server.asked) == MAX_HOPS + 1


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[::1"])
def test_a_redirect_to_what_is_no_web_server_is_refused(to: str) -> None:
    with (
        hostile_server(lambda s, a: redirect(to)) as server,
        pytest.raises(RefusedError, match="not the address of a web server"),
    ):
        get(server.url)


@pytest.mark.parametrize(
    "url",
    [
        "http://public.example\\@127.0.0.1/",
        "http://127.0.0.1\\.public.example/",
        "http://public.example /",
        "http://a@b@public.example/",
        "http://public.example;127.0.0.1/",
    ],
)
def test_a_host_that_libraries_read_differently_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match="not the address of a web server"):
        get(url)


def test_credentials_go_to_their_own_host_only() -> None:
    with (
        hostile_server(fine, "127.0.0.2") as second,
        hostile_server(
            lambda s, a: redirect("/again" if a.path == "/" else f"{second.url}/")
        ) as first,
    ):
        get(first.url.replace("://", "://user:open-sesame@"))
    assert [asked.headers.get("authorization") for asked in first.asked] == [
        "Basic dXNlcjpvcGVuLXNlc2FtZQ=="
    ] * 2
    assert "authorization" not in second.asked[0].headers


@pytest.mark.parametrize(
    ("status", "method"), [(301, "POST"), (302, "POST"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_a_redirected_search_keeps_its_body(status: int, method: str) -> None:
    with hostile_server(
        lambda s, a: redirect("/there", status) if a.path == "/" else fine(s, a)
    ) as server:
        get(server.url + "/", method="POST")
    assert server.asked[1].method == method
    assert server.asked[1].body == (b"{}" if method == "POST" else b"")


def test_a_proxy_of_the_environment_is_used_but_not_for_private_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hostile_server(fine) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert get("http://unknown.invalid/file", Reach())[0] == 200
        with pytest.raises(RefusedError, match="which lies on"):
            get("http://169.254.169.254/latest", Reach())
    assert [asked.path for asked in proxy.asked] == ["http://unknown.invalid/file"]
