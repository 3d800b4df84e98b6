"""Who may do what: pure decisions on a principal, a project and who made a job.

Groups decide, scopes attenuate: a role in the project is needed for
everything, and the credential has to carry the right as well. A member reads
and submits; who registered a job manages it; an owner manages every job of
the project, which takes the right to operate (a user's server never has it).
"""

from __future__ import annotations

from hub_ext.errors import Forbidden, NotFound
from hub_ext.names import Principal, PrincipalKind, Project, Right, Role


def may_read(principal: Principal, project: Project) -> bool:
    return Right.READ in principal.rights and bool(principal.roles(project))


def may_submit(principal: Principal, project: Project) -> bool:
    return may_read(principal, project) and Right.SUBMIT in principal.rights


def may_write_files(principal: Principal, project: Project) -> bool:
    """Whether the principal's credentials for the object store write there.

    A run writes in its own project; its token holds the right to read alone.
    """
    if principal.kind is PrincipalKind.RUN:
        return may_read(principal, project)
    return may_submit(principal, project)


def may_manage(principal: Principal, project: Project, created_by: str) -> bool:
    if may_submit(principal, project) and created_by == str(principal):
        return True
    return (
        may_read(principal, project)
        and Right.OPERATE in principal.rights
        and Role.OWNER in principal.roles(project)
    )


def readable(principal: Principal) -> list[Project]:
    """The projects whose jobs the principal sees.

    Raises:
        Forbidden: the credential does not allow reading at all.
    """
    require(Right.READ, principal)
    return sorted(project for project in principal.projects if may_read(principal, project))


def require(right: Right, principal: Principal) -> None:
    if right not in principal.rights:
        raise Forbidden(
            f"This credential does not allow to {right.rpartition(':')[2]}.",
            mend=f"Use one with the scope `{right}`.",
        )


def require_submit(principal: Principal, project: Project) -> None:
    require(Right.SUBMIT, principal)
    if not may_submit(principal, project):
        raise Forbidden(f"You may not submit to the project {project.slug!r}.")


def require_manage(principal: Principal, project: Project, created_by: str, what: str) -> None:
    if may_manage(principal, project, created_by):
        return
    if created_by == str(principal):
        require(Right.SUBMIT, principal)
    if Role.OWNER in principal.roles(project):
        require(Right.OPERATE, principal)
    raise Forbidden(
        f"You may not {what}: it was registered by {created_by.partition(':')[2]}.",
        mend=f"Ask them, or an owner of the project {project.slug!r}.",
    )


def no_job(job_id: str) -> NotFound:
    """The same words whether it is not there or not to be seen."""
    return NotFound(
        f"There is no job {job_id[:60]!r}.", mend="It may be in a project you are not in."
    )


def no_project(slug: str) -> NotFound:
    return NotFound(
        f"There is no project {slug[:60]!r}.", mend="It may be one that you are not in."
    )


def no_run(run_id: str) -> NotFound:
    return NotFound(
        f"There is no run {run_id[:60]!r}.", mend="It may be in a project you are not in."
    )


def own_project(principal: Principal) -> Project | None:
    """The project that is meant where none is named."""
    return Project.of_user(principal.name) if principal.kind is PrincipalKind.USER else None
