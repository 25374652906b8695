import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.s3 import serving_s3


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt") as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place on a real S3 server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any-secret")
    return f"s3://salt/{secrets.token_hex(8)}"


@pytest.fixture(params=["memory", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of the kinds that need no server."""
    return f"memory://{secrets.token_hex(8)}" if request.param == "memory" else f"{tmp_path}/store"
