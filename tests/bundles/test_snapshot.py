from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_ext.bundles.git import describe, without_credentials
from hub_ext.bundles.kernels import KernelFinder
from hub_ext.bundles.snapshot import take
from hub_ext.errors import PublicError


@pytest.fixture
def path(tmp_path: Path, notes: SimpleNamespace) -> Path:
    file = tmp_path / "work" / "note é.ipynb"
    file.parent.mkdir()
    file.write_text(json.dumps(notes.notebook(notes.code("year = 2024", "parameters"))))
    return file


def refusal(path: Path, kernels: KernelFinder, *files: str | Path) -> PublicError:
    with pytest.raises(PublicError) as caught:
        take(path, files=[Path(file) for file in files], kernels=kernels)
    assert str(caught.value)
    return caught.value


def test_a_snapshot_holds_what_a_run_needs(path: Path, kernels: KernelFinder) -> None:
    (path.parent / "data").mkdir()
    (path.parent / "data" / "a.csv").write_bytes(b"1,2\n")
    (path.parent / "helper.py").write_bytes(b"x = 1\n")
    files = [Path("helper.py"), path.parent / "data" / "a.csv", Path("data/a.csv"), Path(path.name)]
    taken = take(path, files=files, owner="ana", kernels=kernels)
    assert taken.notebook_name == "note é.ipynb"
    assert taken.python == Path(sys.executable)
    assert taken.kernel.ref.display_name == "Here"
    assert [p.name for p in taken.parameters] == ["year"]
    assert [file.entry.name for file in taken.files] == ["data/a.csv", "helper.py"]
    assert taken.files[0].content == b"1,2\n"
    assert taken.owner == "ana"


def test_files_out_of_the_folder_and_what_is_no_file_are_refused(
    path: Path, kernels: KernelFinder, tmp_path: Path
) -> None:
    (tmp_path / "outside.txt").write_text("x")
    (path.parent / "link").symlink_to(tmp_path / "outside.txt")
    (path.parent / "loop").symlink_to("loop")
    (path.parent / "folder").mkdir()
    os.mkfifo(path.parent / "pipe")
    for file in ("../outside.txt", tmp_path / "outside.txt", "link", "loop", "folder", "pipe"):
        assert refusal(path, kernels, file).code == "file-refused"
    assert refusal(path, kernels, "nope.csv").code == "not-found"


def test_names_that_cannot_be_stored_are_refused(path: Path, kernels: KernelFinder) -> None:
    for name in (b"latin-\xe9.csv", b"new\nline", b"back\\slash"):
        file = path.parent / os.fsdecode(name)
        file.touch()
        error = refusal(path, kernels, file)
        assert error.code == "file-refused"
        json.dumps(error.problem()).encode()


def test_too_many_and_too_large_files_are_refused(path: Path, kernels: KernelFinder) -> None:
    assert refusal(path, kernels, *["a"] * 1001).code == "file-refused"
    with (path.parent / "big").open("wb") as file:
        file.truncate(101 * 1024 * 1024)
    assert refusal(path, kernels, "big").code == "file-refused"


def test_a_kernel_that_is_not_there_is_refused_with_those_that_are(
    path: Path, kernels: KernelFinder, notes: SimpleNamespace
) -> None:
    for name in ("nope", "../here", "a b"):
        path.write_text(json.dumps(notes.notebook("x", kernel=name)))
        error = refusal(path, kernels)
        assert error.code == "kernel-unknown"
        assert "here" in error.mend


@pytest.mark.parametrize("name", ["ir", "wrapped"])
def test_a_kernel_whose_environment_cannot_be_captured(
    path: Path, kernels: KernelFinder, notes: SimpleNamespace, name: str
) -> None:
    path.write_text(json.dumps(notes.notebook("x", kernel=name)))
    taken = take(path, kernels=kernels)
    with pytest.raises(PublicError) as caught:
        taken.python  # noqa: B018
    assert caught.value.code == "kernel-not-for-jobs"


def test_kernels_are_found_where_jupyter_path_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "share" / "kernels" / "here"
    folder.mkdir(parents=True)
    python = tmp_path / "python3.11"
    python.symlink_to(sys.executable)
    spec = {"argv": [str(python), "-m", "x"], "display_name": "Mine", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    assert take(path, kernels=KernelFinder()).python == python


def test_env_before_the_interpreter_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    argv = ["/usr/bin/env", "X=1", sys.executable, "-m", "ipykernel"]
    spec = {"argv": argv, "display_name": "K", "language": "Python"}
    (tmp_path / "k" / "kernel.json").write_text(json.dumps(spec))
    found = KernelFinder([tmp_path]).find({"name": "k"})
    assert found.interpreter == Path(sys.executable)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    done = subprocess.run(
        ["git", *identity, "-c", "init.defaultBranch=main", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_state_of_the_repository(path: Path) -> None:
    assert describe(path) is None
    folder = path.parent
    git(folder, "init")
    assert describe(path) is None  # no commit yet
    (folder / "sub").mkdir()
    moved = path.rename(folder / "sub" / "n.ipynb")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "First")
    clean = describe(moved)
    assert clean is not None
    assert (clean.commit, clean.path) == (git(folder, "rev-parse", "HEAD"), "sub/n.ipynb")
    assert (clean.branch, clean.dirty, clean.patch_sha256, clean.remote) == (
        "main",
        False,
        None,
        "",
    )
    git(folder, "remote", "add", "origin", "https://ana:secret@git.example/x.git")
    moved.write_text("changed")
    dirty = describe(moved)
    assert dirty is not None
    assert dirty.dirty
    assert dirty.patch_sha256
    assert dirty.remote == "https://git.example/x.git"


def test_programs_of_the_repository_are_not_started(path: Path, tmp_path: Path) -> None:
    folder = path.parent
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "First")
    path.write_text("changed")
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "core.pager", "diff.x.textconv"):
        git(folder, "config", key, str(trap))
    (folder / ".gitattributes").write_text("* diff=x\n")
    assert describe(path) is not None
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:token@git.example:8443/a/b.git", "https://git.example:8443/a/b.git"),
        ("ssh://git@git.example/a", "ssh://git.example/a"),
        ("git@git.example:a/b.git", "git.example:a/b.git"),
        ("/srv/git/a@b.git", "/srv/git/a@b.git"),
        ("", ""),
    ],
)
def test_addresses_lose_their_credentials(url: str, expected: str) -> None:
    assert without_credentials(url) == expected


def test_outputs_do_not_change_what_is_bundled(
    path: Path, kernels: KernelFinder, notes: SimpleNamespace
) -> None:
    def stripped(**changes: Any) -> bytes:
        path.write_text(json.dumps(notes.notebook(notes.code("x", **changes))))
        return take(path, kernels=kernels).stripped

    text = {"output_type": "stream", "name": "stdout", "text": "x"}
    assert stripped() == stripped(outputs=[text], execution_count=5)
