"""Items that name what they should not, and file servers that lead there."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from deepsalt.access import Reach
from deepsalt.errors import AwayError, ReadError
from deepsalt.fetch import Patience
from deepsalt.fetch.objects import Session
from deepsalt.scenes.geotiff import open_raster
from deepsalt.types import Acquisition, Asset
from flows.run.memory import worker_memory
from tests.catalog.scenes import acquisition
from tests.servers.hostile import Asked, Hostile, Reply, hostile_server, redirect

HASTY = Patience(tries=3, budget=12, first_wait_s=0.01, longest_wait_s=0.05, silence_s=1.0)
BODY = b"II*\x00" + bytes(996)


def files(server: Hostile, asked: Asked) -> Reply:
    """Answer ranges of one file, wherever it is asked for."""
    first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
    part = BODY[int(first) : int(last) + 1]
    sent = {
        "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(BODY)}",
        "Content-Length": str(len(part)),
    }
    return Reply(206, sent, lambda: iter([part]))


def fetch(href: str, target: Path, reach: Reach) -> bytes:
    async def work() -> None:
        async with Session(HASTY, reach) as session:
            asset = Asset("image", href)
            await session.download(asset, await session.describe(asset), target)

    asyncio.run(work())
    return target.read_bytes()


def open_to(*servers: Hostile) -> Reach:
    """Return the reach of a public catalogue whose user allowed these servers."""
    return Reach(hosts=frozenset(server.url.removeprefix("http://") for server in servers))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_an_item_of_a_public_catalogue_does_not_send_us_to_this_machine(
    host: str, tmp_path: Path
) -> None:
    with hostile_server(files, host) as inside, pytest.raises(ReadError) as said:
        fetch(f"{inside.url}/image.tif?key=open-sesame", tmp_path / "out", Reach())
    assert not isinstance(said.value, AwayError)
    assert f"(loopback); if it is intended, give --allow-host {inside.url[7:]}" in str(said.value)
    assert "open-sesame" not in str(said.value)
    assert not inside.asked


@pytest.mark.parametrize(
    "href",
    [
        "http://169.254.169.254/latest/meta-data/iam",
        "http://[fd00:ec2::254]/latest",
        "http://[::ffff:10.0.0.1]/x",
        "http://[2002:a00:1::1]/x",
        "http://[64:ff9b::10.0.0.1]/x",
        "http://10.0.0.1:6443/api",
        "http://0.0.0.0:80/",
        "http://224.0.0.1/",
    ],
)
def test_an_item_of_a_public_catalogue_does_not_send_us_inside(href: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"leads to .*which lies on "):
        fetch(href, tmp_path / "out", Reach())


def test_a_catalogue_on_this_machine_names_servers_on_it(tmp_path: Path) -> None:
    with hostile_server(files, "127.0.0.2") as server:
        reach = Reach(frozenset({"loopback"}))
        assert fetch(f"{server.url}/image.tif", tmp_path / "out", reach) == BODY


def test_a_file_may_be_redirected_to_another_public_host(tmp_path: Path) -> None:
    with (
        hostile_server(files, "127.0.0.2") as bucket,
        hostile_server(lambda s, a: redirect(f"{bucket.url}/image.tif?signature=x")) as server,
    ):
        assert fetch(server.url, tmp_path / "out", open_to(server, bucket)) == BODY


@pytest.mark.parametrize("at", [0, 1], ids=["size", "bytes"])
def test_a_file_server_does_not_redirect_us_to_this_machine(at: int, tmp_path: Path) -> None:
    def answer(server: Hostile, asked: Asked) -> Reply:
        honest = len(server.asked) <= at
        return files(server, asked) if honest else redirect(f"{inside.url}/admin")

    with (
        hostile_server(files, "127.0.0.2") as inside,
        hostile_server(answer) as server,
        pytest.raises(ReadError, match=r"leads to http://127\.0\.0\.2.* --allow-host"),
    ):
        fetch(f"{server.url}/image.tif", tmp_path / "out", open_to(server))
    assert not inside.asked
    assert len(server.asked) == at + 1


def test_credentials_in_an_href_do_not_follow_a_redirect(tmp_path: Path) -> None:
    with (
        hostile_server(files, "127.0.0.2") as other,
        hostile_server(lambda s, a: redirect(f"{other.url}/image.tif")) as server,
    ):
        href = server.url.replace("://", "://user:open-sesame@")
        fetch(href, tmp_path / "out", open_to(server, other))
    assert all("authorization" in asked.headers for asked in server.asked)
    assert not any("authorization" in asked.headers for asked in other.asked)


def test_more_bytes_than_were_asked_for_are_not_written(tmp_path: Path) -> None:
    def generous(server: Hostile, asked: Asked) -> Reply:
        honest = files(server, asked)
        sent = {"Content-Range": honest.headers["Content-Range"]}
        return Reply(206, sent, lambda: iter([BODY + bytes(10**6)]))

    with hostile_server(generous) as server:
        assert len(fetch(server.url, tmp_path / "out", open_to(server))) == len(BODY)


def test_a_file_of_no_stated_size_is_refused(tmp_path: Path) -> None:
    with (
        hostile_server(lambda s, a: Reply(body=lambda: iter([BODY]))) as server,
        pytest.raises(ReadError, match="without its size"),
    ):
        fetch(server.url, tmp_path / "out", open_to(server))


@pytest.mark.parametrize(
    "href",
    [
        "s3://127.0.0.1:9000/bucket/image.tif",
        "s3://key:secret@bucket/image.tif",
        "s3://bucket:80/image.tif",
        "gs://evil.example:443/image.tif",
        "s3:///image.tif",
        "abfss://container@evil.dfs.core.windows.net/image.tif",
        "abfss://container@ours.evil.example/image.tif",
        "az://container@169.254.169.254/image.tif",
    ],
)
def test_an_item_does_not_choose_the_server_of_a_bucket(
    href: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    with pytest.raises(ReadError, match="it names a server") as said:
        fetch(href, tmp_path / "out", Reach())
    assert "secret" not in str(said.value)


def scene_at(*hrefs: str) -> Acquisition:
    assets = tuple(Asset(f"file-{number}", href) for number, href in enumerate(hrefs))
    return dataclasses.replace(acquisition(), assets=assets)


def test_gdal_never_talks_to_a_web_server() -> None:
    """It would follow a redirect that only it is sent, and nobody would look where to."""
    with (
        hostile_server(files) as server,
        pytest.raises(ReadError, match="is a remote file"),
    ):
        open_raster(f"{server.url}/a.tif")
    assert not server.asked


def test_memory_is_predicted_without_asking_a_server() -> None:
    with hostile_server(files) as server:
        scene = dataclasses.replace(scene_at(f"{server.url}/a.tif"), block_shape=None)
        assert worker_memory([scene], 1) > 0
    assert not server.asked
