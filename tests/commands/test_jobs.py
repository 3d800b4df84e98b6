"""`almanac login`, `jobs`, `runs`, `run`, `pause`, `resume`, and what `productionize` refuses."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_service import JobService, notebook

from hub_ext.bundles import environment, snapshot
from hub_ext.client import JobsClient
from hub_ext.commands.jobs import printable
from hub_ext.errors import Unavailable
from hub_ext.jobs.schemas import JobOut, RunIn, RunOut, ScheduleIn

Almanac = Callable[..., Any]
WEEKDAYS = ScheduleIn(cron="0 6 * * 1-5", timezone="Europe/Paris")


def test_login_tries_the_token_and_keeps_it(
    almanac: Almanac, service: JobService, tmp_path: Path
) -> None:
    signed_in = almanac("login", "--url", service.url, "--token-stdin", stdin="token-ana\n")
    assert signed_in.status == 0
    assert "as ana" in signed_in.out
    assert "token-ana" not in signed_in.out + signed_in.err
    kept = tmp_path / "config" / "almanac" / "token"
    assert kept.read_text() == "token-ana\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # From now on no variable is needed.
    assert almanac("jobs", "--json").json == []


def test_login_keeps_nothing_that_does_not_work(
    almanac: Almanac, service: JobService, tmp_path: Path
) -> None:
    for token, says in [
        ("token-nobody", "does not know this token"),
        ("", "not a token"),
        ("two words", "not a token"),
        ("tökén", "not a token"),
    ]:
        refused = almanac("login", "--url", service.url, "--token-stdin", stdin=token + "\n")
        assert refused.status == 2
        assert says in refused.err
    assert not (tmp_path / "config" / "almanac" / "token").exists()
    assert almanac("login", "--url", "ftp://x", "--token-stdin", stdin="t\n").status == 2


def test_login_says_where_a_token_is_to_be_had(almanac: Almanac, service: JobService) -> None:
    refused = almanac("login", "--url", service.url, "--token-stdin", stdin="\n")
    assert f"{service.origin}/hub/token" in refused.err


def test_without_a_sign_in_commands_say_what_to_do(almanac: Almanac, service: JobService) -> None:
    refused = almanac("jobs", ALMANAC_JOBS_URL=service.url)
    assert refused.status == 2
    assert "not signed in" in refused.err
    assert "almanac login" in refused.err


def test_without_a_service_commands_say_what_to_do(almanac: Almanac) -> None:
    refused = almanac("jobs", ALMANAC_TOKEN="t")
    assert refused.status == 2
    assert "Almanac is not running" in refused.err
    assert "almanac up" in refused.err


def test_no_jobs_teach_and_json_stays_json(ana: Almanac) -> None:
    empty = ana("jobs")
    assert empty.status == 0
    assert "Productionize" in empty.err
    assert empty.out == ""
    assert ana("jobs", "--json").json == []


def test_jobs_are_listed_in_words_and_as_the_apis_objects(
    ana: Almanac, service: JobService
) -> None:
    service.active_job("Retail index", schedule=WEEKDAYS)
    service.active_job("[red]GDP[/red]", project="macro")
    listed = ana("jobs")
    assert "Retail index" in listed.out
    assert "Monday through Friday" in listed.out
    assert "Succeeded" in listed.out
    assert "[red]GDP[/red]" in listed.out, "markup in a name is a name"
    as_json = ana("jobs", "--json", "--project", "macro").json
    assert [JobOut.model_validate(item).name for item in as_json] == ["[red]GDP[/red]"]


def test_a_persons_own_project_is_called_that(ana: Almanac, service: JobService) -> None:
    service.job("Retail index")
    listed = ana("jobs")
    assert "My own" in listed.out
    assert "user-" not in listed.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--name", "Retail index"), "in your own project already"),
        (("--name", " Retail index "), "in your own project already"),
        (("--name", "CPI", "--project", "macro"), "in the project 'macro' already"),
        (("--name", "CPI", "--project", "nope"), "do not belong to a project called 'nope'"),
        (("--name", "x" * 101), "too long"),
        (("--name", ""), "has no name"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before_anything_is_captured(
    ana: Almanac,
    service: JobService,
    options: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.job("Retail index")
    service.job("CPI", project="macro")
    for module, step in ((snapshot, "take"), (environment, "lock"), (JobsClient, "upload")):
        monkeypatch.setattr(module, step, lambda *_, **__: pytest.fail("gone too far"))
    refused = ana("productionize", "report.ipynb", *options)
    assert refused.status == 2
    assert says in refused.err
    assert refused.out == ""


def test_runs_are_listed_newest_first(ana: Almanac, service: JobService) -> None:
    job = service.active_job()
    first = ana("run", "Retail index", "--json")
    assert first.status == 0
    service.finished(first.json["id"])
    runs = [RunOut.model_validate(item) for item in ana("runs", job.id, "--json").json]
    assert [run.trigger.kind for run in runs] == ["manual", "test"]
    listed = ana("runs", "user-ana/Retail index", "-n", "1")
    assert first.json["id"] in listed.out
    assert "By hand, ana" in listed.out
    assert "Test of version" not in listed.out


def test_a_run_that_is_waited_for_decides_the_exit_status(
    ana: Almanac, service: JobService
) -> None:
    service.active_job()
    good = ana("run", "Retail index", "--wait", "-p", "year=2023", "--json")
    assert good.status == 0
    assert good.json["state"] == "succeeded"
    assert good.json["parameters"] == {"outcome": "ok", "year": 2023}
    bad = ana("run", "Retail index", "--wait", "-p", "outcome=fail")
    assert bad.status == 1
    assert "By hand, ana: failed: cell 2 raised ValueError: no data" in bad.err
    assert f"{service.origin}/services/jobs/runs/" in bad.out
    # Without --wait the run's end is nobody's business.
    assert ana("run", "Retail index", "-p", "outcome=fail").status == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("yaer=2023", "year"),
        ("year=soon", "whole number"),
        ("year", "NAME=VALUE"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(
    ana: Almanac, service: JobService, given: str, says: str
) -> None:
    service.active_job()
    refused = ana("run", "Retail index", "-p", given)
    assert refused.status == 2
    assert says in refused.err


def test_pause_and_resume(ana: Almanac, service: JobService) -> None:
    service.active_job(schedule=WEEKDAYS)
    paused = ana("pause", "Retail index")
    assert paused.status == 0
    assert "is paused" in paused.out
    assert "(paused)" in ana("jobs").out
    resumed = ana("resume", "Retail index")
    assert "goes on: next run" in resumed.out
    assert "Europe/Paris" in resumed.out
    assert ana("pause", "Retail index", "--json").json["paused"] is True


def test_a_job_that_is_not_there_or_not_the_only_one(ana: Almanac, service: JobService) -> None:
    missing = ana("runs", "Nothing")
    assert missing.status == 2
    assert "no job 'Nothing'" in missing.err
    service.active_job("GDP")
    service.active_job("GDP", project="macro")
    ambiguous = ana("pause", "GDP")
    assert ambiguous.status == 2
    assert "macro/GDP" in ambiguous.err
    assert "user-ana/GDP" in ambiguous.err
    assert ana("pause", "macro/GDP").status == 0


def test_another_persons_job_is_not_there(ana: Almanac, service: JobService) -> None:
    service.job("Secret", by="eve")
    assert ana("runs", "Secret").status == 2


# -- productionize: what is refused before anything is stored ---------------


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.ipynb"
    path.write_text(json.dumps(notebook()))
    return path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cron", "61 * * * *"], "minute"),
        (["--cron", "0 6 * * *", "--timezone", "Europe/Pariss"], "Pariss"),
        (["--timezone", "Europe/Paris"], "no schedule"),
        (["--new-version", "Nothing"], "no job 'Nothing'"),
        (["--new-version", "x", "--name", "y"], "Leave out the one or the other"),
        (["-p", "yaer=2024"], "year"),
        (["-p", "year=soon"], "whole number"),
    ],
)
def test_productionize_refuses_before_it_stores(
    ana: Almanac, service: JobService, example: Path, options: list[str], says: str
) -> None:
    refused = ana("productionize", str(example), *options)
    assert refused.status == 2
    assert says in refused.err
    assert refused.out == ""
    assert ana("jobs", "--json").json == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{not json", "JSON"),
        (json.dumps({**notebook(), "metadata": {}}), "kernel"),
        (
            json.dumps(
                {
                    **notebook(),
                    "metadata": {"kernelspec": {"name": "nope", "display_name": "x"}},
                }
            ),
            "nope",
        ),
    ],
)
def test_productionize_refuses_what_is_no_notebook(
    ana: Almanac, tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "odd.ipynb"
    path.write_text(content)
    refused = ana("productionize", str(path))
    assert refused.status == 2
    assert says in refused.err
    assert ana("productionize", str(tmp_path / "missing.ipynb")).status == 2


def test_productionize_shows_the_checks_and_stops_at_errors(
    ana: Almanac, service: JobService, tmp_path: Path
) -> None:
    broken = notebook()
    broken["cells"][1]["source"] = "def (:\n"
    path = tmp_path / "broken.ipynb"
    path.write_text(json.dumps(broken))
    refused = ana("productionize", str(path))
    assert refused.status == 2
    assert "Error: cell 2, line 1:" in refused.err
    assert ana("jobs", "--json").json == []


@pytest.mark.parametrize(
    "command", ["login", "productionize", "jobs", "runs", "run", "pause", "resume", "demo"]
)
def test_help_teaches_with_an_example(almanac: Almanac, command: str) -> None:
    shown = almanac(command, "--help")
    assert shown.status == 0
    assert "--json" in shown.out
    if command != "demo":
        assert f"almanac {command}" in shown.out


def test_what_would_steer_a_terminal_is_taken_out() -> None:
    assert printable("a\x1b[31mb\nc\x07") == "a [31mb c "


def test_a_run_is_followed_until_it_has_ended(service: JobService) -> None:
    job = service.active_job()
    states: list[str] = []
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "wait"}))

        def seen(now: RunOut) -> None:
            states.append(now.state)
            if now.state == "running":
                service.backend.release()

        finished = client.follow(run.id, timeout=20, interval=0.01, seen=seen)
    assert finished.state == "succeeded"
    assert states[-1] == "succeeded"
    assert "running" in states


def test_a_run_that_takes_too_long_is_no_longer_waited_for(service: JobService) -> None:
    job = service.active_job()
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "wait"}))
        with pytest.raises(Unavailable, match="is still"):
            client.follow(run.id, timeout=0, interval=0.01)
        service.backend.release()
