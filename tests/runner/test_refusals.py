"""Bundles that are refused, and environments that cannot be made."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub_ext.bundles.environment import Lock, LockedPackage, find, listing, lock
from hub_ext.bundles.environment.made import MARKER
from hub_ext.errors import Unavailable


def with_packages(original: Lock, **packages: str) -> Lock:
    return original.model_copy(
        update={
            "packages": tuple(
                LockedPackage(name=name, version=version, hashes=("sha256:" + "1" * 64,))
                for name, version in sorted(packages.items())
            )
        }
    )


def test_a_changed_bundle_is_refused_before_anything_runs(attempting: Any) -> None:
    running = attempting("open('ran', 'w')")
    content = bytearray(gzip.decompress(running.folder.bundle.read_bytes()))
    at = content.index(b"open('ran'")
    content[at : at + 4] = b"evil"
    running.folder.bundle.write_bytes(gzip.compress(bytes(content)))
    assert running.run() == 2
    assert running.exit["exit_code"] == 2
    assert running.exit["status"] == "failed"
    assert "not the one that was named" in running.exit["message"]
    assert not running.folder.work.exists()
    assert [event["type"] for event in running.events] == ["attempt.finished"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": {"nope": 1}}, "no parameter 'nope'"),
        ({"parameters": {"x": "text"}}, "a whole number"),
        ({"bundle_sha256": "0" * 64}, "not the one"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"environments": None}, "environments"),
    ],
)
def test_an_attempt_that_makes_no_sense_is_refused(
    attempting: Any, change: dict[str, Any], words: str
) -> None:
    running = attempting(("x = 1", "parameters"))
    attempt = json.loads(running.folder.attempt.read_text())
    running.folder.attempt.write_text(json.dumps(attempt | change))
    assert running.run() == 2
    assert words in running.exit["message"]


def test_files_of_the_backend_that_are_not_there(attempting: Any, tmp_path: Path) -> None:
    running = attempting("1")
    running.folder.bundle.unlink()
    assert running.run() == 2
    running = attempting("1")
    running.folder.attempt.unlink()
    assert running.run() == 2
    assert "attempt.json cannot be read" in running.exit["message"]


def test_a_folder_that_is_none_is_a_matter_of_usage(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "nope")], ["--nope"]):
        done = subprocess.run(
            [sys.executable, "-m", "hub_ext.runner", *arguments], capture_output=True, timeout=30
        )
        assert done.returncode == 64
        assert done.stderr


def test_an_environment_that_cannot_be_built_is_explained(attempting: Any, made: Any) -> None:
    impossible = with_packages(made.lock, ipykernel="0.0.0")
    env = {"PIP_INDEX_URL": "http://ana:s3cret@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    running = attempting("1", lock=impossible)
    assert running.run({**env, "UV_CACHE_DIR": str(running.folder.root / "cache")}) == 3
    assert running.exit["status"] == "failed"
    assert "could not be built" in running.exit["message"]
    assert running.of_type("environment.building")
    assert "s3cret" not in running.log + running.folder.exit.read_text()
    assert find(impossible, made.folder) is None


def test_an_environment_without_a_kernel_is_explained(attempting: Any, made: Any) -> None:
    running = attempting("1", lock=with_packages(made.lock, numpy="1.0"))
    assert running.run() == 3
    assert "ipykernel" in running.exit["message"]


def test_a_kernel_that_does_not_start_is_explained(attempting: Any, made: Any) -> None:
    broken = with_packages(made.lock, ipykernel="1.0")
    final = made.folder / broken.sha256
    (final / "bin").mkdir(parents=True)
    (final / "bin" / "python").write_text("#!/bin/sh\necho no ipykernel here >&2\nexit 1\n")
    (final / "bin" / "python").chmod(0o755)
    (final / MARKER).write_text("{}")
    running = attempting("1", lock=broken)
    assert running.run() == 3
    assert "did not start" in running.exit["message"]
    assert "status 1" in running.exit["message"]
    assert "no ipykernel here" in running.log


def test_sigterm_and_the_limit_end_the_building_too(
    attempting: Any, made: Any, tmp_path: Path
) -> None:
    slow = tmp_path / "uv"
    slow.write_text("#!/bin/sh\nexec sleep 120\n")
    slow.chmod(0o755)
    other = with_packages(made.lock, ipykernel="2.0")
    running = attempting("1", lock=other, uv=str(slow), timeout_seconds=0.7)
    assert running.run() == 4
    assert "environment" in running.exit["message"]
    running = attempting("1", lock=with_packages(made.lock, ipykernel="3.0"), uv=str(slow)).start()
    running.until(lambda: list(made.folder.glob(".*.lock")))
    running.until(lambda: running.of_type("attempt.started"))
    running.process.send_signal(signal.SIGTERM)
    assert running.wait(10) == 143
    assert running.exit["status"] == "cancelled"


def test_an_environment_is_built_for_a_run_and_found_by_the_next(
    attempting: Any, made: Any, tmp_path: Path
) -> None:
    """The true thing, with the package index that this machine has."""
    default = ENVIRONMENTS / "python" / "bin" / "python"
    found = listing(default)
    small = tuple(item for item in found.packages if item.name not in NOT_NEEDED)
    try:
        locked = lock(dataclasses.replace(found, packages=small), UV, os.environ)
    except Unavailable as error:
        pytest.skip(str(error))
    environments = str(tmp_path / "environments")
    first = attempting("import sys\nprint(sys.prefix)", lock=locked, environments=environments)
    assert first.run() == 0, first.log
    assert first.printed().strip() == f"{environments}/{locked.sha256}"
    assert first.of_type("environment.building")
    assert first.of_type("environment.ready")[0]["reused"] is False
    second = attempting("import pandas", lock=locked, environments=environments)
    assert second.run() == 1
    assert second.exit["failure"]["ename"] == "ModuleNotFoundError"
    assert second.of_type("environment.ready")[0]["reused"] is True


NOT_NEEDED = frozenset(
    {"contourpy", "cycler", "fonttools", "formulaic", "interface-meta", "kiwisolver", "matplotlib"}
    | {"narwhals", "numpy", "obstore", "pandas", "patsy", "pillow", "polars", "polars-runtime-32"}
    | {"pyarrow", "pyparsing", "scipy", "statsmodels", "wrapt"}
)
ENVIRONMENTS = Path(sys.prefix) / "share" / "almanac" / "environments"
UV = Path(sys.prefix) / "bin" / "uv"
