"""Stores of the kinds that a catalogue lies in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.objects import Objects
from tests.objects.loopback import Loopback, serving
from tests.servers.s3 import serving_s3


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server of objects that remembers what it was asked."""
    with serving() as server:
        _ask(monkeypatch, server.url)
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of objects that others made."""
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt") as url:
        yield url


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Objects:
    """An empty store."""
    if request.param == "file":
        return Objects.of(tmp_path / "store")
    if request.param == "memory":
        return Objects.of(f"memory://{tmp_path.name}")
    _ask(monkeypatch, request.getfixturevalue("seaweed"))
    return Objects.of(f"s3://salt/{tmp_path.name}/store")


def _ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
