"""Jobs: registering, finding, changing, pausing, deleting."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from hub_ext.bundles import parameters
from hub_ext.jobs import schedule
from hub_ext.jobs.schemas import (
    JobChange,
    JobIn,
    JobOut,
    Page,
    ScheduleIn,
    ScheduleOut,
    VersionState,
)
from hub_ext.jobs.store import new_id, reads
from hub_ext.jobs.store.tables import IS_OPEN, jobs, runs, versions
from hub_ext.jobs.usecases import access, audit, idempotency, lookup, paging, text, views, writes
from hub_ext.jobs.usecases.base import UseCases
from hub_ext.names import Principal, Project


class JobCases(UseCases):
    """What may be asked of jobs."""

    def preview(self, wanted: ScheduleIn) -> ScheduleOut:
        """What a schedule means and its next three times; nothing is stored.

        Raises:
            Invalid: with ``field`` ``schedule.cron`` or ``schedule.timezone``.
        """
        understood = schedule.parse(wanted.cron, wanted.timezone)
        return views.schedule_out(understood.cron, understood.timezone, self._clock())

    def create_job(
        self, principal: Principal, wanted: JobIn, *, idempotency_key: str | None = None
    ) -> JobOut:
        """Register a job with its first version, and start the test run.

        Raises:
            Invalid: something of ``wanted`` does not make sense; nothing was stored.
            NameTaken: its ``job_id`` is the job that has the name.
            Forbidden: the principal may not submit to this project.
        """
        key = idempotency.checked(idempotency_key)
        project = lookup.project_of(principal, wanted.project)
        access.require_submit(principal, project)
        name = text.name(wanted.name)
        description = text.prose(wanted.description, "description")
        notebook_path = text.path(wanted.notebook_path, "notebook_path")
        when = text.when(wanted.schedule)
        now = self._clock()
        with self._database.writing() as connection:
            known = idempotency.recall(connection, principal, "create_job", key, wanted)
            if known is None:
                declared = lookup.declared_by(connection, principal, wanted.bundle)
                given = parameters.resolve(views.declared_of(declared), wanted.parameters)
                lookup.require_free_name(connection, project, name)
                known = new_id()
                connection.execute(
                    insert(jobs).values(
                        id=known,
                        project=project.slug,
                        name=name,
                        description=description,
                        notebook_path=notebook_path,
                        created_at=now,
                        created_by=str(principal),
                        paused=False,
                        cron=when and when.cron,
                        timezone=when and when.timezone,
                        parameters=given,
                        next_due=when and schedule.next_after(when, now),
                    )
                )
                audit.record(
                    connection,
                    now,
                    principal,
                    "job.registered",
                    job=known,
                    name=name,
                    project=project.slug,
                    bundle=wanted.bundle,
                )
                writes.insert_version(
                    connection,
                    principal,
                    known,
                    1,
                    bundle=wanted.bundle,
                    declared=declared,
                    reason="",
                    test_parameters=given,
                    run_now=wanted.run_now,
                    now=now,
                )
                idempotency.remember(connection, principal, "create_job", key, wanted, known, now)
            result = self._job_out(connection, known)
        self._changed()
        return result

    def list_jobs(
        self,
        principal: Principal,
        *,
        project: str | None = None,
        name: str | None = None,
        notebook_path: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[JobOut]:
        """The jobs of the principal's projects that are not archived, newest first."""
        slugs = [known.slug for known in access.readable(principal)]
        wanted = select(jobs).where(
            jobs.c.archived_at.is_(None),
            jobs.c.project.in_([slug for slug in slugs if project is None or slug == project]),
        )
        if name is not None:
            wanted = wanted.where(jobs.c.name == name)
        if notebook_path is not None:
            wanted = wanted.where(jobs.c.notebook_path == notebook_path)
        limit, before = paging.checked(limit, cursor)
        with self._database.reading() as connection:
            rows, more = reads.page(connection, wanted, jobs.c.id, before=before, limit=limit)
            items = views.jobs_out(connection, rows, self._clock())
        return Page(items=items, next=rows[-1].id if more else None)

    def get_job(self, principal: Principal, job_id: str) -> JobOut:
        """One job, archived or not."""
        with self._database.reading() as connection:
            lookup.visible_job(connection, principal, job_id)
            return self._job_out(connection, job_id)

    def change_job(self, principal: Principal, job_id: str, change: JobChange) -> JobOut:
        """Change what is set in ``change``; the rest stays as it is.

        Parameters are those of the active version, or of the newest where
        none is active. A schedule or parameters that a version brings along
        and that are changed here before it is activated stay as set here.
        """
        given = change.model_fields_set
        now = self._clock()
        values: dict[str, Any] = {}
        withdrawn: dict[str, Any] = {}
        if "name" in given:
            values["name"] = text.name(change.name or "")
        if "description" in given:
            values["description"] = text.prose(change.description or "", "description")
        if "schedule" in given:
            when = text.when(change.schedule)
            values |= {"cron": when and when.cron, "timezone": when and when.timezone}
            withdrawn |= {"cron": None, "timezone": None}
        with self._database.writing() as connection:
            job = lookup.managed_job(connection, principal, job_id, "change this job")
            if "name" in values and values["name"] != job.name:
                lookup.require_free_name(connection, Project(job.project), values["name"])
            if "schedule" in given and not job.paused:
                values["next_due"] = when and schedule.next_after(when, now)
            if "parameters" in given:
                version = lookup.current_version(connection, job)
                values["parameters"] = parameters.resolve(
                    views.declared_of(version.declared), change.parameters or {}
                )
                if version.number == job.active_version:
                    withdrawn["parameters"] = None
                else:
                    withdrawn["parameters"] = values["parameters"]
            if values:
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
                audit.record(
                    connection,
                    now,
                    principal,
                    "job.changed",
                    job=job_id,
                    changed=change.model_dump(mode="json", include=given),
                )
            if withdrawn:
                connection.execute(
                    update(versions)
                    .where(
                        versions.c.job_id == job_id, versions.c.state == VersionState.DRAFT.value
                    )
                    .values(**withdrawn)
                )
            result = self._job_out(connection, job_id)
        self._changed()
        return result

    def delete_job(self, principal: Principal, job_id: str) -> None:
        """Archive a job: it runs no more, its name is free, its history is kept."""
        now = self._clock()
        with self._database.writing() as connection:
            job = lookup.visible_job(connection, principal, job_id)
            if job.archived_at is not None:
                return
            lookup.require_manage(principal, job, "delete this job")
            connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(archived_at=now, next_due=None)
            )
            audit.record(connection, now, principal, "job.archived", job=job_id, name=job.name)
            unfinished = select(runs).where(runs.c.job_id == job_id, IS_OPEN)
            for run in connection.execute(unfinished).all():
                writes.cancel(connection, principal, run, now)
        self._changed()

    def pause(self, principal: Principal, job_id: str) -> JobOut:
        """No ticks until `resume`; runs that were asked for by hand go on."""
        return self._set_paused(principal, job_id, True)

    def resume(self, principal: Principal, job_id: str) -> JobOut:
        """From the next tick on; those of the pause are not made up for."""
        return self._set_paused(principal, job_id, False)

    def _set_paused(self, principal: Principal, job_id: str, paused: bool) -> JobOut:
        now = self._clock()
        with self._database.writing() as connection:
            what = "pause this job" if paused else "resume this job"
            job = lookup.managed_job(connection, principal, job_id, what)
            if job.paused != paused:
                due = None
                if not paused and job.cron:
                    due = schedule.next_after(schedule.parse(job.cron, job.timezone), now)
                connection.execute(
                    update(jobs).where(jobs.c.id == job_id).values(paused=paused, next_due=due)
                )
                action = "job.paused" if paused else "job.resumed"
                audit.record(connection, now, principal, action, job=job_id)
            result = self._job_out(connection, job_id)
        self._changed()
        return result
