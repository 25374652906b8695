"""An S3 server for exports, and an environment in which its user is known."""

from collections.abc import Iterator

import pytest

from tests.servers.s3 import secret_of, serving_s3

USER = "exporter"


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    rights = {USER: ("Admin", "Read", "Write", "List", "Tagging")}
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt", rights) as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of(USER))
    return "s3://salt"
