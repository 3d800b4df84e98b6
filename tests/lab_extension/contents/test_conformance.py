"""Jupyter Server's own tests of its contents API, run against `S3ContentsManager`.

They are in its source distribution, which is fetched from the package index
(named by version and hash) into the cache folder of whoever runs this, and run
by an interpreter that has their dependencies (`.ci/peers`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from contents import ROOT
from stores import RunningStore

VERSION = "2.21.1"
ARCHIVE = f"jupyter_server-{VERSION}.tar.gz"
SHA256 = "a8960aa29263f6041283e97d4756b099fb49b767baab6371891ecb1bd40a63df"
TESTS = "tests/services/contents"
SECONDS = 600

pytestmark = pytest.mark.timeout(2 * SECONDS)


def cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "almanac" / "sdist"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_the_archive(path: Path) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked distribution."""
    archive = cache() / ARCHIVE
    if not is_the_archive(archive):
        requirement = tmp_path_factory.mktemp("pinned") / "requirements.txt"
        requirement.write_text(f"jupyter_server=={VERSION} --hash=sha256:{SHA256}\n")
        fetched = tmp_path_factory.mktemp("fetched")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        pip += ["--no-binary=jupyter_server", f"--dest={fetched}", f"--requirement={requirement}"]
        answer = subprocess.run(pip, capture_output=True, text=True, timeout=300)
        if not is_the_archive(fetched / ARCHIVE):
            pytest.skip(f"{ARCHIVE} cannot be had: {answer.stderr[-500:]}")
        # Whole or not at all, whoever else fetches it now.
        whole = archive.with_name(f"{ARCHIVE}.{os.getpid()}")
        shutil.copy(fetched / ARCHIVE, whole)
        whole.replace(archive)
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(archive) as tar:
        # Python of Debian 12 has no filters; what is in here is known by its hash.
        filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **filters)
    return folder / f"jupyter_server-{VERSION}"


@pytest.fixture(scope="module")
def interpreter() -> str:
    answer = subprocess.run(
        [str(ROOT / ".ci" / "peers")], capture_output=True, text=True, timeout=SECONDS
    )
    if answer.returncode:
        pytest.skip(f"the interpreter for these tests cannot be had: {answer.stderr[-500:]}")
    return answer.stdout.strip()


def run(
    interpreter: str, sources: Path, running: RunningStore, folder: Path, *files: str
) -> dict[str, int]:
    """How many of the tests passed, failed, …; fails with their report if any did not pass."""
    store = {"endpoint": running.endpoint, "bucket": running.bucket, **running.keys}
    environment = {
        **os.environ,
        "ALMANAC_STORE": json.dumps(store),
        "HOME": str(folder),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}",
        "PY_COLORS": "0",
    }
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    command = [interpreter, "-m", "pytest", "-p", "mirrored", "-p", "no:cacheprovider", "-q"]
    command += ["--timeout=120", "--show-capture=no", "--tb=short", f"--basetemp={folder / 'tmp'}"]
    answer = subprocess.run(
        [*command, *(f"{TESTS}/{name}" for name in files)],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    summary = answer.stdout.strip().rpartition("\n")[2]
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", summary)}
    assert answer.returncode == 0, answer.stdout[-8000:] + answer.stderr[-2000:]
    return counts


def test_all_of_the_http_api(
    interpreter: str, sources: Path, seaweedfs: RunningStore, tmp_path: Path
) -> None:
    counts = run(interpreter, sources, seaweedfs, tmp_path, "test_api.py")
    assert counts["passed"] == 141


def test_what_is_not_about_the_local_disk_of_the_managers(
    interpreter: str, sources: Path, seaweedfs: RunningStore, tmp_path: Path
) -> None:
    """See `mirrored.EXCLUDED` for what is left out, by name, with the reasons."""
    files = ("test_manager.py", "test_largefilemanager.py", "test_checkpoints.py")
    counts = run(interpreter, sources, seaweedfs, tmp_path, *files)
    assert counts["passed"] >= 45
