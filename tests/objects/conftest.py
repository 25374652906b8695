"""Stores of each kind, and an environment in which nobody is known to any cloud."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deepsalt.objects import Objects, bucket
from deepsalt.objects.connection import connect
from tests.objects.loopback import Loopback, serving
from tests.servers.clouds import forget_users
from tests.servers.s3 import secret_of, serving_s3

RIGHTS = {
    "admin": ("Admin", "Read", "Write", "List", "Tagging"),
    "reader": ("Read:salt", "List:salt"),
    "writer": ("Write:salt",),
    "lister": ("List:salt",),
}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_users(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again after milliseconds, on connections of this test alone."""
    monkeypatch.setattr(bucket, "WAIT_S", 0.01)
    monkeypatch.setattr(connect, "FIRST_WAIT", timedelta(milliseconds=10))


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with serving() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt", RIGHTS) as url:
        yield url


def become(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """Ask as one of `RIGHTS`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of(name))


@pytest.fixture(
    params=["file", "memory", "s3 on loopback", pytest.param("s3", marks=pytest.mark.slow)]
)
def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Objects:
    """An empty store."""
    if request.param == "file":
        return Objects.of(tmp_path / "store")
    if request.param == "memory":
        return Objects.of(f"memory://{tmp_path.name}")
    if request.param == "s3":
        become(monkeypatch, "admin", request.getfixturevalue("seaweed"))
    else:
        request.getfixturevalue("loopback")
    return Objects.of(f"s3://salt/{tmp_path.name}/store")
