"""What a request names, found for the principal who names it.

Each function reads in the caller's transaction. What is not there and what the
principal may not see are refused in the same words.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from hub_ext.errors import Invalid
from hub_ext.jobs.schemas import UNFINISHED
from hub_ext.jobs.store import reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import bundles, uploads
from hub_ext.jobs.usecases import access
from hub_ext.jobs.usecases.refusals import Archived, NameTaken
from hub_ext.names import Principal, Project, Right, RunKey


def project_of(principal: Principal, slug: str | None) -> Project:
    """The project that ``slug`` names; without one, the principal's own."""
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


def declared_by(connection: Connection, principal: Principal, sha256: str) -> Any:
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


def require_free_name(connection: Connection, project: Project, name: str) -> None:
    """Raises `NameTaken` where a job of the project has the name."""
    taken = reads.job_called(connection, project.slug, name)
    if taken is not None:
        raise NameTaken(
            f"There is a job called {name!r} in {project.spoken} already.",
            mend="Choose another name, or add a version to that job.",
            field="name",
            job_id=taken.id,
        )


def visible_job(connection: Connection, principal: Principal, job_id: str) -> AnyRow:
    """A job that the principal may read, archived or not."""
    access.require(Right.READ, principal)
    job = reads.job(connection, job_id)
    if job is None or not access.may_read(principal, Project(job.project)):
        raise access.no_job(job_id)
    return job


def managed_job(connection: Connection, principal: Principal, job_id: str, what: str) -> AnyRow:
    """A job that the principal may change; ``what`` completes "You may not …"."""
    job = visible_job(connection, principal, job_id)
    require_manage(principal, job, what)
    require_live(job)
    return job


def require_manage(principal: Principal, job: AnyRow, what: str) -> None:
    access.require_manage(principal, Project(job.project), job.created_by, what)


def require_live(job: AnyRow) -> None:
    if job.archived_at is not None:
        raise Archived(
            f"The job {job.name!r} was deleted.", mend="Register the notebook as a new job."
        )


def visible_run(connection: Connection, principal: Principal, run_id: str) -> AnyRow:
    """A run of a job that the principal may read."""
    access.require(Right.READ, principal)
    run = reads.run(connection, run_id)
    if run is None or not access.may_read(principal, Project(run.project)):
        raise access.no_run(run_id)
    return run


def current_version(connection: Connection, job: AnyRow) -> AnyRow:
    """The active version; where there is none, the newest."""
    row = (
        reads.version(connection, job.id, job.active_version)
        if job.active_version is not None
        else reads.latest_version(connection, job.id)
    )
    assert row is not None
    return row


def test_goes_on(connection: Connection, version: AnyRow) -> bool:
    """Whether the test run of the version has not finished."""
    test = reads.run_of_trigger(connection, version.job_id, str(RunKey.test(version.number)))
    return test is not None and test.state in UNFINISHED
