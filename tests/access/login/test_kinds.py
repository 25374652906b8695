"""Each kind of login against an archive that behaves like the real one."""

import itertools
import os
from pathlib import Path

import pytest

from deepsalt.errors import LoginError, ReadError
from tests.access.login.fetching import NAME, fetch, write_private, write_profile, write_secret
from tests.servers.archive import DLR_BYTES, PASSWORD, USER, Archive, archive

KINDS = ["basic", "bearer", "form", "earthdata", "signed"]
LOGGED_IN = ["form", "earthdata", "signed"]
"""Kinds whose credential is got from a server, and got again when it has expired."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsalt.fetch.share.PART_BYTES", 300 * 2**10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_comes_whole_although_connections_drop_and_downloads_are_throttled(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root, drop_bytes=290_000, at_once=3) as server:
        write_secret(config, server)
        found = fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert found == (root / NAME).read_bytes()
    assert server.dropped
    assert server.throttled


@pytest.mark.parametrize("kind", LOGGED_IN)
def test_a_session_that_expires_in_the_middle_is_renewed(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root, drop_bytes=700_000, expire_at=(4, 14)) as server:
        write_secret(config, server)
        found = fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert found == (root / NAME).read_bytes()
    assert not server.expire_at
    assert server.logins == 3
    assert not server.refused


@pytest.mark.parametrize("kind", LOGGED_IN)
def test_eight_ranges_at_a_time_log_in_once(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root) as server:
        write_secret(config, server)
        fetch(f"{server.files}/{NAME}", tmp_path / "out", connections=8, again=4)
        assert server.logins == 1
        server.expire()
        fetch(f"{server.files}/{NAME}", tmp_path / "out", connections=8, again=4)
    assert server.logins == 2


def test_a_token_that_is_renewed_in_its_file_is_read_again(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("bearer", root) as server:
        write_secret(config, server)
        fetch(f"{server.files}/{NAME}", tmp_path / "out")
        server.token = "token-of-tomorrow"
        with pytest.raises(LoginError, match="no longer accepted"):
            fetch(f"{server.files}/{NAME}", tmp_path / "out")
        write_secret(config, server)
        assert fetch(f"{server.files}/{NAME}", tmp_path / "out") == (root / NAME).read_bytes()


def test_an_expired_token_of_earthdata_is_replaced_by_one_for_the_password(
    root: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", "token-of-last-year")
    monkeypatch.setenv("TEST_USER", USER)
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    with archive("earthdata", root) as server:
        write_profile(config, server)
        assert fetch(f"{server.files}/{NAME}", tmp_path / "out") == (root / NAME).read_bytes()
    assert server.logins == 1


@pytest.mark.parametrize("kind", ["basic", "form", "earthdata"])
def test_a_wrong_password_is_one_sentence_and_one_attempt(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root) as server:
        write_secret(config, server, "wrong")
        for _ in range(2):  # the second one is known to fail
            with pytest.raises(LoginError) as said:
                fetch(f"{server.files}/{NAME}", tmp_path / "out", connections=8, again=4)
    assert server.refused == 1
    assert str(said.value).startswith("profile test: the user or password from")
    assert "\n" not in str(said.value)
    assert "TEST_USER and TEST_PASSWORD" in str(said.value)


@pytest.mark.parametrize("kind", ["basic", "bearer", "form", "earthdata"])
def test_a_missing_secret_is_named_by_its_variables(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root) as server:
        write_profile(config, server)
        with pytest.raises(LoginError, match=r"has no secret for it; set TEST_\w+.* or add \[test"):
            fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert not server.refused


def test_a_host_without_a_profile_is_asked_as_before(root: Path, tmp_path: Path) -> None:
    with archive("basic", root) as server, pytest.raises(ReadError, match="HTTP status 401"):
        fetch(f"{server.files}/{NAME}", tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_reach_no_other_host(
    kind: str, root: Path, config: Path, tmp_path: Path
) -> None:
    with archive(kind, root) as server:
        write_secret(config, server)
        fetch(f"{server.files}/{NAME}", tmp_path / "out")
        if kind not in {"signed", "earthdata"}:  # neither tells the file's host what it knows
            assert credentials(server, "files")
    assert not credentials(server, "bucket")
    told = {name for name, _ in credentials(server, "sso")}
    assert told <= ({"authorization"} if kind == "earthdata" else {"cookie"})
    session = [value for name, value in credentials(server, "sso") if "session" in value]
    assert not session


def credentials(server: Archive, host: str) -> set[tuple[str, str]]:
    """Return what a host was shown."""
    headers = itertools.chain.from_iterable(
        each.items() for where, _, each in server.asked if where == host
    )
    return {(name, value) for name, value in headers if name in {"authorization", "cookie"}}


def test_a_host_of_the_same_name_gets_nothing_by_another_port_or_scheme(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("basic", root) as ours, archive("basic", root) as other:
        write_secret(config, ours)
        with pytest.raises(ReadError, match="HTTP status 401"):
            fetch(f"{other.files}/{NAME}", tmp_path / "out")
        (config / "access.toml").write_text(ours.profile.replace("http://", "https://"))
        with pytest.raises(ReadError, match="HTTP status 401"):
            fetch(f"{ours.files}/{NAME}", tmp_path / "out")
    assert not credentials(other, "files") | credentials(ours, "files")


def test_a_policy_is_not_agreed_to_in_the_users_name(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("form", root, policy=True) as server:
        write_secret(config, server)
        with pytest.raises(LoginError, match="accepted the password and wants something else"):
            fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert server.logins == 1


def test_a_login_server_that_is_ill_is_asked_again(
    root: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsalt.access.login.session.PAUSE_S", 0.01)
    with archive("form", root, ill=2) as server:
        write_secret(config, server)
        assert fetch(f"{server.files}/{NAME}", tmp_path / "out") == (root / NAME).read_bytes()
    assert server.logins == 1


def test_a_form_that_sends_the_password_elsewhere_is_not_filled_in(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("form", root) as server:
        write_secret(config, server)
        elsewhere = server.profile.replace(server.sso, "http://127.0.0.4:9")
        (config / "access.toml").write_text(
            elsewhere.replace("hosts = [", f'hosts = ["{server.sso}", ', 1)
        )
        with pytest.raises(LoginError, match="sends the password to"):
            fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert not server.logins


def test_netrc_serves_where_nothing_else_does(root: Path, config: Path, tmp_path: Path) -> None:
    with archive("basic", root) as server:
        server.password = "open-sesame"
        write_profile(config, server)
        entry = f"machine 127.0.0.1 login {USER} password open-sesame\n"
        write_private(config / "netrc", f"{entry}default login x password y\n")
        assert fetch(f"{server.files}/{NAME}", tmp_path / "out") == (root / NAME).read_bytes()


def test_a_signature_of_the_item_that_has_expired_is_replaced(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("signed", root) as server:
        write_secret(config, server)
        href = f"{server.files}/{NAME}?sig={'0' * 24}"
        assert fetch(href, tmp_path / "out") == (root / NAME).read_bytes()
    assert server.logins == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["form", "earthdata"])
def test_a_large_file_comes_whole_over_connections_that_end_at_75_mb(
    kind: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsalt.fetch.share.PART_BYTES", 8 * 2**20)
    (tmp_path / "area").mkdir()
    (tmp_path / NAME).write_bytes(os.urandom(10**6) * 330)
    with archive(kind, tmp_path, drop_bytes=DLR_BYTES, at_once=2, expire_at=(20,)) as server:
        write_secret(config, server)
        found = fetch(f"{server.files}/{NAME}", tmp_path / "out", connections=2)
    assert found == (tmp_path / NAME).read_bytes()
    assert server.dropped >= 3
    assert server.logins == 2
