"""From a notebook to a job: what is said on the way, and what is guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from job_service import JobService

from hub_ext.bundles.spec import Finding, Severity
from hub_ext.commands import submit
from hub_ext.jobs.schemas import ScheduleIn


def test_findings_are_told_with_their_place_and_mend() -> None:
    assert submit.told(
        [
            Finding(
                code="secret",
                severity=Severity.ERROR,
                message="A password.",
                cell=2,
                line=3,
                mend="Take it out.",
            ),
            Finding(code="x", severity=Severity.WARNING, message="Long.", cell=0),
            Finding(code="y", severity=Severity.INFO, message="All of it."),
        ]
    ) == [
        "Error: cell 3, line 3: A password. Take it out.",
        "Warning: cell 1: Long.",
        "Info: All of it.",
    ]
    assert submit.told([]) == ["Checks: nothing found."]


@pytest.mark.parametrize(
    ("variables", "link", "zone"),
    [
        ({"TZ": "Europe/Paris"}, None, "Europe/Paris"),
        ({"TZ": ":America/Lima"}, None, "America/Lima"),
        ({"TZ": "CET-1CEST"}, "Europe/Vienna", "Europe/Vienna"),
        ({}, "Asia/Tokyo", "Asia/Tokyo"),
        ({}, "Etc/UTC", "UTC"),
        ({}, None, "UTC"),
        ({"TZ": "/etc/passwd"}, None, "UTC"),
    ],
)
def test_the_time_zone_is_the_machines(
    tmp_path: Path, variables: dict[str, str], link: str | None, zone: str
) -> None:
    localtime = tmp_path / "localtime"
    if link:
        target = tmp_path / "zoneinfo" / link
        target.parent.mkdir(parents=True)
        target.touch()
        localtime.symlink_to(target)
    assert submit.local_timezone(variables, localtime) == zone


def test_the_notebooks_path_is_as_jupyterlab_names_it(tmp_path: Path) -> None:
    notebook = tmp_path / "work" / "a" / "b.ipynb"
    assert submit.shown_path(notebook, {"JUPYTER_SERVER_ROOT": str(tmp_path)}) == "work/a/b.ipynb"
    mirrored = tmp_path / ".almanac" / "files" / "home" / "a" / "b.ipynb"
    inside = submit.shown_path(mirrored, {"JUPYTER_SERVER_ROOT": str(tmp_path)})
    assert inside == "home/a/b.ipynb"
    assert submit.shown_path(notebook, {"JUPYTER_SERVER_ROOT": "/elsewhere"}) == str(notebook)
    assert submit.shown_path(notebook, {}) == str(notebook)


def test_what_happens_next_is_said_in_words(service: JobService) -> None:
    now = datetime.now(UTC)
    plain = submit.what_happens_next(service.job("Plain"), now)
    assert "Registered Plain (version 1) in your own project; its test run starts now." in plain
    job = service.job("Timed", schedule=ScheduleIn(cron="0 6 * * 1-5", timezone="Europe/Paris"))
    timed = submit.what_happens_next(job, now)
    assert "Monday through Friday (Europe/Paris), first " in timed
    assert "06:00" in timed


def test_kernels_of_a_users_server_are_jupyters_own(tmp_path: Path) -> None:
    assert submit.kernels({"JUPYTER_PATH": str(tmp_path)})._folders is None
    elsewhere = submit.kernels({})._folders
    assert elsewhere is not None
    assert elsewhere[0].match("environments/python/share/jupyter/kernels")
