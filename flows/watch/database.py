"""The database of a service: SQLite for one machine, PostgreSQL for many.

Each table lies in the module of what it holds; all are created when a database is opened. What the
database says is turned into one sentence, without the password of its URL.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.types import TypeDecorator

from deepsalt.errors import RunError, UsageError

URL_VARIABLE = "DEEPSALT_LEDGER"
"""Environment variable with the URL of the database."""

_SECRET = frozenset({"password", "sslpassword"})  # parameters of PostgreSQL's URLs
_DEFAULT = "~/deepsalt/service/ledger.sqlite"
_BUSY_S = 30
_CONNECT_S = 10

LAYOUT = 4
"""Layout of the tables; raised when a column changes."""

tables = MetaData()
"""All tables; a module with one registers it here."""


_layouts = Table("deepsalt_layout", tables, Column("layout", Integer, primary_key=True))


class Moment(TypeDecorator[datetime]):
    """A moment in UTC; SQLite has none with a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what is stored: the moment in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def database_url(text: str | None = None) -> str:
    """Return the URL of the database: a given one, that of the environment, or a file at home.

    A URL that is given lies in parameters that others read, so it must have no password: the
    database's own ways (``PGPASSWORD``, ``~/.pgpass``) or the environment have it.

    Raises
    ------
    UsageError
        A given URL has a password.
    """
    if text:
        parsed = _parsed(text)
        if parsed.password or _SECRET & parsed.query.keys():
            raise UsageError(
                "the URL of a ledger has a password, which all who see the run could read; "
                f"give it as PGPASSWORD, in ~/.pgpass, or the whole URL as {URL_VARIABLE}"
            )
        return text
    found = os.environ.get(URL_VARIABLE)
    if found:
        return found
    file = Path(_DEFAULT).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{file}"


def url_for_runs(text: str | None = None) -> str | None:
    """Return the URL that runs get as a parameter; None if their own environment has to name it.

    A URL of the environment may have a password, and parameters are seen by many.

    Raises
    ------
    UsageError
        A given URL has a password.
    """
    is_ours = not text and URL_VARIABLE in os.environ
    return None if is_ours else database_url(text)


class Database:
    """An open database; a context manager.

    Parameters
    ----------
    url
        ``sqlite:///path`` or ``postgresql://user@host/database``.

    Raises
    ------
    UsageError
        The URL is of another kind.
    RunError
        The database cannot be reached, or another version of deepsalt made it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        with self.explained():
            tables.create_all(self._engine)
        with self.writing() as connection:
            found = connection.execute(select(_layouts.c.layout)).scalars().all()
            if not found:
                new = insert_of(connection)(_layouts).values(layout=LAYOUT)
                connection.execute(new.on_conflict_do_nothing())
        if found not in ([], [LAYOUT]):
            raise RunError(
                f"the ledger {self.name} was made by another version of deepsalt; delete "
                "its tables, whose names begin with deepsalt_: nothing is mapped twice without "
                "them, but costs, alerts and proposals are lost"
            )

    @property
    def name(self) -> str:
        """Its URL without password and parameters."""
        return self._engine.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to read from."""
        with self.explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed at the end."""
        with self.explained(), self._engine.begin() as connection:
            yield connection

    def upsert(
        self,
        table: Table,
        keys: dict[str, Any],
        values: dict[str, Any],
        *,
        at_first: dict[str, Any] | None = None,
    ) -> None:
        """Write a row, over one that has the same keys; `at_first` holds for a new one only."""
        with self.writing() as connection:
            insert = insert_of(connection)(table).values(**keys, **values, **(at_first or {}))
            connection.execute(insert.on_conflict_do_update(index_elements=[*keys], set_=values))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the database says into one sentence, without the password in its URL.

        Raises
        ------
        RunError
            The database cannot be reached or used.
        """
        try:
            yield
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise RunError(
                f"the ledger {self.name} cannot be reached ({reason}); start its database and try "
                "again"
            ) from None
        except SQLAlchemyError as error:
            raise RunError(
                f"the ledger {self.name} cannot be used ({type(error).__name__})"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()


def insert_of(connection: Connection) -> Any:
    """Return the insert of this database that knows `ON CONFLICT`."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _engine(url: str) -> Engine:
    parsed = _parsed(url)
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": _CONNECT_S},
        )
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_S})

    def prepare(connection: Any, _: object) -> None:
        # Readers do not wait for the writer, and a killed process leaves a sound file.
        connection.execute("PRAGMA journal_mode=WAL")

    event.listen(engine, "connect", prepare)
    return engine


def _parsed(url: str) -> URL:
    what = "a ledger is sqlite:///path or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # or a port that is no number
        raise UsageError(f"{what}; this URL is neither") from None
    if parsed.drivername not in {"postgresql", "sqlite"}:
        raise UsageError(f"{what}; found {parsed.drivername}://")
    return parsed
