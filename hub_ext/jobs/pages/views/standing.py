"""How a job as such stands."""

from __future__ import annotations

from collections.abc import Sequence

from hub_ext import words
from hub_ext.jobs.pages.views.shared import Badge
from hub_ext.jobs.schemas import UNFINISHED, JobOut, RunOut, RunState, VersionState

TESTING = Badge("running", "Being tested")
TEST_FAILED = Badge("failed", "Test failed")


def condition(job: JobOut, runs: Sequence[RunOut] = ()) -> Badge:
    """How a job as such stands: the one word people look for first.

    Args:
        runs: its newest runs, where they are at hand; without them a job whose
            test is not its last run is only said not to be active yet.
    """
    if job.archived:
        return Badge("cancelled", "Deleted")
    if job.active_version is None:
        return _unproven(job, runs)
    if job.paused:
        return Badge("paused", "Paused")
    return Badge("scheduled", "Scheduled") if job.schedule else Badge("idle", "By hand")


def _unproven(job: JobOut, runs: Sequence[RunOut]) -> Badge:
    """A job of which no version is active yet: how did the newest one's test go?"""
    newest = job.latest_version
    if newest.state is not VersionState.DRAFT:
        return Badge("waiting", words.VERSION_STATES[newest.state])
    known = [job.last_run, *runs] if job.last_run else list(runs)
    test = next((run for run in known if run and run.test and run.version == newest.number), None)
    if test is None:
        return Badge("waiting", "Not active yet") if known else TESTING
    if test.state in UNFINISHED:
        return TESTING
    return Badge("waiting", "Tested") if test.state is RunState.SUCCEEDED else TEST_FAILED
