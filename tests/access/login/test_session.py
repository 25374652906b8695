"""Logins of one process: shared, renewed where it helps, and not where it does not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepsalt.errors import AwayError, ReadError
from tests.access.login.fetching import NAME, chain_of, fetch, write_secret
from tests.servers.archive import archive
from tests.servers.hostile import Reply, hostile_server, redirect


def test_threads_with_loops_of_their_own_share_one_login(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("form", root) as server, ThreadPoolExecutor(4) as threads:
        write_secret(config, server)
        href = f"{server.files}/{NAME}"
        found = list(threads.map(lambda n: fetch(href, tmp_path / str(n)), range(4)))
    assert found == [(root / NAME).read_bytes()] * 4
    assert server.logins == 1


@pytest.mark.parametrize(("kind", "most"), [("basic", 0), ("form", 4), ("earthdata", 4)])
def test_a_file_that_the_user_may_not_have_does_not_make_a_login_each_time(
    kind: str, most: int, root: Path, config: Path, tmp_path: Path
) -> None:
    (root / "area" / "other.tif").write_bytes(b"x" * 1000)
    with archive(kind, root, forbidden="other.tif") as server:
        write_secret(config, server)
        for _ in range(8):
            with pytest.raises(ReadError, match="is refused"):
                fetch(f"{server.files}/area/other.tif", tmp_path / "out")
        if kind != "basic":  # which shows its password each time
            assert server.logins <= most
        found = fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert found == (root / NAME).read_bytes()
    assert not server.refused


def test_a_password_does_not_follow_a_redirect_to_another_host(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSALT_STAC_USER", "ada")
    monkeypatch.setenv("DEEPSALT_STAC_PASSWORD", "open-sesame")
    with (
        hostile_server(lambda s, a: Reply(404, {"Content-Length": "0"}), "127.0.0.2") as other,
        hostile_server(lambda s, a: redirect(f"{other.url}/file")) as server,
    ):
        monkeypatch.setenv("DEEPSALT_STAC_HOSTS", server.url)
        with pytest.raises(ReadError, match="is gone"):
            fetch(f"{server.url}/file", tmp_path / "out")
    assert all("authorization" in asked.headers for asked in server.asked)
    assert other.asked
    assert not any("authorization" in asked.headers for asked in other.asked)


def test_a_damaged_cookie_of_a_server_is_not_quoted(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSALT_STAC_TOKEN", "x")
    with hostile_server(lambda s, a: Reply(200, {"Set Cookie": "s=open-sesame"})) as server:
        monkeypatch.setenv("DEEPSALT_STAC_HOSTS", server.url)
        with pytest.raises(AwayError, match="illegal header line") as said:
            fetch(f"{server.url}/file", tmp_path / "out")
    assert not [each for each in chain_of(said.value) if "sesame" in f"{each} {each!r}"]
