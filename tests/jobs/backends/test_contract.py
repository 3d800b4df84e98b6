"""What every backend has to do, whatever it runs attempts on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from together import together

from hub_ext.errors import NotFound
from hub_ext.jobs.backends.base import AttemptStatus


def status(backend: Any, ref: str) -> Any:
    found = backend.list().get(ref)
    return found.status if found else None


def test_an_attempt_runs_to_its_end(bench: Any, until: Callable[..., Any]) -> None:
    ref = bench.backend.start(bench.spec())
    assert ref == f"{bench.run_id}-1"
    until(lambda: status(bench.backend, ref) is AttemptStatus.SUCCEEDED)
    seen = bench.backend.list()[ref]
    assert seen.exit_code == 0
    assert seen.folder is not None
    assert (seen.folder / "results" / "notebook.html").read_text() == "<p>executed</p>"
    assert "doing succeed" in bench.backend.logs(ref)
    bench.backend.forget(ref)
    assert bench.backend.list() == {}
    assert bench.backend.logs(ref) == ""


def test_a_failure_is_a_failure_with_its_code(bench: Any, until: Callable[..., Any]) -> None:
    ref = bench.backend.start(bench.spec("fail"))
    until(lambda: status(bench.backend, ref) is AttemptStatus.FAILED)
    seen = bench.backend.list()[ref]
    assert (seen.exit_code, seen.message) == (1, "Cell 2 raised ValueError: no data")


def test_one_that_ends_without_a_result_is_lost(bench: Any, until: Callable[..., Any]) -> None:
    ref = bench.backend.start(bench.spec("vanish"))
    until(lambda: status(bench.backend, ref) is AttemptStatus.LOST)
    assert "without a result" in bench.backend.list()[ref].message


def test_starting_twice_starts_once(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("wait")
    assert together(bench.backend.start, [spec] * 8) == [spec.ref] * 8
    until((bench.folder(spec) / "ready").exists)
    assert bench.backend.start(spec) == spec.ref
    (bench.folder(spec) / "go").touch()
    until(lambda: status(bench.backend, spec.ref) is AttemptStatus.SUCCEEDED)
    # Not even once it has ended.
    bench.backend.start(spec)
    bench.again().start(spec)
    assert status(bench.backend, spec.ref) is AttemptStatus.SUCCEEDED
    assert (bench.folder(spec) / "starts").read_text() == "started\n"


def test_attempts_of_one_run_are_apart(bench: Any, until: Callable[..., Any]) -> None:
    first, second = bench.spec("vanish"), bench.spec("succeed", n=2)
    bench.backend.start(first)
    bench.backend.start(second)
    until(lambda: status(bench.backend, second.ref) is AttemptStatus.SUCCEEDED)
    until(lambda: status(bench.backend, first.ref) is AttemptStatus.LOST)
    bench.backend.forget(first.ref)
    assert list(bench.backend.list()) == [second.ref]


def test_is_asked_to_stop_and_saves(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("hang")
    bench.backend.start(spec)
    until((bench.folder(spec) / "ready").exists)
    bench.backend.stop(spec.ref)
    bench.backend.stop(spec.ref)
    until(lambda: status(bench.backend, spec.ref) is AttemptStatus.FAILED)
    assert bench.backend.list()[spec.ref].exit_code == 143


def test_one_that_does_not_listen_is_ended(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("ignore")
    bench.backend.start(spec)
    until((bench.folder(spec) / "ready").exists)
    bench.backend.stop(spec.ref)
    until(lambda: status(bench.backend, spec.ref) is AttemptStatus.LOST)


def test_what_runs_is_found_again_after_a_restart(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("wait")
    bench.backend.start(spec)
    until((bench.folder(spec) / "ready").exists)
    later = bench.again()
    assert status(later, spec.ref) is AttemptStatus.RUNNING
    assert later.start(spec) == spec.ref
    (bench.folder(spec) / "go").touch()
    until(lambda: status(later, spec.ref) is AttemptStatus.SUCCEEDED)
    assert (bench.folder(spec) / "starts").read_text() == "started\n"


def test_what_runs_can_be_stopped_after_a_restart(bench: Any, until: Callable[..., Any]) -> None:
    for n, (do, expected) in enumerate(
        [("hang", AttemptStatus.FAILED), ("ignore", AttemptStatus.LOST)], 1
    ):
        spec = bench.spec(do, n=n)
        bench.backend.start(spec)
        until((bench.folder(spec) / "ready").exists)
        later = bench.again()
        later.stop(spec.ref)
        until(lambda later=later, ref=spec.ref: status(later, ref) is not AttemptStatus.RUNNING)
        assert status(later, spec.ref) is expected


def test_a_running_attempt_is_not_forgotten(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("hang")
    bench.backend.start(spec)
    until((bench.folder(spec) / "ready").exists)
    bench.backend.forget(spec.ref)
    assert status(bench.backend, spec.ref) is AttemptStatus.RUNNING


def test_a_missing_bundle_is_said_and_leaves_nothing(bench: Any) -> None:
    with pytest.raises(NotFound):
        bench.backend.start(bench.spec(bundle_sha256="c" * 64))
    assert bench.backend.list() == {}


@pytest.mark.parametrize("ref", ["nobody-1", "", "..-1", "../x-1", "01run-", "01run-x"])
def test_attempts_that_are_not_there_do_no_harm(bench: Any, ref: str) -> None:
    bench.backend.stop(ref)
    bench.backend.forget(ref)
    assert bench.backend.logs(ref) == ""
