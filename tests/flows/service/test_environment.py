"""What the processes of a service inherit, and what they do not."""

from pathlib import Path

import pytest

from flows.service.config import ServiceConfig
from flows.service.environment import PASSWORD_VARIABLE, environment


def test_the_database_of_another_server_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://other/db")
    found = environment(ServiceConfig(folder=tmp_path))
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in found


def test_the_clients_of_a_server_with_a_password_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "admin:word")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "of:another")
    found = environment(ServiceConfig(folder=tmp_path))
    assert found["PREFECT_API_AUTH_STRING"] == found[PASSWORD_VARIABLE] == "admin:word"


def test_the_server_takes_the_tls_of_a_databases_url_from_variables(tmp_path: Path) -> None:
    url = "postgresql://u@db.example.org/salt?sslmode=verify-full&sslrootcert=/ca.pem&host=/run"
    found = environment(ServiceConfig(folder=tmp_path, database=url))
    told = found["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert told == "postgresql+asyncpg://u@db.example.org/salt?host=%2Frun"
    assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", "/ca.pem")
