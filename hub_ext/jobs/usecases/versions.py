"""Bundles, and the versions of jobs that are made of them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from hub_ext.bundles import parameters
from hub_ext.jobs import place
from hub_ext.jobs.schemas import BundleOut, JobOut, Page, VersionIn, VersionOut
from hub_ext.jobs.store import insert_once, reads
from hub_ext.jobs.store.tables import bundles, uploads, versions
from hub_ext.jobs.usecases import (
    access,
    audit,
    idempotency,
    intake,
    lookup,
    paging,
    text,
    views,
    writes,
)
from hub_ext.jobs.usecases.base import UseCases
from hub_ext.names import Principal, Right


class VersionCases(UseCases):
    """What may be asked of bundles and versions."""

    def accept_bundle(self, principal: Principal, path: Path) -> BundleOut:
        """Check an uploaded bundle again, and keep it.

        Raises:
            BundleRefused: it is not in order.
            ChecksFailed: its notebook cannot go into production.
        """
        access.require(Right.SUBMIT, principal)
        accepted = intake.inspect(path, self._options.bundle_limits)
        with self._database.reading() as connection:
            known = connection.execute(
                select(bundles.c.sha256).where(bundles.c.sha256 == accepted.sha256)
            ).first()
        key = place.bundle_key(accepted.sha256)
        if known is None or not self._objects.exists(key):
            # The store first: a bundle that the database knows is there.
            self._objects.put_file(key, path)
        now = self._clock()
        with self._database.writing() as connection:
            created = insert_once(
                connection,
                bundles,
                sha256=accepted.sha256,
                size=accepted.size,
                manifest=accepted.manifest,
                created_at=now,
            )
            insert_once(
                connection,
                uploads,
                sha256=accepted.sha256,
                uploaded_by=str(principal),
                created_at=now,
            )
        audit.log_transition(
            "bundle.accepted", bundle=accepted.sha256, size=accepted.size, by=principal
        )
        return BundleOut(sha256=accepted.sha256, size=accepted.size, created=created)

    def add_version(
        self,
        principal: Principal,
        job_id: str,
        wanted: VersionIn,
        *,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """Register a version and start its test run; until that succeeds the old one is active."""
        key = idempotency.checked(idempotency_key)
        operation = f"add_version {job_id[:60]}"
        reason = text.prose(wanted.reason, "reason")
        when = text.when(wanted.schedule)
        if wanted.notebook_path is not None:
            text.path(wanted.notebook_path, "notebook_path")
        now = self._clock()
        with self._database.writing() as connection:
            job = lookup.managed_job(connection, principal, job_id, "add a version to this job")
            if idempotency.recall(connection, principal, operation, key, wanted) is None:
                declared = lookup.declared_by(connection, principal, wanted.bundle)
                known = views.declared_of(declared)
                given = None
                if wanted.parameters is not None:
                    given = parameters.resolve(known, wanted.parameters)
                # Those of the job have to fit the new notebook as well.
                effective = parameters.resolve(known, job.parameters) if given is None else given
                latest = reads.latest_version(connection, job_id)
                assert latest is not None
                number = latest.number + 1
                writes.insert_version(
                    connection,
                    principal,
                    job_id,
                    number,
                    bundle=wanted.bundle,
                    declared=declared,
                    reason=reason,
                    test_parameters=effective,
                    run_now=wanted.run_now,
                    now=now,
                    parameters=given,
                    notebook_path=wanted.notebook_path,
                    cron=when and when.cron,
                    timezone=when and when.timezone,
                )
                idempotency.remember(
                    connection, principal, operation, key, wanted, str(number), now
                )
            result = self._job_out(connection, job_id)
        self._changed()
        return result

    def list_versions(
        self, principal: Principal, job_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[VersionOut]:
        """The versions of a job, newest first."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise paging.unknown_cursor()
        limit, _ = paging.checked(limit, None)
        with self._database.reading() as connection:
            lookup.visible_job(connection, principal, job_id)
            rows, more = reads.page(
                connection,
                select(versions).where(versions.c.job_id == job_id),
                versions.c.number,
                before=int(cursor) if cursor else None,
                limit=limit,
            )
        return Page(
            items=[views.version_out(row) for row in rows],
            next=str(rows[-1].number) if more else None,
        )
