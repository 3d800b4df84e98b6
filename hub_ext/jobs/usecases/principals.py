"""Who somebody is and where they may act; run tokens."""

from __future__ import annotations

from hub_ext.jobs.schemas import JobOut, MeOut, ProjectOut, RunState, StorageOut, TokenOut
from hub_ext.jobs.store import reads
from hub_ext.jobs.store.tables import run_tokens, runs
from hub_ext.jobs.usecases import access, tokens
from hub_ext.jobs.usecases.storage import StorageCases
from hub_ext.names import Principal, PrincipalKind, Project, Right, Role


class PrincipalCases(StorageCases):
    """What principals may ask about themselves."""

    def me(self, principal: Principal) -> MeOut:
        """Who the principal is, and where it may act."""
        return MeOut(
            name=principal.name,
            kind=principal.kind,
            projects=[self._project(principal, project) for project in sorted(principal.projects)],
            rights=sorted(principal.rights),
            storage=StorageOut(
                bucket=self._options.bucket,
                share_seconds=self._options.share_seconds if self._links else 0,
                keep_deleted_days=self._options.keep_deleted_days,
            ),
        )

    def _project(self, principal: Principal, project: Project) -> ProjectOut:
        measured = self._sizes.usage().get(project.prefix)
        if full := self._full(project):
            self._sizes.look_again(project.prefix)
        return ProjectOut(
            slug=project.slug,
            title=self._options.titles.get(project.slug, ""),
            roles=sorted(principal.roles(project)),
            personal=project.personal,
            prefix=project.prefix,
            writable=access.may_write_files(principal, project) and not full,
            quota_bytes=self._options.quota(project.slug),
            used_bytes=measured.size if measured else None,
        )

    def may_manage(self, principal: Principal, job: JobOut) -> bool:
        """Whether changing, pausing, cancelling and deleting will be allowed."""
        return not job.archived and access.may_manage(
            principal, Project(job.project), job.created_by
        )

    def may_submit(self, principal: Principal, job: JobOut) -> bool:
        """Whether asking for a run will be allowed."""
        return not job.archived and access.may_submit(principal, Project(job.project))

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
