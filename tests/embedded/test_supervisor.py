"""The supervisor over tiny parts that are real processes."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keepers import Keeper, until

from hub_ext.embedded.records import PROCESSES, TreeStatus
from hub_ext.processes import ProcessId

Child = Callable[..., dict[str, Any]]
Keep = Callable[..., Keeper]


def answers(part: dict[str, Any]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{part['port']}/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_all_parts_run_and_end_with_it(keep: Keep, child: Child) -> None:
    one, two = child("one"), child("two")
    keeper = keep(one, two)
    keeper.wait_for("^ready$")
    assert answers(one)
    assert answers(two)
    family = keeper.family()
    assert len(family) == 2
    assert keeper.stop() < 3
    assert keeper.lines[-1] == "done"
    assert keeper.process.returncode == 0
    assert not [process for process in family if process.alive()]
    assert not (keeper.folder / PROCESSES).exists()


def test_what_a_part_leaves_outside_is_put_away(keep: Keep, child: Child, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.touch()
    gone = tmp_path / "gone"  # must not keep it from stopping
    keeper = keep(child("one", removes=str(left)), child("two", removes=str(gone)))
    keeper.wait_for("^ready$")
    assert left.exists()
    keeper.stop()
    assert not left.exists()
    assert keeper.process.returncode == 0


def test_ctrl_c_ends_it_too(keep: Keep, child: Child) -> None:
    keeper = keep(child("one"))
    keeper.wait_for("^ready$")
    keeper.stop(signal.SIGINT)
    assert "stopping Ctrl-C" in keeper.lines
    assert keeper.process.returncode == 0


def test_a_part_waits_for_those_it_needs(keep: Keep, child: Child) -> None:
    first = child("first")
    keeper = keep(child("second", after=["first"]), first)
    keeper.wait_for("^ready$")
    happened = [line.rsplit(" ", 2)[0] for line in keeper.lines]
    running = next(i for i, line in enumerate(keeper.lines) if line.startswith("first running"))
    starting = next(i for i, line in enumerate(keeper.lines) if line.startswith("second starting"))
    assert running < starting, happened


def test_a_killed_part_is_back_at_once(keep: Keep, child: Child) -> None:
    one = child("one")
    keeper = keep(one, child("two"))
    keeper.wait_for("^ready$")
    os.kill(keeper.pid("one"), signal.SIGKILL)
    began = time.monotonic()
    keeper.wait_for("^one running", 2)
    assert time.monotonic() - began < 5
    assert keeper.wait_for("^one restarting")[0]
    assert any("killed by SIGKILL" in line for line in keeper.lines)
    assert answers(one)
    status = TreeStatus.load(keeper.folder)
    assert status is not None
    restarts = {part.name: part.restarts for part in status.parts}
    assert restarts == {"one": 1, "two": 0}


def test_what_a_killed_part_had_started_lives_on_and_ends_with_the_tree(
    keep: Keep, child: Child
) -> None:
    keeper = keep(child("hub", "server", stops="BEFORE_WORK"))
    keeper.wait_for("^ready$")
    until(lambda: len(keeper.family()) == 3)
    hub = keeper.pid("hub")
    work = [process for process in keeper.family() if process.pid != hub]
    os.kill(hub, signal.SIGKILL)
    keeper.wait_for("^hub running", 2)
    assert all(process.alive() for process in work)
    keeper.stop()
    assert not [process for process in work if process.alive()]


def test_a_runner_may_save_before_its_kernel_is_ended(
    keep: Keep, child: Child, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    keeper = keep(child("jobs", f"runner={saved}", stops="BEFORE_WORK"), child("store"))
    keeper.wait_for("^ready$")
    until(lambda: (tmp_path / "saved.started").exists())
    keeper.stop()
    assert saved.read_text() == "kernel alive"


def test_who_does_not_listen_to_sigterm_is_killed_in_time(keep: Keep, child: Child) -> None:
    keeper = keep(
        child("one", "refuse-term"), child("two", "refuse-term", "server", stops="BEFORE_WORK")
    )
    keeper.wait_for("^ready$")
    family = keeper.family()
    assert keeper.stop() < 10
    assert not [process for process in family if process.alive()]


def test_a_second_signal_does_not_wait(keep: Keep, child: Child) -> None:
    keeper = keep(child("one", "refuse-term"))
    keeper.wait_for("^ready$")
    keeper.process.send_signal(signal.SIGINT)
    keeper.wait_for("^stopping")
    assert keeper.stop(signal.SIGINT) < 1.5


def test_a_part_that_never_starts_ends_all_with_the_reason(keep: Keep, child: Child) -> None:
    keeper = keep(child("good"), child("bad", "die-at-start"))
    keeper.process.wait(20)
    assert keeper.process.returncode == 2
    failure = keeper.wait_for("^failed")[0]
    last = keeper.lines[-1]
    assert failure
    assert "Bad does not start: ended with status 7" in last
    assert "nothing to live for" in last


def test_a_program_that_is_not_there_is_a_clear_failure(keep: Keep, child: Child) -> None:
    keeper = keep({**child("bad"), "command": ["/nonexistent/program"]})
    keeper.process.wait(20)
    assert "/nonexistent/program" in keeper.lines[-1]


def test_a_part_that_hangs_at_its_start_is_a_failure(
    keep: Keep, child: Child, tmp_path: Path
) -> None:
    (tmp_path / "mute").touch()
    keeper = keep(child("one", f"mute-while={tmp_path / 'mute'}", start_limit=1))
    keeper.process.wait(20)
    assert "did not answer for 1 s and was killed" in keeper.lines[-1]


def test_a_part_that_fails_later_is_tried_less_and_less_often_and_never_given_up(
    keep: Keep, child: Child, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    keeper = keep(child("one", f"die-while={broken}"), child("two"))
    keeper.wait_for("^ready$")
    broken.touch()
    os.kill(keeper.pid("one"), signal.SIGKILL)
    keeper.wait_for("^one keeps failing None ended with status 8", 2)
    status = TreeStatus.load(keeper.folder)
    assert status is not None
    one = status.parts[0]
    assert one.state == "keeps failing"
    assert one.retry_at is not None
    broken.unlink()
    keeper.wait_for("^one running", 2)
    assert keeper.process.poll() is None


def test_a_part_that_hangs_is_killed_and_started_again(
    keep: Keep, child: Child, tmp_path: Path
) -> None:
    mute = tmp_path / "mute"
    keeper = keep(child("one", f"mute-while={mute}", silence_limit=1))
    keeper.wait_for("^ready$")
    mute.touch()
    keeper.wait_for("^one restarting None did not answer for 1 s")
    mute.unlink()
    keeper.wait_for("^one running", 2)


def test_the_next_one_ends_what_a_killed_one_left(keep: Keep, child: Child) -> None:
    parts = [child("hub", "server", stops="BEFORE_WORK"), child("store")]
    killed = keep(*parts)
    killed.wait_for("^ready$")
    until(lambda: len(killed.family()) == 4)
    until(lambda: len(_recorded(killed.folder)) == 4)
    family = killed.family()
    killed.stop(signal.SIGKILL)
    assert all(process.alive() for process in family)
    following = keep(*parts)
    following.wait_for("^leftovers 4")
    following.wait_for("^ready$")
    assert not [process for process in family if process.alive()]


def test_a_process_id_that_was_given_to_another_is_left_alone(keep: Keep, child: Child) -> None:
    me = ProcessId(os.getpid(), "another-start")
    folder = keep(child("one")).folder
    first = keep(child("one"))
    first.wait_for("^ready$")
    first.stop()
    (folder / PROCESSES).write_text(
        json.dumps({"parts": {"AFTER_WORK": [me.to_json()]}, "others": [me.to_json(), "nonsense"]})
    )
    following = keep(child("one"))
    following.wait_for("^leftovers 0")


def _recorded(folder: Path) -> list[Any]:
    try:
        document = json.loads((folder / PROCESSES).read_text())
    except OSError:
        return []
    return [*document["others"], *(item for group in document["parts"].values() for item in group)]
