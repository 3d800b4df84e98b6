from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hub_ext.bundles.environment import (
    Distribution,
    EnvironmentNotBuilt,
    EnvironmentNotLockable,
    EnvironmentUnreadable,
    Listing,
    Lock,
    LockedPackage,
    LockInvalid,
    find,
    listing,
    lock,
    materialise,
)
from hub_ext.bundles.environment.equipped import equip
from hub_ext.bundles.environment.made import MARKER
from hub_ext.bundles.environment.uv import explain, uv_environment
from hub_ext.errors import PublicError, Unavailable

HERE = "{}.{}.{}".format(*sys.version_info[:3])


def listed(*packages: Distribution) -> Listing:
    return Listing(Path(sys.executable), HERE, "cpython", _platform(), tuple(sorted(packages)))


def _platform() -> str:
    return f"{sys.platform}-{os.uname().machine.lower()}"


def locked(**packages: tuple[str, str]) -> Lock:
    return Lock(
        python=HERE,
        platform=_platform(),
        packages=tuple(
            LockedPackage(name=name, version=version, hashes=(f"sha256:{sha256}",))
            for name, (version, sha256) in sorted(packages.items())
        ),
    )


@pytest.fixture
def venv(tmp_path: Path, uv: Path) -> Path:
    """The Python of an empty environment."""
    subprocess.run(
        [uv, "venv", "-q", "--python", sys.executable, tmp_path / "venv"], check=True, timeout=60
    )
    return tmp_path / "venv" / "bin" / "python"


def install(python: Path, name: str, version: str, **files: str) -> Path:
    site = next((python.parent.parent / "lib").glob("python3*/site-packages"))
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)
    return site


def test_a_listing_is_of_the_interpreters_own_packages(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(venv, "Some.Package_X", "1.0")
    for variable in ("PYTHONPATH", "PYTHONUSERBASE"):
        folder = tmp_path / variable
        site = folder / "lib" / f"python{HERE.rpartition('.')[0]}" / "site-packages"
        for place in (folder, site):
            (place / "stray-9.dist-info").mkdir(parents=True)
            (place / "stray-9.dist-info" / "METADATA").write_text("Name: stray\nVersion: 9\n")
        monkeypatch.setenv(variable, str(folder))
    found = listing(venv)
    assert found.packages == (Distribution("some-package-x", "1.0"),)
    assert (found.python, found.implementation, found.platform) == (HERE, "cpython", _platform())
    assert found.get("Some_Package.x") is not None


@pytest.mark.parametrize(
    ("direct", "origin", "source"),
    [
        ({"url": "file:///src/x", "dir_info": {"editable": True}}, "editable", "file:///src/x"),
        ({"url": "file:///src/x", "dir_info": {}}, "folder", "file:///src/x"),
        (
            {"url": "https://u:p@git.example/x.git", "vcs_info": {"vcs": "git"}},
            "repository",
            "https://git.example/x.git",
        ),
        ({"url": "https://e.example/x.whl", "archive_info": {}}, "file", "https://e.example/x.whl"),
    ],
)
def test_where_a_package_came_from(
    venv: Path, direct: dict[str, Any], origin: str, source: str
) -> None:
    install(venv, "x", "1", direct_url__json=json.dumps(direct))
    (found,) = listing(venv).packages
    assert (found.origin, found.source) == (origin, source)


def test_conda_records_where_it_built_and_that_is_no_folder_of_anybodys(venv: Path) -> None:
    direct = json.dumps({"url": "file:///home/conda/feedstock/work", "dir_info": {}})
    install(venv, "x", "1", direct_url__json=direct, INSTALLER="conda\n")
    assert listing(venv).packages == (Distribution("x", "1"),)


@pytest.mark.parametrize("script", ["exit 1", "echo no json", None])
def test_an_interpreter_that_does_not_answer_is_explained(
    tmp_path: Path, script: str | None
) -> None:
    python = tmp_path / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    with pytest.raises(EnvironmentUnreadable) as caught:
        listing(python)
    assert caught.value.mend


def test_a_lock_has_versions_and_hashes_and_no_addresses(index: Any, uv: Path) -> None:
    sha256 = index.add("tiny-one", "1.0")
    index.add("tiny-two", "2.0+local.1")
    made = lock(
        listed(Distribution("tiny-one", "1.0"), Distribution("tiny-two", "2.0+local.1")),
        uv,
        index.env,
    )
    assert [(p.name, p.version) for p in made.packages] == [
        ("tiny-one", "1.0"),
        ("tiny-two", "2.0+local.1"),
    ]
    assert made.packages[0].hashes == (f"sha256:{sha256}",)
    assert "http" not in made.to_json()
    assert Lock.from_json(made.to_json()) == made
    assert made.version("Tiny_One") == "1.0"
    assert lock(listed(*reversed(listed().packages)), uv, index.env).packages == ()


def test_packages_that_cannot_be_had_again_are_all_named(index: Any, uv: Path) -> None:
    index.add("tiny", "1.0")
    packages = [
        Distribution("tiny", "1.0"),
        Distribution("gone", "1.0"),
        Distribution("also-gone", "3"),
        Distribution("mine", "0.1", "editable", "file:///src/mine"),
        Distribution("fork", "0.2", "repository", "https://git.example/fork.git"),
        Distribution("wheel-of-mine", "0.3", "file", "file:///w.whl", "0" * 64),
    ]
    index.add("wheel-of-mine", "0.3")
    with pytest.raises(EnvironmentNotLockable) as caught:
        lock(listed(*packages), uv, index.env)
    names = ["also-gone", "fork", "gone", "mine", "wheel-of-mine"]
    assert caught.value.extra["packages"] == names
    assert "editable from file:///src/mine" in caught.value.message
    assert "gone 1.0 (not in the package index)" in caught.value.message
    assert caught.value.mend


def test_a_wheel_of_the_index_that_was_installed_as_a_file_is_as_good(index: Any, uv: Path) -> None:
    sha256 = index.add("tiny", "1.0")
    package = Distribution("tiny", "1.0", "file", "file:///tiny.whl", sha256)
    assert lock(listed(package), uv, index.env).version("tiny") == "1.0"


def test_an_index_without_hashes_is_explained(index: Any, uv: Path, tmp_path: Path) -> None:
    index.add("tiny", "1.0")
    wheels = str(index.folder / "simple" / "tiny")
    env = {**index.env, "UV_NO_INDEX": "1", "PIP_FIND_LINKS": f"/nope {wheels}"}
    with pytest.raises(EnvironmentNotLockable, match="no hash"):
        lock(listed(Distribution("tiny", "1.0")), uv, env)


def test_an_index_that_is_down_is_unavailable_and_shows_no_password(index: Any, uv: Path) -> None:
    env = {**index.env, "PIP_INDEX_URL": "http://ana:secret@127.0.0.1:9/simple"}
    with pytest.raises(Unavailable) as caught:
        lock(listed(Distribution("tiny", "1.0")), uv, env)
    assert "127.0.0.1:9" in caught.value.message
    assert "secret" not in str(caught.value)


def test_only_cpython_and_only_with_uv(index: Any, tmp_path: Path) -> None:
    pypy = Listing(Path("/x"), "3.11.1", "pypy", "linux-x86_64", ())
    with pytest.raises(EnvironmentNotLockable, match="pypy"):
        lock(pypy, tmp_path / "uv", {})
    with pytest.raises(PublicError, match="is not there"):
        lock(listed(), tmp_path / "uv", {})


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"python": "3.11"},
        {"python": "3.11.7; rm"},
        {"platform": "linux x86"},
        {"packages": [{"name": "A", "version": "1", "hashes": ["sha256:" + "0" * 64]}]},
        {"packages": [{"name": "a", "version": "1 -i x", "hashes": ["sha256:" + "0" * 64]}]},
        {"packages": [{"name": "a", "version": "1\n-r x", "hashes": ["sha256:" + "0" * 64]}]},
        {"packages": [{"name": "a", "version": "1", "hashes": []}]},
        {"packages": [{"name": "a", "version": "1", "hashes": ["md5:" + "0" * 64]}]},
        {"packages": [{"name": n, "version": "1", "hashes": ["sha256:" + "0" * 64]} for n in "ba"]},
        {"packages": [{"name": n, "version": "1", "hashes": ["sha256:" + "0" * 64]} for n in "aa"]},
        {"url": "http://x"},
    ],
)
def test_a_lock_that_is_none_is_refused(change: dict[str, Any]) -> None:
    """What is in a lock goes into a requirements file: nothing else may get in."""
    good = json.loads(locked().to_json())
    with pytest.raises(LockInvalid):
        Lock.from_json(json.dumps(good | change))
    with pytest.raises(LockInvalid):
        Lock.from_json("no json")


def test_requirements_are_pinned_by_hash() -> None:
    assert locked(a=("1.0", "0" * 64)).requirements() == (
        f"a==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
    )


def test_an_environment_is_built_once_and_found_again(index: Any, uv: Path, tmp_path: Path) -> None:
    made = locked(tiny=("1.0", index.add("tiny", "1.0")))
    folder = tmp_path / "environments"
    lines: list[str] = []
    assert find(made, folder) is None
    python = materialise(made, folder, uv, index.env, log=lines.append)
    assert python == folder / made.sha256 / "bin" / "python"
    assert lines == ["installing 1 packages"]
    script = "import tiny, sys; print(tiny.version, sys.prefix)"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", str(folder / made.sha256)]
    assert [(p.name, p.version) for p in listing(python).packages] == [("tiny", "1.0")]
    # What the platform adds is there, and comes back: an older one may have built it.
    (ours,) = (folder / made.sha256).glob("lib/python3*/site-packages/almanac_duckdb.pth")
    ours.unlink()
    marker = folder / made.sha256 / MARKER
    os.utime(marker, (1, 1))
    # With the index gone and uv too, what is there is used.
    assert materialise(made, folder, Path("/nope"), {}, log=lines.append) == python
    assert marker.stat().st_mtime > 1
    assert len(lines) == 1
    assert ours.exists()


def test_duckdb_is_shown_the_extensions_that_were_installed_as_packages(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    packages = environment / "lib" / "python3.12" / "site-packages"
    extension = packages / "duckdb_extension_httpfs" / "extensions" / "v1.5.5"
    extension.mkdir(parents=True)
    (extension / "httpfs.duckdb_extension").write_bytes(b"an extension")
    equip(environment)
    (link,) = (environment / "share" / "almanac" / "duckdb").glob(
        "v1.5.5/*/httpfs.duckdb_extension"
    )
    assert re.fullmatch(r"(linux|osx)_(amd64|arm64|\w+)", link.parent.name)
    # Moved with the environment, and mended where it led elsewhere.
    link.unlink()
    link.symlink_to("/nowhere")
    equip(environment)
    environment.rename(tmp_path / "moved")
    moved = tmp_path / "moved" / link.relative_to(environment)
    assert moved.read_bytes() == b"an extension"


@pytest.mark.parametrize("damage", ["marker", "python"])
def test_what_is_damaged_or_half_built_is_built_again(
    index: Any, uv: Path, tmp_path: Path, damage: str
) -> None:
    made = locked(tiny=("1.0", index.add("tiny", "1.0")))
    python = materialise(made, tmp_path / "e", uv, index.env)
    stray = python.parent.parent / "stray"
    stray.touch()
    (python.parent.parent / MARKER if damage == "marker" else python).unlink()
    assert materialise(made, tmp_path / "e", uv, index.env) == python
    assert python.exists()
    assert not stray.exists()


def test_another_artefact_than_the_locked_one_is_refused(
    index: Any, uv: Path, tmp_path: Path
) -> None:
    index.add("tiny", "1.0")
    made = locked(tiny=("1.0", "0" * 64))
    with pytest.raises(EnvironmentNotBuilt, match=r"(?i)hash"):
        materialise(made, tmp_path / "e", uv, index.env)
    assert find(made, tmp_path / "e") is None
    assert not (tmp_path / "e" / made.sha256).exists()


def test_a_package_that_is_gone_and_an_index_that_is_down(
    index: Any, uv: Path, tmp_path: Path
) -> None:
    made = locked(gone=("1.0", "0" * 64))
    with pytest.raises(EnvironmentNotBuilt, match="gone") as caught:
        materialise(made, tmp_path / "e", uv, index.env)
    assert caught.value.mend
    env = {**index.env, "PIP_INDEX_URL": "http://a:secret@127.0.0.1:9/"}
    with pytest.raises(EnvironmentNotBuilt) as caught:
        materialise(made, tmp_path / "e", uv, env)
    assert "secret" not in str(caught.value)


def test_another_patch_release_takes_the_place_of_one_that_is_not_there(
    index: Any, uv: Path, tmp_path: Path
) -> None:
    other = locked().model_copy(update={"python": f"{HERE.rpartition('.')[0]}.99"})
    lines: list[str] = []
    python = materialise(other, tmp_path / "e", uv, index.env, log=lines.append)
    assert python.exists()
    assert "takes its place" in lines[0]


def test_no_python_like_it_and_another_kind_of_machine(
    index: Any, uv: Path, tmp_path: Path
) -> None:
    for change, words in (({"python": "3.99.1"}, "3.99"), ({"platform": "linux-riscv"}, "riscv")):
        with pytest.raises(EnvironmentNotBuilt, match=words) as caught:
            materialise(locked().model_copy(update=change), tmp_path / "e", uv, index.env)
        assert caught.value.mend


def test_a_folder_that_cannot_be_written_is_explained(uv: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotBuilt, match=r"Not a directory|File exists"):
        materialise(locked(), tmp_path / "file" / "e", uv, {})


BUILD = """
import json, sys
from pathlib import Path
from hub_ext.bundles.environment import Lock, materialise
lock, folder, uv, env = sys.argv[1:]
print("started", flush=True)
lines = []
path = materialise(Lock.from_json(lock), Path(folder), Path(uv), json.loads(env), log=lines.append)
print(json.dumps(lines), flush=True)
"""


def builder(made: Lock, folder: Path, uv: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, made.to_json(), folder, uv, json.dumps(env)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_several_that_build_at_once_one_builds(index: Any, uv: Path, tmp_path: Path) -> None:
    made = locked(tiny=("1.0", index.add("tiny", "1.0")))
    processes = [builder(made, tmp_path / "e", uv, index.env) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum("installing" in text for text in said) == 1


def test_a_build_that_was_killed_is_done_again(index: Any, uv: Path, tmp_path: Path) -> None:
    made = locked(tiny=("1.0", index.add("tiny", "1.0")))
    # A uv that makes the environment and then never comes back.
    slow = tmp_path / "slow-uv"
    slow.write_text(f'#!/bin/sh\n[ "$1" = venv ] && exec {uv} "$@"\nexec sleep 60\n')
    slow.chmod(0o755)
    process = builder(made, tmp_path / "e", slow, index.env)
    python = tmp_path / "e" / made.sha256 / "bin" / "python"
    sleeping = wait_for(lambda: python.exists() and child_named(process.pid, "sleep"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert find(made, tmp_path / "e") is None
    # Its uv still runs and could still write: nobody builds before it has ended.
    second = builder(made, tmp_path / "e", uv, index.env)
    assert second.stdout is not None
    assert second.stdout.readline() == "started\n"
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    os.kill(sleeping, signal.SIGKILL)
    said, _ = second.communicate(timeout=60)
    assert "waiting for another" in said
    assert "cut off" in said
    assert find(made, tmp_path / "e") == python


def wait_for(condition: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def child_named(pid: int, name: str) -> int | None:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
    return None


def test_uv_gets_the_networks_settings_and_nothing_of_a_project() -> None:
    env = uv_environment(
        {
            "PATH": "/bin",
            "HTTPS_PROXY": "http://proxy:1",
            "PIP_INDEX_URL": "https://mirror/simple",
            "PIP_EXTRA_INDEX_URL": "https://b/simple",
            "PIP_CERT": "/ca.pem",
            "VIRTUAL_ENV": "/x",
            "PYTHONPATH": "/x",
            "UV_PYTHON": "3.9",
            "JUPYTERHUB_API_TOKEN": "secret",
        }
    )
    assert env == {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy:1",
        "PIP_INDEX_URL": "https://mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://b/simple",
        "PIP_CERT": "/ca.pem",
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://b/simple",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    own = uv_environment({"PIP_INDEX_URL": "a", "UV_DEFAULT_INDEX": "b"})
    assert own["UV_DEFAULT_INDEX"] == "b"


def test_what_uv_says_is_short_and_without_credentials() -> None:
    said = explain("error: Failed\n  cause: https://ana:pw@mirror/x " + "y" * 1000)
    assert said.startswith("Failed cause: https://mirror/x")
    assert len(said) == 600
