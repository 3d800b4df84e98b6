"""What people, servers and runs may ask for."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from hub_ext.bundles import parameters
from hub_ext.errors import Conflict, Invalid, NotFound
from hub_ext.jobs import place, schedule
from hub_ext.jobs.schemas import (
    BundleOut,
    EventOut,
    JobChange,
    JobIn,
    JobOut,
    MeOut,
    Page,
    ProjectOut,
    RunIn,
    RunOut,
    RunState,
    ScheduleIn,
    ScheduleOut,
    TokenOut,
    VersionIn,
    VersionOut,
    VersionState,
)
from hub_ext.jobs.store import Database, insert_once, new_id, reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import bundles, jobs, run_tokens, runs, uploads, versions
from hub_ext.jobs.usecases import access, audit, events, idempotency, intake, text, tokens, views
from hub_ext.jobs.usecases.ports import Clock, Credentials, Objects, Options, Spools
from hub_ext.names import Principal, PrincipalKind, Project, Right, Role, RunKey

LARGEST_PAGE = 200
LOG_BYTES = 1 << 20
ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED)


class NameTaken(Conflict):
    """Another job of the project has this name; ``job_id`` tells which."""

    code = "job-name-taken"


class NotActive(Conflict):
    """The job has no version that may run."""

    code = "not-active"


class Archived(Conflict):
    """The job was deleted; only its history is left."""

    code = "job-archived"


@dataclass(frozen=True)
class RunFile:
    """A file of a run, read as it is sent."""

    name: str
    size: int
    media_type: str
    chunks: Iterator[bytes]


class Jobs:
    """The use cases. Sync, safe to call from several threads; raises `PublicError`s alone.

    Args:
        database: brought up to date.
        objects: the platform's bucket.
        clock: gives the time now, with a time zone.
        spools: attempts that still run.
        credentials: issues credentials for the object store.
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
        options: Options = Options(),  # noqa: B008 - frozen
        changed: Callable[[], None] = lambda: None,
    ):
        self._database = database
        self._objects = objects
        self._clock = clock
        self._spools = spools
        self._credentials = credentials
        self._options = options
        self._changed = changed

    # -- who

    def me(self, principal: Principal) -> MeOut:
        """Who the principal is, and where it may act."""
        return MeOut(
            name=principal.name,
            kind=principal.kind,
            projects=[
                ProjectOut(
                    slug=project.slug,
                    title=self._options.titles.get(project.slug, ""),
                    roles=sorted(principal.roles(project)),
                    personal=project.personal,
                )
                for project in sorted(principal.projects)
            ],
            rights=sorted(principal.rights),
        )

    def may_manage(self, principal: Principal, job: JobOut) -> bool:
        """Whether changing, pausing, cancelling and deleting will be allowed."""
        return not job.archived and access.may_manage(
            principal, Project(job.project), job.created_by
        )

    def may_submit(self, principal: Principal, job: JobOut) -> bool:
        """Whether asking for a run will be allowed."""
        return not job.archived and access.may_submit(principal, Project(job.project))

    # -- schedules and bundles

    def preview(self, wanted: ScheduleIn) -> ScheduleOut:
        """What a schedule means and its next three times; nothing is stored.

        Raises:
            Invalid: with ``field`` ``schedule.cron`` or ``schedule.timezone``.
        """
        understood = schedule.parse(wanted.cron, wanted.timezone)
        return views.schedule_out(understood.cron, understood.timezone, self._clock())

    def accept_bundle(self, principal: Principal, path: Path) -> BundleOut:
        """Check an uploaded bundle again, and keep it.

        Raises:
            BundleRefused: it is not in order.
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
        audit.told("bundle.accepted", bundle=accepted.sha256, size=accepted.size, by=principal)
        return BundleOut(sha256=accepted.sha256, size=accepted.size, created=created)

    # -- jobs

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
        project = self._project(principal, wanted.project)
        access.require_submit(principal, project)
        name = text.name(wanted.name)
        description = text.prose(wanted.description, "description")
        notebook_path = text.path(wanted.notebook_path, "notebook_path")
        when = _schedule(wanted.schedule)
        now = self._clock()
        with self._database.writing() as connection:
            known = idempotency.recall(connection, principal, "create_job", key, wanted)
            if known is None:
                declared = self._declared(connection, principal, wanted.bundle)
                given = parameters.resolve(views.declared_of(declared), wanted.parameters)
                self._check_name(connection, project, name)
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
                self._insert_version(
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
        limit, before = _paging(limit, cursor)
        with self._database.reading() as connection:
            rows, more = reads.page(connection, wanted, jobs.c.id, before=before, limit=limit)
            items = views.jobs_out(connection, rows, self._clock())
        return Page(items=items, next=rows[-1].id if more else None)

    def get_job(self, principal: Principal, job_id: str) -> JobOut:
        """One job, archived or not."""
        with self._database.reading() as connection:
            self._visible_job(connection, principal, job_id)
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
            when = _schedule(change.schedule)
            values |= {"cron": when and when.cron, "timezone": when and when.timezone}
            withdrawn |= {"cron": None, "timezone": None}
        with self._database.writing() as connection:
            job = self._managed_job(connection, principal, job_id, "change this job")
            if "name" in values and values["name"] != job.name:
                self._check_name(connection, Project(job.project), values["name"])
            if "schedule" in given and not job.paused:
                values["next_due"] = when and schedule.next_after(when, now)
            if "parameters" in given:
                version = self._current_version(connection, job)
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
            job = self._visible_job(connection, principal, job_id)
            if job.archived_at is not None:
                return
            self._require_manage(principal, job, "delete this job")
            connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(archived_at=now, next_due=None)
            )
            audit.record(connection, now, principal, "job.archived", job=job_id, name=job.name)
            going = select(runs).where(
                runs.c.job_id == job_id,
                runs.c.state.in_((RunState.QUEUED.value, RunState.RUNNING.value)),
            )
            for run in connection.execute(going).all():
                self._cancel(connection, principal, run, now)
        self._changed()

    def pause(self, principal: Principal, job_id: str) -> JobOut:
        """No ticks until `resume`; runs that were asked for by hand go on."""
        return self._set_paused(principal, job_id, True)

    def resume(self, principal: Principal, job_id: str) -> JobOut:
        """From the next tick on; those of the pause are not made up for."""
        return self._set_paused(principal, job_id, False)

    # -- versions

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
        when = _schedule(wanted.schedule)
        if wanted.notebook_path is not None:
            text.path(wanted.notebook_path, "notebook_path")
        now = self._clock()
        with self._database.writing() as connection:
            job = self._managed_job(connection, principal, job_id, "add a version to this job")
            if idempotency.recall(connection, principal, operation, key, wanted) is None:
                declared = self._declared(connection, principal, wanted.bundle)
                known = views.declared_of(declared)
                given = None
                if wanted.parameters is not None:
                    given = parameters.resolve(known, wanted.parameters)
                # Those of the job have to fit the new notebook as well.
                effective = parameters.resolve(known, job.parameters) if given is None else given
                latest = reads.latest_version(connection, job_id)
                assert latest is not None
                number = latest.number + 1
                self._insert_version(
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
            raise _bad_cursor()
        limit, _ = _paging(limit, None)
        with self._database.reading() as connection:
            self._visible_job(connection, principal, job_id)
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

    # -- runs

    def run_now(
        self,
        principal: Principal,
        job_id: str,
        wanted: RunIn,
        *,
        idempotency_key: str | None = None,
    ) -> RunOut:
        """Ask for a run of the active version, or of the newest once its test has succeeded.

        Raises:
            NotActive: there is no active version and no test to wait for.
            Invalid: a parameter that the notebook does not have.
        """
        key = idempotency.checked(idempotency_key)
        trigger = RunKey.manual(key or secrets.token_hex(16))
        now = self._clock()
        with self._database.writing() as connection:
            job = self._visible_job(connection, principal, job_id)
            access.require_submit(principal, Project(job.project))
            self._require_live(job)
            version = self._current_version(connection, job)
            given = parameters.resolve(
                views.declared_of(version.declared), job.parameters, wanted.parameters
            )
            known = reads.run_of_trigger(connection, job_id, str(trigger))
            if known is not None:
                if known.requested_by != str(principal) or known.parameters != given:
                    raise idempotency.reused()
                return views.runs_out(connection, [known])[0]
            if job.active_version is None and not self._test_open(connection, version):
                raise NotActive(
                    f"The job {job.name!r} has no version that may run: the test run of version "
                    f"{version.number} did not succeed.",
                    mend="Mend the notebook and add a version.",
                )
            run_id = self._insert_run(
                connection, principal, job_id, version.number, trigger, given, now
            )
            result = self._run_out(connection, run_id)
        self._changed()
        return result

    def list_runs(
        self, principal: Principal, job_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[RunOut]:
        """The runs of a job, newest first."""
        limit, before = _paging(limit, cursor)
        with self._database.reading() as connection:
            self._visible_job(connection, principal, job_id)
            rows, more = reads.page(
                connection,
                reads.run_select().where(runs.c.job_id == job_id),
                runs.c.id,
                before=before,
                limit=limit,
            )
            items = views.runs_out(connection, rows)
        return Page(items=items, next=rows[-1].id if more else None)

    def get_run(self, principal: Principal, run_id: str) -> RunOut:
        with self._database.reading() as connection:
            self._visible_run(connection, principal, run_id)
            return self._run_out(connection, run_id)

    def cancel_run(self, principal: Principal, run_id: str) -> RunOut:
        """End a run: at once where it waits, else its runner is asked to save and stop.

        Raises:
            Conflict: it has ended already, code ``run-ended``.
        """
        now = self._clock()
        with self._database.writing() as connection:
            run = self._visible_run(connection, principal, run_id)
            if run.requested_by != str(principal) or Right.SUBMIT not in principal.rights:
                access.require_manage(
                    principal, Project(run.project), run.job_created_by, "cancel this run"
                )
            if run.state not in (RunState.CANCELLED, *_GOING):
                ended = Conflict(
                    f"The run has ended already: {run.state}.", mend="Nothing is left to cancel."
                )
                ended.code = "run-ended"
                raise ended
            if run.state != RunState.CANCELLED and run.cancel_requested_by is None:
                self._cancel(connection, principal, run, now)
            result = self._run_out(connection, run_id)
        self._changed()
        return result

    def list_events(
        self, principal: Principal, run_id: str, *, after: int = 0, limit: int = LARGEST_PAGE
    ) -> Page[EventOut]:
        """The events of the run's newest attempt with ``seq > after``, in order.

        ``next`` is null where there are no more for now: ask again later with
        the last ``seq`` as ``after`` while the run goes on.
        """
        limit, _ = _paging(limit, None)
        lines = events.lines(self._chunks_of(principal, run_id, "events.jsonl"))
        return events.page(lines, after=after, limit=limit)

    def run_log(self, principal: Principal, run_id: str) -> str:
        """What the runner printed, newest 1 MiB; for finding faults of the platform."""
        with self._database.reading() as connection:
            run = self._visible_run(connection, principal, run_id)
            attempts = reads.attempts_of(connection, [run_id])[run_id]
        if run.published is None:
            return self._spools.logs(attempts[-1].backend_ref) if attempts else ""
        tail: deque[bytes] = deque()
        size = 0
        for chunk in self._chunks_of(principal, run_id, "runner.log"):
            tail.append(chunk)
            size += len(chunk)
            while size - len(tail[0]) >= LOG_BYTES:
                size -= len(tail.popleft())
        return b"".join(tail)[-LOG_BYTES:].decode(errors="replace")

    def open_file(self, principal: Principal, run_id: str, name: str) -> RunFile:
        """One of the files that `RunOut.files` names."""
        with self._database.reading() as connection:
            run = self._visible_run(connection, principal, run_id)
        for file in run.files or []:
            if file["name"] == name and run.published is not None:
                key = place.attempt_prefix(run_id, run.published) + name
                return RunFile(
                    name=name,
                    size=file["size"],
                    media_type=views.media_type(name),
                    chunks=iter(self._objects.stream(key)),
                )
        raise NotFound(f"The run has no file {name[:200]!r}.")

    # -- run tokens and credentials

    def lookup_run_token(self, token: str) -> Principal | None:
        """The run that a token stands for, while it goes on; None for any other token."""
        if not token.startswith(tokens.PREFIX):
            return None
        with self._database.reading() as connection:
            row = connection.execute(
                reads.run_select()
                .join(run_tokens, run_tokens.c.run_id == runs.c.id)
                .where(
                    run_tokens.c.sha256 == tokens.digest(token),
                    runs.c.state == RunState.RUNNING.value,
                )
            ).one_or_none()
        if row is None:
            return None
        return Principal(
            kind=PrincipalKind.RUN,
            name=row.id,
            projects={Project(row.project): frozenset({Role.MEMBER})},
            rights=frozenset({Right.READ}),
        )

    def introspect(self, principal: Principal, token: str) -> TokenOut:
        """What a run token stands for; for services that runs talk to.

        Whoever asks has the token already, so nothing is told to a stranger.
        """
        run = self.lookup_run_token(token)
        if run is None:
            return TokenOut(active=False)
        with self._database.reading() as connection:
            row = reads.run(connection, run.name)
        assert row is not None
        return TokenOut(active=True, run=row.id, job=row.job_id, project=row.project)

    def credentials(self, principal: Principal) -> dict[str, Any]:
        """Credentials for the object store, as SDKs ask for them.

        A person reads and writes the own home and the projects; a run those
        of its project alone. A credential without the right to submit reads.
        """
        access.require(Right.READ, principal)
        prefixes = [project.prefix for project in sorted(principal.projects)]
        writes = principal.kind is PrincipalKind.RUN or Right.SUBMIT in principal.rights
        return self._credentials(
            read=prefixes, write=prefixes if writes else [], name=str(principal)
        )

    # -- inside

    def _project(self, principal: Principal, slug: str | None) -> Project:
        if slug is None:
            own = access.own_project(principal)
            if own is None:
                raise Invalid("No project is named.", mend="Name one.", field="project")
            return own
        for project in principal.projects:
            if project.slug == slug:
                return project
        known = ", ".join(sorted(project.slug for project in principal.projects))
        raise Invalid(
            f"You do not belong to a project called {slug[:60]!r}.",
            mend=f"Choose one of yours: {known}." if known else "Ask an owner to let you in.",
            field="project",
        )

    def _declared(self, connection: Connection, principal: Principal, sha256: str) -> Any:
        """The parameters that a bundle declares, if the principal has uploaded it."""
        row = connection.execute(
            select(bundles.c.manifest)
            .join(uploads, uploads.c.sha256 == bundles.c.sha256)
            .where(bundles.c.sha256 == sha256, uploads.c.uploaded_by == str(principal))
        ).one_or_none()
        if row is None:
            raise Invalid(
                f"There is no bundle {sha256[:64]!r} of yours.",
                mend="Upload it first.",
                field="bundle",
            )
        return row.manifest["parameters"]

    def _check_name(self, connection: Connection, project: Project, name: str) -> None:
        taken = reads.job_called(connection, project.slug, name)
        if taken is not None:
            raise NameTaken(
                f"The project {project.slug!r} has a job called {name!r} already.",
                mend="Choose another name, or add a version to that job.",
                field="name",
                job_id=taken.id,
            )

    def _insert_version(
        self,
        connection: Connection,
        principal: Principal,
        job_id: str,
        number: int,
        *,
        bundle: str,
        declared: Any,
        reason: str,
        test_parameters: Mapping[str, Any],
        run_now: bool,
        now: datetime,
        **pending: Any,
    ) -> None:
        connection.execute(
            insert(versions).values(
                job_id=job_id,
                number=number,
                bundle_sha256=bundle,
                state=VersionState.DRAFT.value,
                created_at=now,
                created_by=str(principal),
                reason=reason,
                declared=declared,
                **pending,
            )
        )
        audit.record(
            connection, now, principal, "version.added", job=job_id, version=number, bundle=bundle
        )
        triggers = [RunKey.test(number)]
        if run_now:
            triggers.append(RunKey.manual(f"version-{number}-{secrets.token_hex(8)}"))
        for trigger in triggers:
            self._insert_run(connection, principal, job_id, number, trigger, test_parameters, now)

    def _insert_run(
        self,
        connection: Connection,
        principal: Principal,
        job_id: str,
        version: int,
        trigger: RunKey,
        given: Mapping[str, Any],
        now: datetime,
    ) -> str:
        run_id = new_id()
        connection.execute(
            insert(runs).values(
                id=run_id,
                job_id=job_id,
                version=version,
                trigger_key=str(trigger),
                requested_by=str(principal),
                state=RunState.QUEUED.value,
                parameters=dict(given),
                created_at=now,
            )
        )
        audit.record(
            connection, now, principal, "run.queued", job=job_id, run=run_id, trigger=str(trigger)
        )
        return run_id

    def _cancel(
        self, connection: Connection, principal: Principal, run: AnyRow, now: datetime
    ) -> None:
        values: dict[str, Any] = {"cancel_requested_by": str(principal)}
        if run.state == RunState.QUEUED:
            values |= {
                "state": RunState.CANCELLED.value,
                "finished_at": now,
                "reason": f"cancelled by {principal.name}",
            }
        connection.execute(update(runs).where(runs.c.id == run.id).values(**values))
        audit.record(connection, now, principal, "run.cancelled", job=run.job_id, run=run.id)

    def _set_paused(self, principal: Principal, job_id: str, paused: bool) -> JobOut:
        now = self._clock()
        with self._database.writing() as connection:
            what = "pause this job" if paused else "resume this job"
            job = self._managed_job(connection, principal, job_id, what)
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

    def _current_version(self, connection: Connection, job: AnyRow) -> AnyRow:
        """The active version; where there is none, the newest."""
        row = (
            reads.version(connection, job.id, job.active_version)
            if job.active_version is not None
            else reads.latest_version(connection, job.id)
        )
        assert row is not None
        return row

    def _test_open(self, connection: Connection, version: AnyRow) -> bool:
        test = reads.run_of_trigger(connection, version.job_id, str(RunKey.test(version.number)))
        return test is not None and test.state in _GOING

    def _visible_job(self, connection: Connection, principal: Principal, job_id: str) -> AnyRow:
        access.require(Right.READ, principal)
        job = reads.job(connection, job_id)
        if job is None or not access.may_read(principal, Project(job.project)):
            raise access.no_job(job_id)
        return job

    def _managed_job(
        self, connection: Connection, principal: Principal, job_id: str, what: str
    ) -> AnyRow:
        job = self._visible_job(connection, principal, job_id)
        self._require_manage(principal, job, what)
        self._require_live(job)
        return job

    def _require_manage(self, principal: Principal, job: AnyRow, what: str) -> None:
        access.require_manage(principal, Project(job.project), job.created_by, what)

    def _require_live(self, job: AnyRow) -> None:
        if job.archived_at is not None:
            raise Archived(
                f"The job {job.name!r} was deleted.", mend="Register the notebook as a new job."
            )

    def _visible_run(self, connection: Connection, principal: Principal, run_id: str) -> AnyRow:
        access.require(Right.READ, principal)
        run = reads.run(connection, run_id)
        if run is None or not access.may_read(principal, Project(run.project)):
            raise access.no_run(run_id)
        return run

    def _job_out(self, connection: Connection, job_id: str) -> JobOut:
        row = reads.job(connection, job_id)
        assert row is not None
        return views.jobs_out(connection, [row], self._clock())[0]

    def _run_out(self, connection: Connection, run_id: str) -> RunOut:
        row = reads.run(connection, run_id)
        assert row is not None
        return views.runs_out(connection, [row])[0]

    def _chunks_of(self, principal: Principal, run_id: str, name: str) -> Iterator[bytes]:
        """A file of the run's newest attempt, wherever it lies now; empty where it has none."""
        with self._database.reading() as connection:
            run = self._visible_run(connection, principal, run_id)
            attempts = reads.attempts_of(connection, [run_id])[run_id]
        if run.published is not None:
            try:
                yield from self._objects.stream(place.attempt_prefix(run_id, run.published) + name)
            except NotFound:
                return
        elif attempts and (folder := self._spools.folder(attempts[-1].backend_ref)):
            try:
                with (folder / name).open("rb") as file:
                    while chunk := file.read(1 << 16):
                        yield chunk
            except OSError:
                return


_GOING = (RunState.QUEUED, RunState.RUNNING)


def _schedule(wanted: ScheduleIn | None) -> schedule.Schedule | None:
    return schedule.parse(wanted.cron, wanted.timezone) if wanted else None


def _paging(limit: int, cursor: str | None) -> tuple[int, str | None]:
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(
            f"A page cannot have {limit} entries.",
            mend=f"Ask for 1 to {LARGEST_PAGE}.",
            field="limit",
        )
    if cursor is not None and not (0 < len(cursor) <= 64 and cursor.isascii() and cursor.isalnum()):
        raise _bad_cursor()
    return limit, cursor


def _bad_cursor() -> Invalid:
    return Invalid(
        "The cursor is not one of this list.",
        mend="Send the `next` of the page before, or none.",
        field="cursor",
    )
