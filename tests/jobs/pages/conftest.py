"""Models as the API gives them, to be looked at by the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from job_service import JobService, running

from hub_ext.jobs.schemas import (
    AttemptOut,
    AttemptState,
    EventOut,
    Failure,
    FileOut,
    JobOut,
    MeOut,
    ParameterOut,
    Progress,
    ProjectOut,
    RunOut,
    RunState,
    ScheduleOut,
    Trigger,
    VersionOut,
    VersionState,
)
from hub_ext.names import TriggerKind

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
"""A Monday; 10:30 in Paris."""
BUNDLE = "3f" * 32


def a_version(number: int = 1, **changes: Any) -> VersionOut:
    return VersionOut(
        **{
            "number": number,
            "bundle": BUNDLE,
            "state": VersionState.ACTIVE,
            "created_at": NOW - timedelta(days=9),
            "created_by": "user:ana",
            "reason": "",
            "parameters": [
                ParameterOut(name="year", type="int", default=2024, help="first year shown"),
                ParameterOut(name="series", type="str", default="realgdp"),
            ],
            **changes,
        }
    )


def a_run(**changes: Any) -> RunOut:
    state = changes.get("state", RunState.SUCCEEDED)
    started = NOW - timedelta(hours=4, minutes=30)
    return RunOut(
        **{
            "id": "r-7k2m",
            "job_id": "j-19",
            "job_name": "Retail index",
            "project": "national-accounts",
            "version": 1,
            "trigger": Trigger(
                kind=TriggerKind.TICK,
                key="tick:2026-11-23T05:00:00Z",
                scheduled_for=started,
                by="service:jobs",
            ),
            "state": state,
            "reason": "",
            "test": False,
            "parameters": {"year": 2026, "series": "realgdp"},
            "created_at": started,
            "started_at": started + timedelta(seconds=1),
            "finished_at": started + timedelta(seconds=43),
            "progress": Progress(cell=7, cells=7),
            "failure": None,
            "attempts": [
                AttemptOut(
                    n=1,
                    state=AttemptState.SUCCEEDED,
                    started_at=started + timedelta(seconds=1),
                    finished_at=started + timedelta(seconds=43),
                    message="",
                )
            ],
            "files": [
                FileOut(
                    name=name,
                    size=size,
                    media_type=media,
                    url=f"/services/jobs/api/v1/runs/r-7k2m/files/{name}",
                )
                for name, size, media in (
                    ("notebook.html", 412_000, "text/html"),
                    ("notebook.ipynb", 93_412, "application/x-ipynb+json"),
                )
            ],
            "url": "/services/jobs/runs/r-7k2m",
            **changes,
        }
    )


def a_failure(**changes: Any) -> Failure:
    return Failure(
        **{
            "cell": 4,
            "ename": "ValueError",
            "evalue": "no observations after 2026",
            "traceback": [
                "\x1b[31m-------------------------------------------------\x1b[39m",
                "\x1b[31mValueError\x1b[39m                    Traceback (most recent call last)",
                "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[5], line 3\x1b[39m",
                "\x1b[38;5;241m      1\x1b[39m series \x1b[38;5;241m=\x1b[39m table[name]",
                "\x1b[32m----> \x1b[39m\x1b[32m3\x1b[39m \x1b[38;5;28;01mraise\x1b[39;00m "
                "\x1b[38;5;167;01mValueError\x1b[39;00m(\x1b[33m'no observations'\x1b[39m)",
                "",
                "\x1b[31mValueError\x1b[39m: no observations after 2026",
            ],
            **changes,
        }
    )


def a_job(**changes: Any) -> JobOut:
    return JobOut(
        **{
            "id": "j-19",
            "name": "Retail index",
            "project": "national-accounts",
            "description": "Seasonally adjusts retail sales and writes the monthly table.",
            "notebook_path": "work/retail/index.ipynb",
            "created_at": NOW - timedelta(days=9),
            "created_by": "user:ana",
            "paused": False,
            "archived": False,
            "schedule": ScheduleOut(
                cron="0 6 * * 1-5",
                timezone="Europe/Paris",
                sentence="At 06:00, Monday through Friday (Europe/Paris)",
                next=[NOW + timedelta(days=d, hours=-4, minutes=-30) for d in (1, 2, 3)],
            ),
            "parameters": {"year": 2026},
            "active_version": 1,
            "latest_version": a_version(),
            "last_run": a_run(),
            "next_run": NOW + timedelta(hours=19, minutes=30),
            "url": "/services/jobs/jobs/j-19",
            **changes,
        }
    )


def an_event(seq: int, kind: str, **data: Any) -> EventOut:
    return EventOut(seq=seq, time=NOW + timedelta(seconds=seq), type=kind, data=data)


def a_me(**changes: Any) -> MeOut:
    return MeOut(
        **{
            "name": "ana",
            "kind": "user",
            "projects": [
                ProjectOut(slug="user-ana", title="", roles=["owner"], personal=True),
                ProjectOut(
                    slug="national-accounts",
                    title="National accounts",
                    roles=["member"],
                    personal=False,
                ),
            ],
            "rights": ["custom:almanac:read", "custom:almanac:submit"],
            **changes,
        }
    )


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Makers of models, each taking what differs from an ordinary one; and ``now``."""
    return SimpleNamespace(
        now=NOW,
        version=a_version,
        run=a_run,
        failure=a_failure,
        job=a_job,
        event=an_event,
        me=a_me,
    )


@pytest.fixture
def service(tmp_path: Path) -> Iterator[JobService]:
    with running(tmp_path / "service") as found:
        yield found


@pytest.fixture
def browser(service: JobService) -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients that hold the cookie of somebody's session on the pages."""
    made: list[httpx.Client] = []

    def sign_in(name: str | None = "ana") -> httpx.Client:
        client = httpx.Client(
            base_url=service.origin, headers={"Accept": "text/html"}, trust_env=False
        )
        if name is not None:
            client.cookies.set(*service.cookie(name))
        made.append(client)
        return client

    yield sign_in
    for client in made:
        client.close()
