"""Runs: asking for one, finding, cancelling."""

from __future__ import annotations

import secrets

from hub_ext.bundles import parameters
from hub_ext.errors import Conflict
from hub_ext.jobs.schemas import UNFINISHED, Page, RunIn, RunOut, RunState
from hub_ext.jobs.store import reads
from hub_ext.jobs.store.tables import runs
from hub_ext.jobs.usecases import access, idempotency, lookup, paging, views, writes
from hub_ext.jobs.usecases.base import UseCases
from hub_ext.jobs.usecases.refusals import NotActive
from hub_ext.names import Principal, Project, Right, RunKey


class RunCases(UseCases):
    """What may be asked of runs."""

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
            job = lookup.visible_job(connection, principal, job_id)
            access.require_submit(principal, Project(job.project))
            lookup.require_live(job)
            version = lookup.current_version(connection, job)
            given = parameters.resolve(
                views.declared_of(version.declared), job.parameters, wanted.parameters
            )
            known = reads.run_of_trigger(connection, job_id, str(trigger))
            if known is not None:
                if known.requested_by != str(principal) or known.parameters != given:
                    raise idempotency.reused()
                return views.runs_out(connection, [known])[0]
            if job.active_version is None and not lookup.test_goes_on(connection, version):
                raise NotActive(
                    f"The job {job.name!r} has no version that may run: the test run of version "
                    f"{version.number} did not succeed.",
                    mend="Mend the notebook and add a version.",
                )
            run_id = writes.insert_run(
                connection, principal, job_id, version.number, trigger, given, now
            )
            result = self._run_out(connection, run_id)
        self._changed()
        return result

    def list_runs(
        self, principal: Principal, job_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[RunOut]:
        """The runs of a job, newest first."""
        limit, before = paging.checked(limit, cursor)
        with self._database.reading() as connection:
            lookup.visible_job(connection, principal, job_id)
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
        """One run."""
        with self._database.reading() as connection:
            lookup.visible_run(connection, principal, run_id)
            return self._run_out(connection, run_id)

    def cancel_run(self, principal: Principal, run_id: str) -> RunOut:
        """End a run: at once where it waits, else its runner is asked to save and stop.

        Raises:
            Conflict: it has ended already, code ``run-ended``.
        """
        now = self._clock()
        with self._database.writing() as connection:
            run = lookup.visible_run(connection, principal, run_id)
            if run.requested_by != str(principal) or Right.SUBMIT not in principal.rights:
                access.require_manage(
                    principal, Project(run.project), run.job_created_by, "cancel this run"
                )
            if run.state not in (RunState.CANCELLED, *UNFINISHED):
                ended = Conflict(
                    f"The run has ended already: {run.state}.", mend="Nothing is left to cancel."
                )
                ended.code = "run-ended"
                raise ended
            if run.state != RunState.CANCELLED and run.cancel_requested_by is None:
                writes.cancel(connection, principal, run, now)
            result = self._run_out(connection, run_id)
        self._changed()
        return result
