"""What travels over the job service's REST API, as pydantic models.

Times are RFC 3339 with an offset. Optional members are null, never left out.
Lists are `Page`s: ``next`` is the cursor of the following page, null at the end.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from hub_ext.names import TriggerKind

T = TypeVar("T")


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


UNFINISHED = frozenset({RunState.QUEUED, RunState.RUNNING})
FINISHED = frozenset(RunState) - UNFINISHED
"""A finished run stays as it is."""


class AttemptState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class VersionState(StrEnum):
    DRAFT = "draft"
    TESTED = "tested"
    APPROVED = "approved"
    ACTIVE = "active"
    RETIRED = "retired"


class ScheduleIn(Wire):
    cron: str = Field(examples=["0 6 * * 1-5"])
    """Five fields, or a form like ``@monthly``."""
    timezone: str = Field(default="UTC", examples=["Europe/Paris"])
    """Name of the IANA time zone in which the fields are read."""


class ScheduleOut(ScheduleIn):
    sentence: str
    """What the schedule means, in words."""
    next: list[datetime]
    """The next times, in the schedule's own time zone."""


class ParameterOut(Wire):
    name: str
    type: str
    """``int``, ``float``, ``str``, ``bool``, ``list``, ``dict`` or ``json``."""
    default: Any = None
    help: str = ""


class JobIn(Wire):
    name: str
    """Unique in its project; 1 to 100 printable characters."""
    project: str | None = None
    """Slug of the owning project; null is the user's own."""
    bundle: str
    """sha256 of a bundle that was uploaded before."""
    description: str = ""
    notebook_path: str = ""
    """Where the author has the notebook; shown, never opened."""
    schedule: ScheduleIn | None = None
    parameters: dict[str, Any] = {}
    """Values that differ from the notebook's own defaults."""
    run_now: bool = False
    """Also run once, as soon as the test run has succeeded."""


class VersionIn(Wire):
    """A new version of a job; null leaves schedule and parameters as they are."""

    bundle: str
    reason: str = ""
    notebook_path: str | None = None
    schedule: ScheduleIn | None = None
    parameters: dict[str, Any] | None = None
    run_now: bool = False


class JobChange(Wire):
    """Changes of a job; members left out stay as they are, ``schedule: null`` removes it."""

    name: str | None = None
    description: str | None = None
    schedule: ScheduleIn | None = None
    parameters: dict[str, Any] | None = None


class RunIn(Wire):
    parameters: dict[str, Any] = {}
    """Values for this run alone, over the job's."""


class VersionOut(Wire):
    number: int
    bundle: str
    state: VersionState
    created_at: datetime
    created_by: str
    reason: str
    parameters: list[ParameterOut]
    """The parameters that this version's notebook declares."""


class AttemptOut(Wire):
    n: int
    state: AttemptState
    started_at: datetime | None
    finished_at: datetime | None
    message: str


class Failure(Wire):
    """Where and why the notebook stopped."""

    cell: int | None
    """Index of the cell in the notebook, from 0."""
    ename: str
    evalue: str
    traceback: list[str]
    """Lines as the kernel sent them: with ANSI escapes, and text, not HTML."""


class Progress(Wire):
    cell: int
    """Code cells finished."""
    cells: int
    """Code cells in all."""


class FileOut(Wire):
    name: str
    """Name below the attempt's results: ``notebook.ipynb``, ``notebook.html``…"""
    size: int
    media_type: str
    url: str
    """Where it can be had, below the service's own address."""


class Trigger(Wire):
    kind: TriggerKind
    key: str
    scheduled_for: datetime | None
    """The instant of a tick."""
    by: str
    """The principal that asked for it: ``user:ana``, ``service:jobs``."""


class RunOut(Wire):
    id: str
    job_id: str
    job_name: str
    project: str
    version: int
    trigger: Trigger
    state: RunState
    reason: str
    """Why it was skipped, cancelled or failed; empty otherwise."""
    test: bool
    parameters: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress | None
    failure: Failure | None
    attempts: list[AttemptOut]
    files: list[FileOut]
    url: str
    """Path of its page, ``/services/jobs/runs/<id>``."""


class JobOut(Wire):
    id: str
    name: str
    project: str
    description: str
    notebook_path: str
    created_at: datetime
    created_by: str
    """The principal that registered it, ``user:ana``."""
    paused: bool
    archived: bool
    """True once it was deleted: it runs no more, its history is kept."""
    schedule: ScheduleOut | None
    parameters: dict[str, Any]
    active_version: int | None
    latest_version: VersionOut
    last_run: RunOut | None
    """The newest run that was not skipped; where all were, the newest of them."""
    next_run: datetime | None
    """Null where there is no schedule, or the job is paused."""
    url: str
    """Path of its page, ``/services/jobs/jobs/<id>``."""


class EventOut(Wire):
    seq: int
    time: datetime
    type: str
    data: dict[str, Any]


class BundleOut(Wire):
    sha256: str
    size: int
    created: bool
    """False where the service had it already."""


class ProblemOut(BaseModel):
    """Why a request was refused or failed; members that depend on the code may follow."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str
    title: str
    """What is wrong, in one sentence."""
    status: int
    detail: str
    """Title and mend together."""
    code: str
    """Stable name of the kind of problem."""
    mend: str | None = None
    """What to do about it."""
    field: str | None = None
    """The member of the request that is at fault, ``schedule.cron``."""


class HealthOut(Wire):
    status: str


class TokenIn(Wire):
    token: str
    """A run token."""


class TokenOut(Wire):
    """What a run token stands for; all null where it is not, or no longer, valid."""

    active: bool
    run: str | None = None
    job: str | None = None
    project: str | None = None


class ProjectOut(Wire):
    slug: str
    title: str
    roles: list[str]
    personal: bool
    prefix: str = ""
    """Where its files lie in the bucket, with the closing slash: ``home/ana/``."""
    writable: bool = False
    """Whether credentials for it write: the caller may, and it is not full."""
    quota_bytes: int | None = None
    """What its files may take; null for no limit."""
    used_bytes: int | None = None
    """What they take, as last measured; null where that has not been yet."""


class StorageOut(Wire):
    """What is the same for all places in the object store."""

    bucket: str
    share_seconds: int
    """For how long a share link may be good at most; 0 where there are none."""
    keep_deleted_days: int
    """For how long what was deleted or overwritten can be had back; 0 for ever."""


class MeOut(Wire):
    name: str
    kind: str
    projects: list[ProjectOut]
    rights: list[str]
    storage: StorageOut | None = None


class ShareIn(Wire):
    key: str
    """The whole key of an object: ``home/ana/tables/gdp.csv``."""
    seconds: int
    """For how long the link shall be good."""
    version: str | None = None
    """A version of it; null is the newest."""


class ShareOut(Wire):
    url: str
    """Whoever has it can read the object, until ``expires``."""
    expires: datetime
    reach: Literal["machine", "network"]
    """``machine``: the store listens on loopback, so that it opens on this machine alone."""


class UsageOut(Wire):
    """How much the files of one user or project take."""

    project: str
    title: str
    personal: bool
    prefix: str
    size: int
    """Bytes of the files as they are now; old versions are not counted."""
    objects: int
    quota_bytes: int | None
    as_of: datetime | None
    """When that was measured; null where it has not been yet."""


class UsagesOut(Wire):
    items: list[UsageOut]


class Page(Wire, Generic[T]):
    items: list[T]
    next: str | None = None
