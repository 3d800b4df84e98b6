"""What the storage's housekeeper has removed, in the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import func, select

from hub_ext.jobs.store import Database
from hub_ext.jobs.store.tables import audit as audit_table
from hub_ext.jobs.usecases import audit
from hub_ext.jobs.usecases.ports import Clock
from hub_ext.names import Principal, PrincipalKind

ACTION = "storage.swept"
SERVICE = Principal(kind=PrincipalKind.SERVICE, name="jobs")


class Swept(Protocol):
    """`hub_ext.storage.retention.Swept`."""

    versions: int
    size: int
    uploads: int
    failed: int


class Sweeps:
    """When the last sweep was, and what it did; one row each."""

    def __init__(self, database: Database, clock: Clock):
        self._database = database
        self._clock = clock

    def last(self) -> datetime | None:
        with self._database.reading() as connection:
            found: datetime | None = connection.scalar(
                select(func.max(audit_table.c.at)).where(audit_table.c.action == ACTION)
            )
        return found

    def record(self, swept: Swept) -> None:
        with self._database.writing() as connection:
            audit.record(
                connection,
                self._clock(),
                SERVICE,
                ACTION,
                versions=swept.versions,
                bytes=swept.size,
                uploads=swept.uploads,
                failed=swept.failed,
            )
