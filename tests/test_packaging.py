"""What is in the built distributions: all that runs, and no source that does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".*cache*", "build", "_build", "dist", "node_modules", "lib", "__pycache__"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with a JupyterLab extension that counts as built."""
    copy = tmp_path_factory.mktemp("packaging") / "tree"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    built = copy / "lab_extension" / "labextension"
    (built / "static").mkdir(parents=True, exist_ok=True)
    (built / "package.json").write_text("{}")
    (built / "static" / "style.js").write_text("")
    return copy


def build(tree: Path, target: str) -> Path:
    folder = tree.parent / target
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=tree,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (found,) = folder.iterdir()
    return found


def test_the_wheel_holds_all_that_runs(tree: Path) -> None:
    with zipfile.ZipFile(build(tree, "wheel")) as wheel:
        names = set(wheel.namelist())
    data = next(name for name in names if ".data/" in name).partition(".data/")[0] + ".data/data"
    code = {
        path.relative_to(tree).as_posix()
        for package in ("hub_ext", "lab_extension")
        for path in (tree / package).rglob("*")
        if path.is_file() and (tree / "lab_extension" / "frontend") not in path.parents
    }
    assert code <= names
    for needed in (
        "hub_ext/jobs/migrations/versions/0001_first.py",
        "hub_ext/jobs/pages/templates/base.html",
        "hub_ext/jobs/pages/static/almanac.css",
        "hub_ext/embedded/proxy/package-lock.json",
        "lab_extension/labextension/static/style.js",
        f"{data}/share/jupyter/labextensions/almanac/package.json",
        f"{data}/etc/jupyter/jupyter_server_config.d/almanac.json",
        f"{data}/share/almanac/config/almanac.yaml",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
    assert not [name for name in names if "/frontend/" in name]


def test_the_source_distribution_can_be_built_and_tested(tree: Path) -> None:
    with tarfile.open(build(tree, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        ".ci/chromium",  # `make test` starts it
        "Makefile",
        "lab_extension/frontend/package.json",
        "requirements/platform.txt",
        "tests/conftest.py",
    } <= names
