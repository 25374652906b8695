"""Empty places of each kind, and an environment in which one user is known to one server."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.clouds import forget_users
from tests.servers.s3 import secret_of, serving_s3

USER = "keeper-of-salt"
RIGHTS = {USER: ("Admin", "Read", "Write", "List", "Tagging")}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt", RIGHTS) as url:
        yield url


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_users(monkeypatch, tmp_path)


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of each kind."""
    return place_of(request.param, request, tmp_path)


@pytest.fixture(params=["folder", "s3"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of each kind that several processes can share."""
    return place_of(request.param, request, tmp_path)


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place_of("s3", request, tmp_path)


def place_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "folder":
        return str(tmp_path / "store")
    if kind == "memory":
        return f"memory://{secrets.token_hex(8)}"
    environment = request.getfixturevalue("monkeypatch")
    environment.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
    environment.setenv("AWS_ACCESS_KEY_ID", USER)
    environment.setenv("AWS_SECRET_ACCESS_KEY", secret_of(USER))
    return f"s3://salt/{secrets.token_hex(8)}"
