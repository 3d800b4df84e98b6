"""Several services on one database make one run of each tick, and one attempt of each run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from together import together

from hub_ext.jobs.schemas import RunIn
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Execution, Jobs
from hub_ext.names import Principal

JOBS, MINUTES = 5, 12

CLAIM = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Execution

path, start, minutes = sys.argv[1:]
now = datetime.fromisoformat(start)
execution = Execution(Database.at(Path(path)), clock=lambda: now)
print("ready", flush=True)
sys.stdin.readline()
claimed = 0
for _ in range(int(minutes)):
    now += timedelta(minutes=1)
    claimed += execution.claim_due()
print(claimed, flush=True)
"""


def ticks(jobs: Jobs, principal: Principal, job_id: str) -> Counter[str]:
    return Counter(
        run.trigger.key
        for run in jobs.list_runs(principal, job_id, limit=200).items
        if run.trigger.kind == "tick"
    )


def test_threads_with_databases_of_their_own(
    office: Any, jobs: Jobs, ana: Principal, clock: Any, tmp_path: Path
) -> None:
    made = [
        office.activate(ana, office.register(ana, name=f"job {i}", cron="* * * * *"))
        for i in range(JOBS)
    ]
    databases = [Database.at(tmp_path / "jobs.sqlite") for _ in range(6)]
    services = [Execution(database, clock=clock) for database in databases]
    claimed: list[int] = []
    for _ in range(MINUTES):
        clock.turn(minutes=1)
        claimed += together(Execution.claim_due, services)
    for database in databases:
        database.close()
    assert sum(claimed) == JOBS * MINUTES
    for job in made:
        found = ticks(jobs, ana, job.id)
        assert len(found) == MINUTES
        assert set(found.values()) == {1}


def test_two_processes(office: Any, jobs: Jobs, ana: Principal, clock: Any, tmp_path: Path) -> None:
    made = [
        office.activate(ana, office.register(ana, name=f"job {i}", cron="* * * * *"))
        for i in range(JOBS)
    ]
    arguments = [str(tmp_path / "jobs.sqlite"), clock.now.isoformat(), str(MINUTES)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        claimed = [int(process.communicate(timeout=60)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(5)
    assert sum(claimed) == JOBS * MINUTES
    for job in made:
        found = ticks(jobs, ana, job.id)
        assert len(found) == MINUTES
        assert set(found.values()) == {1}


def test_one_attempt_however_many_begin_it(
    office: Any, jobs: Jobs, ana: Principal, clock: Any, tmp_path: Path
) -> None:
    job = office.activate(ana, office.register(ana))
    run_id = jobs.run_now(ana, job.id, RunIn()).id
    databases = [Database.at(tmp_path / "jobs.sqlite") for _ in range(6)]
    services = [Execution(database, clock=clock) for database in databases]
    specs = together(lambda service: service.begin(run_id), services)
    for database in databases:
        database.close()
    assert len([spec for spec in specs if spec is not None]) == 1
    assert len(jobs.get_run(ana, run_id).attempts) == 1


def test_the_same_idempotency_key_at_the_same_moment_makes_one_run(
    office: Any, jobs: Jobs, ana: Principal
) -> None:
    job = office.activate(ana, office.register(ana))
    made = together(
        lambda _: jobs.run_now(ana, job.id, RunIn(), idempotency_key="once").id, range(6)
    )
    assert len(set(made)) == 1
