"""Server side of the panel: from a notebook's path to a job.

Reading, checking, locking and packing block for up to seconds: they run in
threads, so that kernels and the rest of the server stay responsive.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from jupyter_server.utils import ensure_async
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado.web import HTTPError

from hub_ext.bundles import bundle, checks, environment, snapshot
from hub_ext.bundles.kernels import KernelFinder
from hub_ext.bundles.parameters import resolve
from hub_ext.bundles.spec import Finding
from hub_ext.errors import Conflict, Invalid, NotFound, PublicError, Unavailable
from hub_ext.names import Project
from lab_extension.service import JobService

Step = Literal["reading", "environment", "packing", "uploading", "registering"]

_REMEMBERED = 64
_USER_VARIABLE = "JUPYTERHUB_USER"


class NotOnDisk(Invalid):
    code = "notebook-not-on-disk"


class NameTaken(Conflict):
    """As the job service says it when it comes to that; found out before the long steps."""

    code = "job-name-taken"


class ScheduleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cron: str
    timezone: str


class ProductionizeRequest(BaseModel):
    """What the panel sends."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    path: str
    """Of the notebook, as Jupyter names it: relative to the server's folder."""
    name: str
    project: str | None = None
    schedule: ScheduleRequest | None = None
    run_now: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)
    job_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Register a new version of this job, instead of a new job."""

    @classmethod
    def parse(cls, text: str | bytes) -> ProductionizeRequest:
        try:
            return cls.model_validate_json(text or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or None
            raise Invalid(
                f"{field or 'The request'}: {first['msg'].lower()}.",
                mend="Reload the page: the panel and the server may be of two versions.",
                field=field,
            ) from error


async def notebook_file(contents: Any, path: str) -> Path:
    """Where on disk a notebook is.

    Args:
        contents: the server's contents manager. It alone knows its root
            folder, and refuses paths that lead out of it. One that keeps
            notebooks elsewhere has ``on_disk``, which fetches a notebook with
            what lies beside it.
        path: as the panel knows the notebook.

    Raises:
        NotFound: there is no such notebook below the server's folder.
        NotOnDisk: the contents manager keeps its notebooks elsewhere.
        PublicError: it cannot be fetched from there.
    """
    path = path.strip("/")
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    missing = NotFound(f"There is no notebook {shown!r} here.", mend="Save it, then try again.")
    if not path or "\0" in path:
        raise missing
    drive, separator, _ = path.partition(":")
    fetches = hasattr(contents, "on_disk")
    if not fetches and (not hasattr(contents, "_get_os_path") or (separator and "/" not in drive)):
        raise NotOnDisk(
            f"{path} is not on this server's disk, and only notebooks there can go into "
            "production so far.",
            mend="Save a copy in your own folder and open that.",
        )
    try:
        hidden = not contents.allow_hidden and await ensure_async(contents.is_hidden(path))
        if hidden:
            raise missing
        file = Path(await contents.on_disk(path) if fetches else contents._get_os_path(path))
        found = await asyncio.to_thread(file.is_file)
    # OSError: of a name that is longer than the system's names.
    except (HTTPError, ValueError, OSError) as error:
        if isinstance(error, HTTPError) and error.status_code >= 500:
            raise Unavailable(str(error.log_message), mend="Try again in a moment.") from error
        raise missing from error
    if not found:
        raise missing
    return file


def read(file: Path) -> tuple[snapshot.Snapshot, list[Finding]]:
    """Snapshot and findings of a notebook on disk. Blocks."""
    taken = snapshot.take(file, owner=os.environ.get(_USER_VARIABLE, ""), kernels=KernelFinder())
    return taken, list(checks.check(taken))


def project_of(path: str) -> str | None:
    """The project in whose folder a notebook lies; None for somebody's own."""
    segments = path.strip("/").split("/")
    return segments[1] if segments[0] == "projects" and len(segments) > 2 else None


def suggested_name(path: str) -> str:
    """A job's name, from the notebook's file name."""
    name = Path(path).stem
    return "".join(character for character in name if character.isprintable()).strip()[:100]


async def describe(contents: Any, path: str, jobs: JobService) -> dict[str, Any]:
    """What the panel shows about a notebook before anything is submitted.

    The job service is asked at the same time; where it cannot be, the rest is
    still true, and ``service`` says why a part is missing.
    """
    file = await notebook_file(contents, path)
    (taken, findings), (projects, job, problem) = await asyncio.gather(
        asyncio.to_thread(read, file), _known_to(jobs, path)
    )
    return {
        "path": path,
        "name": suggested_name(path),
        "kernel": taken.kernel.ref.model_dump(mode="json"),
        "parameters": [parameter.model_dump(mode="json") for parameter in taken.parameters],
        "findings": [finding.model_dump(mode="json") for finding in findings],
        "job": job,
        "project": project_of(path),
        "projects": projects,
        "service": problem,
    }


async def _known_to(
    jobs: JobService, path: str
) -> tuple[list[Any], dict[str, Any] | None, dict[str, Any] | None]:
    """The user's projects, the job of the notebook at ``path``, or why neither is known."""
    try:
        me, page = await asyncio.gather(
            jobs.get("me"), jobs.get("jobs", notebook_path=path, limit="50")
        )
    except PublicError as error:
        return [], None, error.problem()
    return me["projects"], own_job(page["items"], me["name"], project_of(path)), None


def own_job(
    jobs: list[dict[str, Any]], user: str, project: str | None = None
) -> dict[str, Any] | None:
    """The job that this user's notebook is already.

    A path means something in one person's folder only: a colleague's job with
    the same path came from another notebook. In a project's folder it is the
    same notebook for all of its members.
    """
    mine = (user, f"user:{user}")
    return next(
        (
            job
            for job in jobs
            if (project is not None and job["project"] == project)
            or job["created_by"] in mine
            or job["latest_version"]["created_by"] in mine
        ),
        None,
    )


async def submit(
    contents: Any,
    request: ProductionizeRequest,
    jobs: JobService,
    *,
    key: str,
    at: Callable[[Step], None],
    again: bool = False,
) -> Any:
    """Capture, pack, upload and register; the job as the service tells it.

    Args:
        key: names this submission, for the service to know it again.
        at: told of each step as it begins.
        again: it was tried before, and the service may have registered it.

    Raises:
        PublicError: what can be refused is refused before the long steps, and
            before anything is stored.
    """
    file = await notebook_file(contents, request.path)
    at("reading")
    taken, findings = await asyncio.to_thread(read, file)
    checks.refuse(findings)
    parameters = resolve(taken.parameters, request.parameters)
    if request.schedule is not None:
        await jobs.post("schedules/preview", request.schedule.model_dump())
    if request.job_id is None and request.project is not None and not again:
        await _refuse_taken(jobs, request.project, request.name)
    at("environment")
    lock = await asyncio.to_thread(_lock, taken.python)
    with tempfile.TemporaryDirectory(prefix="almanac-bundle-") as folder:
        at("packing")
        packed = await asyncio.to_thread(bundle.write, taken, lock, Path(folder))
        at("uploading")
        uploaded = await jobs.upload(packed.path)
    at("registering")
    schedule = request.schedule.model_dump() if request.schedule else None
    common = {
        "bundle": uploaded["sha256"],
        "notebook_path": request.path,
        "schedule": schedule,
        "parameters": parameters,
        "run_now": request.run_now,
    }
    if request.job_id is not None:
        return await jobs.post(f"jobs/{request.job_id}/versions", common, idempotency_key=key)
    new = {"name": request.name, "project": request.project, **common}
    return await jobs.post("jobs", new, idempotency_key=key)


async def _refuse_taken(jobs: JobService, project: str, name: str) -> None:
    there = (await jobs.get("jobs", project=project, name=name, limit="1"))["items"]
    if there:
        raise NameTaken(
            f"There is a job called {name!r} in {Project(project).spoken} already.",
            mend="Choose another name.",
            field="name",
            job_id=there[0]["id"],
        )


def _lock(python: Path) -> environment.Lock:
    from uv import find_uv_bin

    return environment.lock(environment.listing(python), Path(find_uv_bin()), dict(os.environ))


Start = Callable[[Callable[[Step], None], bool], Awaitable[Any]]


class Submissions:
    """Submissions under way and lately finished, by the id that the panel gave them.

    The panel may lose its connection while one is under way, and send it
    again: it then waits for the same one, and is told how it ended.
    """

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, asyncio.Task[Any]] = OrderedDict()
        self._steps: dict[str, Step] = {}

    def step(self, key: str) -> Step | None:
        """What is being done now; None where nothing is."""
        task = self._tasks.get(key)
        return self._steps.get(key) if task is not None and not task.done() else None

    async def run(self, key: str, start: Start) -> Any:
        """The result of ``start(at, again)``, begun unless it was already.

        One that failed is begun again, with ``again`` true.
        """
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            again = task is not None
            task = asyncio.ensure_future(
                start(lambda step: self._steps.__setitem__(key, step), again)
            )
            self._tasks[key] = task
            self._tasks.move_to_end(key)
            self._forget()
        # Shielded: a request that goes away does not take the submission along.
        return await asyncio.shield(task)

    def _forget(self) -> None:
        for key in [key for key, task in self._tasks.items() if task.done()]:
            if len(self._tasks) <= _REMEMBERED:
                break
            del self._tasks[key]
            self._steps.pop(key, None)
