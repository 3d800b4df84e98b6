"""What is particular to attempts as processes of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub_ext.jobs.backends.base import AttemptStatus
from hub_ext.jobs.backends.folder import read_exit
from hub_ext.runner.sockets import temporary_folder


def test_the_folder_says_all_and_only_the_token_file_is_secret(
    bench: Any, until: Callable[..., Any]
) -> None:
    spec = bench.spec("wait", timeout_seconds=60, cell_timeout_seconds=7)
    bench.backend.start(spec)
    folder: Path = bench.folder(spec)
    until((folder / "ready").exists)
    attempt = json.loads((folder / "attempt.json").read_text())
    token_file = attempt["environment"].pop("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    assert attempt == {
        "run_id": bench.run_id,
        "n": 1,
        "fence": 1,
        "bundle_sha256": "b" * 64,
        "parameters": {"do": "wait"},
        "environment": {"ALMANAC_PROJECT": "prices", "ALMANAC_ATTEMPT": spec.ref},
        "timeout_seconds": 60,
        "cell_timeout_seconds": 7,
        "environments": str(folder.parents[1] / "environments"),
        "uv": "/usr/bin/uv",
        "sockets": str(temporary_folder() / f"almanac-{spec.ref}"),
    }
    assert Path(token_file).read_text() == "Bearer almrun_secret"
    assert Path(token_file).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    pid = json.loads((folder / "process.json").read_text())["pid"]
    assert "almrun_secret" not in " ".join(psutil.Process(pid).cmdline())
    environment = psutil.Process(pid).environ()
    assert "almrun_secret" not in str(environment)
    assert environment.keys() <= {"PATH", "LANG", "LC_CTYPE", "ALMANAC_ATTEMPT"}
    assert os.getsid(pid) == pid
    (folder / "go").touch()
    until(lambda: bench.backend.list()[spec.ref].status is AttemptStatus.SUCCEEDED)


def test_the_end_of_a_runner_is_noticed_at_once(bench: Any, until: Callable[..., Any]) -> None:
    bench.backend.start(bench.spec())
    until(lambda: bench.changes)


def test_what_an_attempt_leaves_behind_is_ended(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec("children")
    bench.backend.start(spec)
    folder = bench.folder(spec)
    until((folder / "ready").exists)
    child = psutil.Process(int((folder / "child").read_text()))
    sockets = Path(json.loads((folder / "attempt.json").read_text())["sockets"])
    sockets.mkdir(mode=0o700)
    (sockets / "k-1").touch()
    runner = json.loads((folder / "process.json").read_text())["pid"]
    psutil.Process(runner).kill()
    until(lambda: bench.backend.list()[spec.ref].status is AttemptStatus.LOST)
    assert "SIGKILL" in bench.backend.list()[spec.ref].message
    bench.backend.forget(spec.ref)
    until(lambda: not child.is_running())
    assert not folder.exists()
    assert not sockets.exists()


def test_a_notebook_that_locks_us_out_is_cleared_away(
    bench: Any, until: Callable[..., Any]
) -> None:
    spec = bench.spec()
    bench.backend.start(spec)
    until(lambda: bench.backend.list()[spec.ref].status is AttemptStatus.SUCCEEDED)
    work = bench.folder(spec) / "work" / "deep"
    work.mkdir(parents=True)
    (work / "file").touch()
    work.chmod(0o500)
    bench.backend.forget(spec.ref)
    assert not bench.folder(spec).exists()


def test_a_folder_that_was_prepared_and_not_started_is_started(
    bench: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench.spec()
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.backend), "_launch", lambda *_: None)
        bench.backend.start(spec)
    assert bench.folder(spec).is_dir()
    assert bench.backend.list() == {}
    bench.again().start(spec)
    until(lambda: bench.backend.list()[spec.ref].status is AttemptStatus.SUCCEEDED)


def test_logs_are_the_newest_mebibyte(bench: Any, until: Callable[..., Any]) -> None:
    spec = bench.spec()
    bench.backend.start(spec)
    until(lambda: bench.backend.list()[spec.ref].status is AttemptStatus.SUCCEEDED)
    (bench.folder(spec) / "runner.log").write_bytes(b"x" * (3 << 20) + b"end")
    log = bench.backend.logs(spec.ref)
    assert len(log) == 1 << 20
    assert log.endswith("end")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"exit_code": "zero"}',
        '{"exit_code": 999}',
        '{"exit_code": null}',
        '{"message": "no code"}',
    ],
)
def test_an_exit_document_that_is_none_does_not_count(tmp_path: Path, content: str) -> None:
    (tmp_path / "exit.json").write_text(content)
    assert read_exit(tmp_path) is None


def test_an_exit_document_is_cut_to_size_and_never_followed(tmp_path: Path) -> None:
    failure = {
        "cell": 3,
        "ename": "E",
        "evalue": "v" * 50_000,
        "traceback": [f"{i} \ud800\0" for i in range(1000)],
        "more": 1,
    }
    document = {"exit_code": 1, "message": "m" * 50_000, "failure": failure, "progress": "half"}
    (tmp_path / "exit.json").write_text(json.dumps(document))
    found = read_exit(tmp_path)
    assert found is not None
    assert found.failure is not None
    assert len(found.message) == len(found.failure["evalue"]) == 10_000
    assert len(found.failure["traceback"]) == 300
    assert found.failure["traceback"][-1] == "999 ?�"
    assert found.progress is None
    (tmp_path / "exit.json").rename(tmp_path / "elsewhere")
    (tmp_path / "exit.json").symlink_to(tmp_path / "elsewhere")
    assert read_exit(tmp_path) is None
    (tmp_path / "exit.json").unlink()
    os.mkfifo(tmp_path / "exit.json")
    assert read_exit(tmp_path) is None


def test_what_was_half_prepared_by_a_killed_service_is_cleared_away(bench: Any) -> None:
    spec = bench.spec()
    draft = bench.folder(spec).parent / ".1-abcd"
    draft.mkdir(parents=True)
    (draft / "bundle.tar.gz").touch()
    assert bench.again().list() == {}
    assert not draft.exists()
