"""Transactions on the job service's database, and bringing it up to date."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from hub_ext.errors import PublicError, Unavailable

BUSY_SECONDS = 15
_WRITE = "almanac_write"
MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Database:
    """The database of one job service; safe to use from several threads.

    `reading` sees one consistent state. `writing` takes the write lock at its
    beginning (``BEGIN IMMEDIATE``), so that what it reads stays true until it
    has written: two services that decide on the same tick take turns.

    Args:
        url: SQLAlchemy's address of the database, ``sqlite:////path/jobs.sqlite``.
    """

    def __init__(self, url: str):
        self.url = make_url(url)
        self.engine: Engine = _engine(self.url)

    @classmethod
    def at(cls, path: Path) -> Database:
        """The SQLite database in this file."""
        return cls(f"sqlite:///{path}")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with _explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with _explained(), _writing(self.engine) as connection:
            yield connection

    def upgrade(self) -> None:
        """Bring the tables up to date; of several processes one does it, the others wait.

        Raises:
            PublicError: a newer Almanac made this database.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        # Without foreign keys: on SQLite a migration may have to replace a table.
        engine = _engine(self.url, foreign_keys=False)
        with self._alone(), _writing(engine) as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                newest = ScriptDirectory.from_config(config).get_current_head()
                raise PublicError(
                    f"The job database was made by another Almanac: {error}.",
                    mend=f"Start the newer Almanac, or restore a backup (this one knows {newest}).",
                ) from error
        engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A lock that is held by one process at a time and goes with its holder."""
        if self.url.database and self.engine.dialect.name == "sqlite":
            with Path(f"{self.url.database}.upgrading").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        else:
            yield

    def close(self) -> None:
        self.engine.dispose()


def insert_once(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert a row unless one with the same unique key is there; tells whether it did."""
    if connection.dialect.name == "postgresql":
        result = connection.execute(
            postgresql.insert(table).values(**values).on_conflict_do_nothing()
        )
    else:
        result = connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())
    return bool(result.rowcount)


def _engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    engine = create_engine(url, pool_size=20, max_overflow=20)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # Transactions are begun by us alone, below: the module's own way
        # begins them late and never as IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            # With WAL a power cut may lose the last commits, never the
            # consistency; a killed process loses nothing.
            "synchronous = NORMAL",
            f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        connection = connection.execution_options(**{_WRITE: True})
        with connection.begin():
            yield connection


@contextmanager
def _explained() -> Iterator[None]:
    """A database that is locked or gone is a part that does not answer, not a bug."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise Unavailable(
                "The disk of the job database is full.",
                mend="Whoever runs Almanac has to make room; what is due then runs.",
            ) from error
        raise Unavailable(
            "The job database does not answer.", mend="Try again in a moment."
        ) from error
