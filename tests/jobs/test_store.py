"""The database: migrations, transactions, ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError
from together import together

from hub_ext.errors import PublicError, Unavailable
from hub_ext.jobs.store import Database, insert_once, new_id
from hub_ext.jobs.store import database as database_module
from hub_ext.jobs.store.tables import IS_OPEN, bundles, metadata, runs, uploads

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)


def a_bundle(sha256: str = "a" * 64) -> dict[str, object]:
    return {"sha256": sha256, "size": 1, "manifest": {}, "created_at": NOW}


def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(insert(bundles).values(**a_bundle()))
    database.upgrade()
    with database.reading() as connection:
        assert len(connection.execute(select(bundles)).all()) == 1


def test_several_may_upgrade_at_once(tmp_path: Path) -> None:
    made = [Database.at(tmp_path / "jobs.sqlite") for _ in range(4)]
    together(Database.upgrade, made)
    for one in made:
        one.close()


def test_a_database_of_a_newer_almanac_is_refused_in_words(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(PublicError, match="another Almanac") as caught:
        database.upgrade()
    assert "backup" in caught.value.mend


def test_sqlite_keeps_foreign_keys_and_a_write_ahead_log(database: Database) -> None:
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(
            insert(uploads).values(sha256="b" * 64, uploaded_by="user:ana", created_at=NOW)
        )


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.writing() as connection:
            connection.execute(insert(bundles).values(**a_bundle()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.reading() as connection:
        assert connection.execute(select(bundles)).all() == []


def test_instants_come_back_as_utc_whatever_zone_they_had(database: Database) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    with database.writing() as connection:
        connection.execute(insert(bundles).values(**a_bundle() | {"created_at": east}))
    with database.reading() as connection:
        found = connection.execute(select(bundles.c.created_at)).scalar_one()
    assert found == NOW
    assert found.tzinfo is UTC


def test_insert_once_inserts_once(database: Database) -> None:
    with database.writing() as connection:
        assert insert_once(connection, bundles, **a_bundle())
        assert not insert_once(connection, bundles, **a_bundle())


def test_a_locked_database_is_unavailable_and_not_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)
    made = Database.at(tmp_path / "jobs.sqlite")
    made.upgrade()
    with made.writing(), pytest.raises(Unavailable, match="does not answer"), made.writing():
        pass
    made.close()


def test_a_full_disk_is_said_to_be_full_and_passes(database: Database) -> None:
    with database.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def fill() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE ballast AS SELECT zeroblob(1 << 20) AS b")

    # The limit belongs to a connection: all of the pool's are the one.
    with database.engine.connect() as connection:
        connection.connection.cursor().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="disk of the job database is full"):
        fill()
    with database.engine.connect() as connection:
        connection.connection.cursor().execute("PRAGMA max_page_count = 4294967294")
    fill()


def test_ids_increase_within_a_millisecond() -> None:
    made = [new_id() for _ in range(2000)]
    assert made == sorted(set(made))
    assert all(len(one) == 26 and one.isalnum() and one.islower() for one in made)


def test_looking_for_what_has_not_ended_does_not_read_every_run(database: Database) -> None:
    with database.reading() as connection:
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN {select(runs.c.id).where(IS_OPEN)}"))
        assert "ix_runs_open" in str(plan.all())
