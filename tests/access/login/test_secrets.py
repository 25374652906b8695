"""No secret is in anything that a failing run leaves: each output is searched for each of them."""

import base64
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from catalog.items import parse_item
from deepsalt.access.login import Logins, profiles
from deepsalt.errors import DeepsaltError
from tests.access.login.fetching import (
    NAME,
    chain_of,
    everything_in,
    fetch,
    write_private,
    write_profile,
    write_secret,
)
from tests.engines.clusters import ROOT
from tests.flows.conftest import Scenes, deepsalt, remote_items, scenes
from tests.servers.archive import PASSWORD, USER, Archive, archive
from tests.servers.stac import serving

__all__ = ["scenes"]
WRONG = "wrong sesame & c\u00f6"
WAYS = {
    "basic": ["wrong", "forbidden", "gone", "loose"],
    "bearer": ["wrong", "forbidden", "gone", "loose"],
    "form": ["wrong", "forbidden", "expired", "gone", "ill", "policy", "loose"],
    "earthdata": ["wrong", "forbidden", "expired", "gone", "ill", "loose"],
    "signed": ["forbidden", "expired", "gone", "ill"],
}
"""Ways in which a fetch fails, by the kind of login."""


def secrets_of(server: Archive) -> set[bytes]:
    """Return what must not show, in every form in which it is sent."""
    words = {PASSWORD, WRONG, *server.secrets, "token-wrong", "token-0", "token-1"}
    pairs = {f"{USER}:{word}" for word in (PASSWORD, WRONG)}
    forms = [quote, quote_plus, lambda word: base64.b64encode(word.encode()).decode()]
    shown = {form(word) for form in forms for word in words | pairs} | words
    escaped = {json.dumps(word)[1:-1] for word in shown} | {repr(word)[1:-1] for word in shown}
    return {word.encode() for word in shown | escaped}


def assert_no_secret(server: Archive, where: str, text: bytes) -> None:
    found = [word for word in secrets_of(server) if word in text]
    assert not found, f"{where} shows {found}"


def ways_to_fail(server: Archive, config: Path, failure: str) -> None:
    """Prepare an archive and its user so that a run fails in one way."""
    write_secret(config, server, WRONG if failure == "wrong" else PASSWORD)
    if failure == "wrong" and server.kind == "bearer":
        write_private(config / "secrets.toml", '[test]\ntoken = "token-wrong"\n')
    if failure == "forbidden":
        server.forbidden = "scene.tif"
    if failure == "expired":
        server.expire_at = tuple(range(1, 200))
    if failure == "ill":
        server.ill = 10**6
    if failure == "loose" and (config / "secrets.toml").exists():
        (config / "secrets.toml").chmod(0o644)
    server.policy = failure == "policy"


@pytest.mark.parametrize(
    ("kind", "failure"), [(kind, failure) for kind in WAYS for failure in WAYS[kind]]
)
def test_no_exception_log_or_output_of_a_failing_fetch_has_a_secret(
    kind: str,
    failure: str,
    root: Path,
    config: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepsalt.access.login.session.PAUSE_S", 0.0)
    caplog.set_level(logging.DEBUG)
    with archive(kind, root) as server:
        ways_to_fail(server, config, failure)
        name = "area/none.tif" if failure == "gone" else NAME
        with pytest.raises(DeepsaltError) as raised:
            fetch(f"{server.files}/{name}", tmp_path / "out", connections=8)
        assert "\n" not in str(raised.value)
        said = b""
        for each in chain_of(raised.value):
            said += f"{each} {each!r} {each.args} {vars(each)}".encode()
            said += "".join(traceback.format_exception(each)).encode()
        logins = Logins()
        logins.of(f"{server.files}/{name}") if failure != "loose" else None
        said += pickle.dumps(profiles())
        for thing in (logins, profiles()):
            said += repr(thing).encode() + repr(vars(logins)).encode()
        captured = capfd.readouterr()
        said += f"{captured.out}{captured.err}{caplog.text}".encode()
        assert_no_secret(server, failure, said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "failure"),
    [("form", "wrong"), ("form", "expired"), ("earthdata", "wrong"), ("basic", "wrong")],
)
def test_nothing_that_a_failing_run_leaves_has_a_secret(
    kind: str,
    failure: str,
    scenes: Scenes,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_USER", USER)
    monkeypatch.setenv("TEST_PASSWORD", WRONG if failure == "wrong" else PASSWORD)
    with (
        archive(kind, scenes.west.parent) as server,
        serving(remote_items(scenes.all, server.files)) as api,
    ):
        write_profile(config, server)
        if failure == "expired":
            server.expire_at = tuple(range(2, 400, 2))
        command = [sys.executable, "-m", "flows", "--debug", "run", "--catalogue", api.url]
        command += ["--out", str(tmp_path / "store"), "--scratch", str(tmp_path / "scratch")]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=120, env=dict(os.environ)
        )
        assert done.returncode in {1, 3}, done.stderr.decode()
        assert_no_secret(server, "output", done.stdout + done.stderr)
        assert_no_secret(server, "files", everything_in(tmp_path))
        assert b"profile test" in done.stdout + done.stderr
    assert server.refused == (failure == "wrong")


def test_products_items_and_records_of_a_run_that_half_works_have_no_secret(
    scenes: Scenes, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_USER", USER)
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    with (
        archive("form", scenes.west.parent, forbidden=scenes.prisma.name) as server,
        serving(remote_items(scenes.all, server.files)) as api,
    ):
        write_profile(config, server)
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
        assert result.exit_code == 3, result.output
        scene = parse_item(remote_items([scenes.west], server.files)[0])
        assert_no_secret(server, "scene", pickle.dumps(scene))
        assert_no_secret(server, "output", result.output.encode())
        assert_no_secret(server, "store", everything_in(tmp_path / "store"))
        assert (tmp_path / "store" / "scenes").exists()
    assert server.logins >= 1
