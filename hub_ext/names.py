"""Names as value objects, with their invariants.

Everything that names a person, a project, a run or a place in the object
store is made here, so that a slug is valid wherever it is used: as a prefix
of S3 keys, a Kubernetes label value, a scope filter and a part of a URL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")
PERSONAL = "user-"
GROUP_ROLE_SEPARATOR = ":"


def slugify(name: str, *, limit: int = 40) -> str:
    """A slug for any name: always valid, and never the same for two names.

    A name that already is a slug stays as it is. Any other is cut down to its
    letters and digits and gets a hash of the whole name, after the ``--``
    that no plain slug can hold (the convention of KubeSpawner's safe slugs).
    """
    if SLUG.match(name) and "--" not in name and len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: limit - 10].strip("-")
    return f"{stem}--{digest}" if stem else f"x--{digest}"


class Role(StrEnum):
    """What a person may do in a project, weakest first."""

    MEMBER = "member"
    APPROVER = "approver"
    OWNER = "owner"


@dataclass(frozen=True, order=True)
class Project:
    """Who owns jobs, data and secrets: a group of people, or one person.

    A person's own project is ``user-<slug of the name>``; that prefix is
    refused for shared projects.
    """

    slug: str

    def __post_init__(self) -> None:
        if len(self.slug) > 50 or not re.match(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z", self.slug):
            raise ValueError(
                f"{self.slug!r} is not a project name: lower-case letters, digits and hyphens, "
                "at most 40, beginning and ending with a letter or digit"
            )

    @classmethod
    def of_user(cls, username: str) -> Project:
        return cls(PERSONAL + slugify(username))

    @classmethod
    def shared(cls, slug: str) -> Project:
        if not SLUG.match(slug) or slug.startswith(PERSONAL):
            raise ValueError(
                f"{slug!r} is not a project name: lower-case letters, digits and hyphens, at most "
                f"40, beginning and ending with a letter or digit, and not with {PERSONAL!r}"
            )
        return cls(slug)

    @property
    def personal(self) -> bool:
        return self.slug.startswith(PERSONAL)

    @property
    def prefix(self) -> str:
        """Where its data lie in the platform's bucket; ends with a slash."""
        if self.personal:
            return f"home/{self.slug.removeprefix(PERSONAL)}/"
        return f"projects/{self.slug}/"

    @classmethod
    def of_prefix(cls, prefix: str) -> Project | None:
        """Whose data lie below ``prefix``, which ends with a slash; None for nobody's."""
        parent, _, slug = prefix.removesuffix("/").partition("/")
        try:
            project = cls(PERSONAL + slug) if parent == "home" else cls.shared(slug)
        except ValueError:
            return None
        return project if project.prefix == prefix else None

    @property
    def spoken(self) -> str:
        """As a sentence names it; a person's own is seen by that person alone."""
        return "your own project" if self.personal else f"the project {self.slug!r}"

    def group(self, role: Role) -> str:
        """The JupyterHub group whose members hold ``role`` in this project."""
        return self.slug if role is Role.MEMBER else f"{self.slug}{GROUP_ROLE_SEPARATOR}{role}"

    def __str__(self) -> str:
        return self.slug


def roles_from_groups(username: str, groups: Iterable[str]) -> dict[Project, frozenset[Role]]:
    """The projects of a hub user, own project included, and the roles in each.

    Groups that are not of our making (``/org/gdp``, say) are left out: what
    they mean is decided by almanac.yaml at sign-in, not here.
    """
    roles: dict[Project, set[Role]] = {Project.of_user(username): {Role.MEMBER, Role.OWNER}}
    for group in groups:
        slug, _, role = group.partition(GROUP_ROLE_SEPARATOR)
        try:
            project, held = Project.shared(slug), Role(role or Role.MEMBER)
        except ValueError:
            continue
        roles.setdefault(project, set()).update({Role.MEMBER, held})
    return {project: frozenset(every) for project, every in roles.items()}


class Right(StrEnum):
    """What a principal may ask of the job service; each is a hub scope."""

    READ = "custom:almanac:read"
    SUBMIT = "custom:almanac:submit"
    APPROVE = "custom:almanac:approve"
    OPERATE = "custom:almanac:operate"


class PrincipalKind(StrEnum):
    USER = "user"
    RUN = "run"
    SERVICE = "service"


@dataclass(frozen=True)
class Principal:
    """Who acts. Passed into every use case; nothing else decides on rights.

    Attributes:
        kind: a hub user (browser or token), a run (by its run token), or the
            service itself.
        name: the hub user name, the run's id, or the service's name.
        projects: the projects the principal acts in, with the roles held.
        rights: what the credential allows; the roles above are attenuated by
            it and never widened.
        browser: true only for a session on the service's own pages. A token
            of a user's server is never one, so a notebook cannot approve
            itself.
        operator: a user who operates the platform: sees sizes, and no data.
    """

    kind: PrincipalKind
    name: str
    projects: Mapping[Project, frozenset[Role]] = field(default_factory=dict)
    rights: frozenset[Right] = frozenset()
    browser: bool = False
    operator: bool = False

    def roles(self, project: Project) -> frozenset[Role]:
        return self.projects.get(project, frozenset())

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class TriggerKind(StrEnum):
    TICK = "tick"
    MANUAL = "manual"
    BACKFILL = "backfill"
    AFTER = "after"
    OBJECT = "object"
    SWEEP = "sweep"
    TEST = "test"


@dataclass(frozen=True)
class RunKey:
    """Why a run exists. Unique with its job: the same cause never runs twice.

    Rendered as ``kind:detail``: ``tick:2026-03-29T01:30:00Z``,
    ``manual:<idempotency key>``, ``test:<version>`` and so on.
    """

    kind: TriggerKind
    detail: str

    def __post_init__(self) -> None:
        if not self.detail or len(self.detail) > 200 or not self.detail.isprintable():
            raise ValueError(f"{self.detail!r} cannot be the detail of a trigger key")

    @classmethod
    def tick(cls, when: datetime) -> RunKey:
        if when.tzinfo is None:
            raise ValueError("a tick is an instant: give it a time zone")
        utc = when.astimezone(UTC).replace(tzinfo=None)
        return cls(TriggerKind.TICK, utc.isoformat(timespec="seconds") + "Z")

    @classmethod
    def manual(cls, idempotency_key: str) -> RunKey:
        return cls(TriggerKind.MANUAL, idempotency_key)

    @classmethod
    def test(cls, version: int) -> RunKey:
        return cls(TriggerKind.TEST, str(version))

    @classmethod
    def parse(cls, text: str) -> RunKey:
        kind, _, detail = text.partition(":")
        return cls(TriggerKind(kind), detail)

    @property
    def scheduled_for(self) -> datetime | None:
        """The instant of a tick, in UTC; None for every other kind."""
        if self.kind is not TriggerKind.TICK:
            return None
        return datetime.fromisoformat(self.detail)

    def __str__(self) -> str:
        return f"{self.kind}:{self.detail}"
