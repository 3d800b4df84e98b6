"""What every group of use cases is made with."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from hub_ext.jobs.schemas import JobOut, RunOut
from hub_ext.jobs.store import Database, reads
from hub_ext.jobs.usecases import views
from hub_ext.jobs.usecases.ports import (
    Clock,
    Credentials,
    Links,
    NoSizes,
    Objects,
    Options,
    Sizes,
    Spools,
)


class UseCases:
    """Base of the groups of use cases, which `Jobs` puts together.

    Args:
        database: brought up to date.
        objects: the platform's bucket.
        clock: gives the time now, with a time zone.
        spools: attempts that still run.
        credentials: issues credentials for the object store.
        links: makes share links; None where the store has none.
        sizes: how much the files of users and projects take.
        changed: called after each change that the service's loop should look at.
    """

    def __init__(
        self,
        database: Database,
        *,
        objects: Objects,
        clock: Clock,
        spools: Spools,
        credentials: Credentials,
        links: Links | None = None,
        sizes: Sizes | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
        changed: Callable[[], None] = lambda: None,
    ):
        self._database = database
        self._objects = objects
        self._clock = clock
        self._spools = spools
        self._credentials = credentials
        self._links = links
        self._sizes = sizes or NoSizes()
        self._options = options
        self._changed = changed

    def _job_out(self, connection: Connection, job_id: str) -> JobOut:
        row = reads.job(connection, job_id)
        assert row is not None
        return views.jobs_out(connection, [row], self._clock())[0]

    def _run_out(self, connection: Connection, run_id: str) -> RunOut:
        row = reads.run(connection, run_id)
        assert row is not None
        return views.runs_out(connection, [row])[0]
