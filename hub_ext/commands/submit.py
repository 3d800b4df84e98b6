"""From a notebook on disk to a registered job: the steps of the panel, for a terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hub_ext import words
from hub_ext.bundles import bundle, checks, environment, snapshot
from hub_ext.bundles.kernels import KernelFinder
from hub_ext.bundles.parameters import parse_assignment
from hub_ext.bundles.spec import Finding, Parameter
from hub_ext.errors import Invalid
from hub_ext.jobs.schemas import JobIn, JobOut, MeOut, ParameterOut, ScheduleIn, VersionIn
from hub_ext.jobs.usecases import text
from hub_ext.jobs.usecases.refusals import NameTaken
from hub_ext.names import Project

if TYPE_CHECKING:
    from hub_ext.client import JobsClient

MIRRORS = ".almanac/files/"
ROOT_VARIABLE = "JUPYTER_SERVER_ROOT"
KERNELS_VARIABLE = "JUPYTER_PATH"


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; see the options of `almanac productionize`."""

    notebook: Path
    name: str | None = None
    project: str | None = None
    cron: str | None = None
    timezone: str | None = None
    assignments: tuple[str, ...] = ()
    description: str = ""
    run_now: bool = False


def submit(
    client: JobsClient, wanted: Wanted, *, target: JobOut | None, show: Callable[[str], None]
) -> JobOut:
    """Capture, check, lock, upload and register; what is refused leaves nothing behind.

    Args:
        target: the job that gets a new version; None makes a new job.
        show: is told each step and each finding of the checks.

    Raises:
        PublicError: of the notebook, the checks, the environment or the service.
    """
    from hub_ext import toolchain

    # The service's own refusals first: a mistyped schedule or a name that is
    # taken should not cost the wait for a lock, nor leave a bundle behind.
    schedule = schedule_in(wanted, client)
    me = client.me()
    if target is None:
        require_free_name(wanted, me, client)
    taken = snapshot.take(wanted.notebook, owner=me.name, kernels=kernels(os.environ))
    values = assignments(wanted.assignments, taken.parameters)
    findings = checks.check(taken)
    for line in told(findings):
        show(line)
    checks.refuse(findings)
    show("Capturing the environment of the notebook's kernel…")
    listed = environment.listing(taken.python)
    lock = environment.lock(listed, toolchain.uv(), os.environ)
    with tempfile.TemporaryDirectory(prefix="almanac-") as folder:
        packed = bundle.write(taken, lock, Path(folder))
        show(f"Uploading {words.size(packed.size)}…")
        uploaded = client.upload(packed.path)
    path = shown_path(wanted.notebook, os.environ)
    if target is not None:
        return client.add_version(
            target.id,
            VersionIn(
                bundle=uploaded.sha256,
                notebook_path=path,
                schedule=schedule,
                parameters=values or None,
                run_now=wanted.run_now,
            ),
        )
    return client.create(
        JobIn(
            name=job_name(wanted),
            project=wanted.project,
            bundle=uploaded.sha256,
            description=wanted.description,
            notebook_path=path,
            schedule=schedule,
            parameters=values,
            run_now=wanted.run_now,
        )
    )


def job_name(wanted: Wanted) -> str:
    """The name asked for, else the notebook's own."""
    return wanted.notebook.stem if wanted.name is None else wanted.name


def require_free_name(wanted: Wanted, me: MeOut, client: JobsClient) -> None:
    """Refuse what the service would refuse at the end: a project, a name, a taken one.

    Raises:
        Invalid: with ``field`` ``project`` or ``name``.
        NameTaken: another job of the project has the name.
    """
    name = text.name(job_name(wanted))
    mine = {project.slug for project in me.projects}
    own = next((project.slug for project in me.projects if project.personal), None)
    slug = wanted.project or own
    if slug not in mine:
        raise Invalid(
            f"You do not belong to a project called {(slug or '')[:60]!r}.",
            mend=f"Choose one of yours: {', '.join(sorted(mine))}.",
            field="project",
        )
    for job in client.jobs(project=slug, name=name):
        raise NameTaken(
            f"There is a job called {name!r} in {Project(slug).spoken} already.",
            mend=f"Choose another name, or make this its next version: --new-version {job.id}.",
            field="name",
            job_id=job.id,
        )


def schedule_in(wanted: Wanted, client: JobsClient) -> ScheduleIn | None:
    """The schedule asked for, known to be one that the service understands."""
    if wanted.cron is None:
        return None
    zone = wanted.timezone or local_timezone(os.environ, Path("/etc/localtime"))
    asked = ScheduleIn(cron=wanted.cron, timezone=zone)
    client.preview(asked)
    return asked


def declared_in(parameters: Iterable[ParameterOut]) -> list[Parameter]:
    """A version's parameters as the API tells them, as the bundle library takes them."""
    return [Parameter.model_validate(parameter.model_dump()) for parameter in parameters]


def assignments(texts: Sequence[str], declared: Sequence[Parameter]) -> dict[str, Any]:
    """The values of ``-p name=value …``.

    Raises:
        Invalid: with ``field`` ``parameters.<name>``.
    """
    return dict(parse_assignment(text, declared) for text in texts)


def told(findings: Sequence[Finding]) -> list[str]:
    """The checks' findings in lines for a terminal."""
    if not findings:
        return ["Checks: nothing found."]
    lines = []
    for finding in findings:
        place = ""
        if finding.cell is not None:
            line = f", line {finding.line}" if finding.line is not None else ""
            place = f"cell {finding.cell + 1}{line}: "
        mend = f" {finding.mend}" if finding.mend else ""
        lines.append(f"{finding.severity.value.capitalize()}: {place}{finding.message}{mend}")
    return lines


def what_happens_next(job: JobOut, now: datetime) -> str:
    """After the submission: in words, what the service now does by itself."""
    number = job.latest_version.number
    said = (
        f"Registered {job.name} (version {number}) in {Project(job.project).spoken}; "
        "its test run starts now."
    )
    if job.schedule is None or not job.schedule.next:
        return said
    zone = words.zone_of(job)
    first = job.schedule.next[0]
    return (
        f"{said}\nOnce that has succeeded: {job.schedule.sentence}, "
        f"first {words.moment(first, zone, now)} ({words.relative(first, now)})."
    )


def kernels(environ: Mapping[str, str]) -> KernelFinder:
    """Kernels as a user's server knows them.

    There ``JUPYTER_PATH`` puts the default notebook environment first. In a
    terminal elsewhere ``python3`` would be the platform's own Python: the
    default environment is put first here, too.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    from hub_ext import toolchain

    if environ.get(KERNELS_VARIABLE):
        return KernelFinder()
    default = toolchain.python_environment() / "share" / "jupyter" / "kernels"
    return KernelFinder([default, *map(Path, KernelSpecManager().kernel_dirs)])


def shown_path(notebook: Path, environ: Mapping[str, str]) -> str:
    """Where the author has the notebook: as JupyterLab names it, in a terminal there."""
    root = environ.get(ROOT_VARIABLE)
    path = notebook.resolve()
    if root and path.is_relative_to(Path(root).resolve()):
        inside = path.relative_to(Path(root).resolve()).as_posix()
        # Of a notebook in object storage, what is on disk is its mirror.
        return inside.removeprefix(MIRRORS)
    return str(path)


def local_timezone(environ: Mapping[str, str], localtime: Path) -> str:
    """The machine's time zone by its IANA name; UTC where it has none that is known.

    Args:
        localtime: the link by which systems name their zone, ``/etc/localtime``.
    """
    named = environ.get("TZ", "").removeprefix(":")
    linked = str(localtime.resolve()).partition("/zoneinfo/")[2] if localtime.exists() else ""
    for name in (named, linked):
        try:
            if name and ZoneInfo(name).key != "Etc/UTC":
                return name
        except (KeyError, ValueError, OSError):
            continue
    return "UTC"
