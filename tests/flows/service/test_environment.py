"""What the processes of a service inherit, and what they do not."""

from pathlib import Path

import pytest

from flows.service.config import ServiceConfig
from flows.service.environment import environment


def test_the_database_of_another_server_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://other/db")
    found = environment(ServiceConfig(folder=tmp_path))
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in found
