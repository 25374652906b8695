"""A database says in one sentence what is wrong, and never its password."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from deepsalt.errors import RunError, UsageError
from flows.watch.database import URL_VARIABLE, Database, database_url


def test_a_database_of_another_layout_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    with Database(url):
        pass
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update deepsalt_layout set layout = 0"))
    engine.dispose()
    with pytest.raises(RunError, match="made by another version of deepsalt"):
        Database(url)
    with engine.connect() as connection:  # and that version can go on with it
        assert connection.execute(text("select layout from deepsalt_layout")).scalars().all() == [0]
    engine.dispose()


@pytest.mark.parametrize("url", ["me:open-sesame@host/db", "me@host/db?password=open-sesame"])
def test_a_password_in_a_parameter_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        database_url(f"postgresql://{url}")
    assert "open-sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("me:open-sesame@127.0.0.1:1/db", r"me:\*\*\*@127.0.0.1:1/db"),
        ("me@127.0.0.1:1/db?password=open-sesame", "me@127.0.0.1:1/db"),
    ],
)
def test_a_server_that_is_away_is_named_without_the_password(url: str, name: str) -> None:
    with pytest.raises(RunError, match=f"{name} cannot be reached") as refused:
        Database(f"postgresql://{url}")
    assert "open-sesame" not in str(refused.value)


def test_the_environment_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///elsewhere.sqlite")
    assert database_url() == "sqlite:///elsewhere.sqlite"


@pytest.mark.parametrize(
    "url",
    ["mysql://host/db", "nonsense", "postgresql://host:port/db", "postgresql+asyncpg://host/db"],
)
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="a ledger is sqlite:///path or postgresql://"):
        Database(url)
