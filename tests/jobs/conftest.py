"""What tests of the job engine share: a real database, bundles, people, a clock to turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub_ext.bundles import bundle
from hub_ext.bundles.environment import Lock, LockedPackage
from hub_ext.bundles.kernels import FoundKernel
from hub_ext.bundles.snapshot import take
from hub_ext.bundles.spec import KernelRef
from hub_ext.errors import NotFound, Unavailable
from hub_ext.jobs.schemas import JobIn, JobOut, RunOut, ScheduleIn
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Execution, Jobs, Options
from hub_ext.names import Principal, PrincipalKind, Right, roles_from_groups

START = datetime(2026, 3, 2, 5, 30, 20, tzinfo=UTC)  # a Monday
RIGHTS = frozenset({Right.READ, Right.SUBMIT})


class Clock:
    """Stands still until it is turned."""

    def __init__(self, now: datetime = START):
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


class Folder:
    """A bucket in a folder; ``down`` makes it as unreachable as a store that is stopped."""

    def __init__(self, root: Path):
        self.root = root
        self.down = False
        self.blocked: threading.Event | None = None

    def _path(self, key: str) -> Path:
        if self.blocked is not None:
            self.blocked.wait(30)
        if self.down:
            raise Unavailable("The object store does not answer.")
        return self.root / key

    def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    def get_file(self, key: str, path: Path) -> None:
        path.write_bytes(b"".join(self.stream(key)))

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def stream(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        if not path.is_file():
            raise NotFound(f"There is no object {key}.")
        return iter([path.read_bytes()])

    def names(self) -> list[str]:
        return sorted(
            p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
        )


class NoSpools:
    """No attempt is at work."""

    def folder(self, ref: str) -> Path | None:
        return None

    def logs(self, ref: str) -> str:
        return ""


class _Kernels:
    def find(self, spec: Any) -> FoundKernel:
        ref = KernelRef(name="python3", language="python", display_name="Python 3")
        return FoundKernel(ref=ref, argv=("python",), interpreter=Path("/usr/bin/python3"))


LOCK = Lock(
    python="3.11.2",
    platform="linux-x86_64",
    packages=(LockedPackage(name="ipykernel", version="6.29.0", hashes=("sha256:" + "0" * 64,)),),
)


def notebook(*sources: str, parameters: str = "year = 2024\nregion = 'FR'") -> dict[str, Any]:
    cells = [(parameters, ["parameters"])] if parameters else []
    cells += [(source, []) for source in sources]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "cells": [
            {
                "id": f"c{i}",
                "cell_type": "code",
                "execution_count": None,
                "metadata": {"tags": tags},
                "outputs": [],
                "source": source,
            }
            for i, (source, tags) in enumerate(cells)
        ],
    }


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle of a notebook with these cells."""
    made = iter(range(1000))

    def make(*sources: str, lock: Lock = LOCK, **options: Any) -> Path:
        folder = tmp_path / f"author-{next(made)}"
        folder.mkdir()
        path = folder / "gdp.ipynb"
        path.write_text(json.dumps(notebook(*(sources or ("print(year)",)), **options)))
        snapshot = take(path, owner="ana", kernels=_Kernels())  # type: ignore[arg-type]
        return bundle.write(snapshot, lock, folder / "bundle.tar.gz").path

    return make


def person(
    name: str, *groups: str, rights: frozenset[Right] = RIGHTS, browser: bool = False
) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        name=name,
        projects=roles_from_groups(name, groups),
        rights=rights,
        browser=browser,
    )


@pytest.fixture(name="person")
def person_fixture() -> Callable[..., Principal]:
    """Makes a person who belongs to groups, with a credential's rights."""
    return person


@pytest.fixture
def ana() -> Principal:
    """Member of the project prices."""
    return person("ana", "prices")


@pytest.fixture
def ben() -> Principal:
    """Another member of the project prices."""
    return person("ben", "prices")


@pytest.fixture
def olga() -> Principal:
    """Owner of the project prices, in the browser."""
    return person("olga", "prices:owner", rights=frozenset(Right), browser=True)


@pytest.fixture
def eve() -> Principal:
    """Somebody else."""
    return person("eve", "trade")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(tmp_path: Path) -> Folder:
    root = tmp_path / "bucket"
    root.mkdir()
    return Folder(root)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.at(tmp_path / "jobs.sqlite")
    made.upgrade()
    yield made
    made.close()


@dataclass
class Issued:
    """Stands for the object store's own credentials; keeps what was asked of it."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    most: int = 100

    def __call__(
        self, *, read: list[str], write: list[str], delete: list[str], name: str
    ) -> dict[str, Any]:
        self.asked.append({"read": read, "write": write, "delete": delete, "name": name})
        return {"AccessKeyId": "key", "SecretAccessKey": "secret", "Token": "token"}

    def fitting(self, prefixes: list[str]) -> list[str]:
        return prefixes[: self.most]


@dataclass
class Linked:
    """Stands for presigned links; keeps what was asked of it."""

    now: Callable[[], datetime]
    local: bool = True
    asked: list[tuple[str, int, str | None]] = field(default_factory=list)

    def __call__(
        self, key: str, *, seconds: int, version: str | None = None
    ) -> tuple[str, datetime]:
        if key.endswith("/gone"):
            raise NotFound(f"There is no object {key}.")
        self.asked.append((key, seconds, version))
        return f"http://store/{key}", self.now() + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Size:
    size: int
    objects: int
    as_of: datetime


@dataclass
class Sizes:
    """What the housekeeper has measured, by prefix."""

    known: dict[str, Size] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)

    def usage(self) -> dict[str, Size]:
        return self.known

    def look_again(self, prefix: str) -> None:
        self.again.append(prefix)


@pytest.fixture
def issued() -> Issued:
    return Issued()


@pytest.fixture
def linked(clock: Clock) -> Linked:
    return Linked(clock)


@pytest.fixture
def sizes() -> Sizes:
    return Sizes()


@pytest.fixture
def options() -> Options:
    return Options(kernel_environment={"AWS_REGION": "us-east-1"}, titles={"prices": "Prices"})


@pytest.fixture
def jobs(
    database: Database,
    objects: Folder,
    clock: Clock,
    issued: Issued,
    linked: Linked,
    sizes: Sizes,
    options: Options,
) -> Jobs:
    return Jobs(
        database,
        objects=objects,
        clock=clock,
        spools=NoSpools(),
        credentials=issued,
        links=linked,
        sizes=sizes,
        options=options,
    )


@pytest.fixture
def execution(database: Database, clock: Clock, options: Options) -> Execution:
    return Execution(database, clock=clock, options=options)


@dataclass
class Office:
    """Shorthand for what most tests begin with."""

    jobs: Jobs
    execution: Execution
    make_bundle: Callable[..., Path]

    def upload(self, principal: Principal, *sources: str, **options: Any) -> str:
        made = self.make_bundle(*sources, **options)
        return self.jobs.accept_bundle(principal, made).sha256

    def register(
        self,
        principal: Principal,
        name: str = "GDP nowcast",
        *,
        cron: str | None = None,
        timezone: str = "Europe/Paris",
        **members: Any,
    ) -> JobOut:
        schedule = ScheduleIn(cron=cron, timezone=timezone) if cron else None
        members.setdefault("bundle", None)
        if members["bundle"] is None:
            members["bundle"] = self.upload(principal)
        members.setdefault("project", "prices")
        return self.jobs.create_job(principal, JobIn(name=name, schedule=schedule, **members))

    def activate(self, principal: Principal, job: JobOut) -> JobOut:
        """Have the test run of the newest version succeed."""
        test = self.test_run(principal, job)
        self.finish(test.id)
        return self.jobs.get_job(principal, job.id)

    def test_run(self, principal: Principal, job: JobOut) -> RunOut:
        number = self.jobs.get_job(principal, job.id).latest_version.number
        runs = self.jobs.list_runs(principal, job.id).items
        return next(run for run in runs if run.trigger.key == f"test:{number}")

    def finish(self, run_id: str, state: str = "succeeded") -> None:
        from hub_ext.jobs.schemas import RunState
        from hub_ext.jobs.usecases.wanted import Ended

        spec = self.execution.begin(run_id)
        assert spec is not None
        self.execution.listed(run_id, spec.n)
        reason = "" if state == "succeeded" else "it broke"
        assert self.execution.finish(
            run_id, spec.n, spec.fence, Ended(RunState(state), reason, files=[])
        )


@pytest.fixture
def office(jobs: Jobs, execution: Execution, make_bundle: Callable[..., Path]) -> Office:
    return Office(jobs, execution, make_bundle)
