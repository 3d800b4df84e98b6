"""What somebody may reach in the object store: credentials, share links, sizes."""

from __future__ import annotations

from typing import Any

from hub_ext.errors import Forbidden, Invalid, NotFound
from hub_ext.jobs.schemas import ShareIn, ShareOut, UsageOut
from hub_ext.jobs.usecases import access, audit
from hub_ext.jobs.usecases.base import UseCases
from hub_ext.names import Principal, PrincipalKind, Project, Right

SHORTEST_LINK = 60
LONGEST_KEY = 1024
"""Bytes of a key, as S3 has it."""


class SharingOff(Forbidden):
    code = "sharing-off"


class StorageCases(UseCases):
    """Files of users and projects, as far as the platform has a say in them."""

    def credentials(self, principal: Principal, project: str | None = None) -> dict[str, Any]:
        """Credentials for the object store, as SDKs ask for them.

        A person reads and writes the own home and the projects; a run those
        of its project alone. A credential without the right to submit reads.
        Where a project is over its limit, they read and delete.

        Args:
            project: its slug, for that one alone. Without it they are for all,
                the own home first; of somebody in more projects than
                credentials can reach, for as many as they can.
        """
        access.require(Right.READ, principal)
        wanted = [self._own(principal, project)] if project else _home_first(principal)
        prefixes = [each.prefix for each in wanted]
        fitting = set(self._credentials.fitting(prefixes))
        writes, deletes = [], []
        for each in wanted:
            if access.may_write_files(principal, each) and each.prefix in fitting:
                if self._full(each):
                    # Room may have been made since, and who asks wants to write.
                    self._sizes.look_again(each.prefix)
                    deletes.append(each.prefix)
                else:
                    writes.append(each.prefix)
        return self._credentials(
            read=[prefix for prefix in prefixes if prefix in fitting],
            write=writes,
            delete=deletes,
            name=str(principal),
        )

    def share(self, principal: Principal, wanted: ShareIn) -> ShareOut:
        """A link with which anybody can read one object for a while; in the audit trail."""
        access.require(Right.READ, principal)
        if principal.kind is not PrincipalKind.USER:
            raise Forbidden("A run shares nothing.", mend="Share its results in the file browser.")
        longest = self._options.share_seconds
        if self._links is None or not longest:
            raise SharingOff(
                "Share links are switched off here.",
                mend="Ask your operator; the setting is storage.share_link_days.",
            )
        if not SHORTEST_LINK <= wanted.seconds <= longest:
            raise Invalid(
                f"A link is good for {SHORTEST_LINK} to {longest} seconds, not {wanted.seconds}.",
                field="seconds",
            )
        if len(wanted.version or "") > LONGEST_KEY:
            raise Invalid("This is not a version's identifier.", field="version")
        project = next(
            (each for each in principal.projects if wanted.key.startswith(each.prefix)), None
        )
        if project is None or not access.may_read(principal, project) or not _plain(wanted.key):
            raise NotFound(
                f"There is no object {wanted.key[:200]!r}.",
                mend="It may be in a project you are not in.",
                field="key",
            )
        url, expires = self._links(wanted.key, seconds=wanted.seconds, version=wanted.version)
        with self._database.writing() as connection:
            audit.record(
                connection,
                self._clock(),
                principal,
                "share.made",
                project=project.slug,
                seconds=wanted.seconds,
                # As a mapping, which the log leaves out: names of files are the project's.
                object={"key": wanted.key, "version": wanted.version},
            )
        return ShareOut(
            url=url, expires=expires, reach="machine" if self._links.local else "network"
        )

    def storage_usage(self, principal: Principal) -> list[UsageOut]:
        """Sizes of the principal's own projects; all sizes for an operator, largest first.

        An operator's server has no right to operate, so that a notebook of
        theirs sees what they see as a user.
        """
        measured = self._sizes.usage()
        projects = set(access.readable(principal))
        if principal.operator and Right.OPERATE in principal.rights:
            found = (Project.of_prefix(prefix) for prefix in measured)
            projects.update(project for project in found if project is not None)
        items = []
        for project in projects:
            usage = measured.get(project.prefix)
            items.append(
                UsageOut(
                    project=project.slug,
                    title=self._options.titles.get(project.slug, ""),
                    personal=project.personal,
                    prefix=project.prefix,
                    size=usage.size if usage else 0,
                    objects=usage.objects if usage else 0,
                    quota_bytes=self._options.quota(project.slug),
                    as_of=usage.as_of if usage else None,
                )
            )
        return sorted(items, key=lambda item: (-item.size, item.project))

    def _own(self, principal: Principal, slug: str) -> Project:
        """The project of this name; the same words whether it is not there or not to be seen."""
        for project in principal.projects:
            if project.slug == slug and access.may_read(principal, project):
                return project
        raise access.no_project(slug)

    def _full(self, project: Project) -> bool:
        """Whether its files take as much as they may, as last measured."""
        quota = self._options.quota(project.slug)
        usage = self._sizes.usage().get(project.prefix)
        return quota is not None and usage is not None and usage.size >= quota


def _home_first(principal: Principal) -> list[Project]:
    return sorted(principal.projects, key=lambda project: (not project.personal, project.slug))


def _plain(key: str) -> bool:
    """Whether a key means the same to every store: some take ``a/../b`` for ``b``."""
    return (
        len(key.encode()) <= LONGEST_KEY
        and not any(ord(letter) < 32 or ord(letter) == 127 for letter in key)
        and not {"", ".", ".."} & set(key.split("/"))
    )
