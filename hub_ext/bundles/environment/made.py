"""The environment of a lock: one folder per lock, built once, shared by all runs that name it.

A virtual environment holds its own absolute path, so that it cannot be built
elsewhere and moved: it is built in its final place, under a lock of the file
system, and counts only once a marker in it says that it is complete. What a
killed build left has no marker and is built again.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from hub_ext.bundles.environment.equipped import equip
from hub_ext.bundles.environment.locked import Lock
from hub_ext.bundles.environment.uv import explain, uv_environment
from hub_ext.errors import PublicError

MARKER = "almanac-complete.json"
"""In each environment that is whole; its time of change is that of the last use."""
REQUIREMENTS = "almanac-requirements.txt"
"""In each environment: what was asked for, with hashes."""


class EnvironmentNotBuilt(PublicError):
    code, status = "environment-not-built", 424


def find(lock: Lock, folder: Path) -> Path | None:
    """The environment's Python, if it was built before; notes the use."""
    final = folder / lock.sha256
    python = final / "bin" / "python"
    try:
        os.utime(final / MARKER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # a folder of environments that is read-only here: use it all the same
    with suppress(OSError):
        equip(final)  # an older Almanac may have built it
    # The interpreter below it may have been uninstalled since.
    return python if python.exists() else None


def materialise(
    lock: Lock,
    folder: Path,
    uv: Path,
    env: Mapping[str, str],
    *,
    log: Callable[[str], None] = lambda line: None,
) -> Path:
    """The Python of the environment that ``lock`` describes, built if need be.

    Args:
        lock: what it holds.
        folder: of all environments; this one becomes ``<folder>/<sha256>``.
        uv: the uv to build with.
        env: environment that carries the network's settings.
        log: takes a line of progress.

    Raises:
        EnvironmentNotBuilt: it cannot be; nothing half-built is left.
    """
    if (python := find(lock, folder)) is not None:
        return python
    here = f"{sys.platform}-{platform.machine().lower()}"
    if lock.platform != here:
        raise EnvironmentNotBuilt(
            f"The environment was locked on {lock.platform}, and this machine is {here}.",
            mend="Submit the notebook again from a machine of this kind.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / f".{lock.sha256}.lock", log) as held:
            return find(lock, folder) or _build(lock, folder / lock.sha256, uv, env, log, held)
    except OSError as error:
        raise EnvironmentNotBuilt(
            f"The environment could not be built: {error.strerror or error}.",
            mend="Ask the operator to look at the disk of the environments' folder.",
        ) from error


@contextmanager
def _only_one(path: Path, log: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock at ``path``; yields its descriptor.

    It is given to every uv that is started, so that the lock lasts until the
    last of them has ended, even where this process is killed before.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("waiting for another run that builds the same environment")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _build(
    lock: Lock,
    final: Path,
    uv: Path,
    env: Mapping[str, str],
    log: Callable[[str], None],
    held: int,
) -> Path:
    if final.exists():
        log("removing what a build that was cut off has left")
        shutil.rmtree(final)
    try:
        chosen = _make_venv(lock, final, uv, env, log, held)
        python = final / "bin" / "python"
        log(f"installing {len(lock.packages)} packages")
        requirements = final / REQUIREMENTS
        requirements.write_text(lock.requirements())
        done = _run(
            *(uv, "pip", "install", "--python", python, "--require-hashes", "--no-deps"),
            *("--color=never", "--requirements", requirements),
            env=env,
            held=held,
        )
        if done.returncode != 0:
            raise EnvironmentNotBuilt(
                f"The environment could not be built: {explain(done.stderr)}",
                mend="If the package index does not answer, run it again later; if it no longer "
                "has a package, submit the notebook again from a newer environment.",
            )
        equip(final)
        pending = final / f"{MARKER}.new"
        pending.write_text(json.dumps({"lock": lock.sha256, "python": chosen}) + "\n")
        pending.replace(final / MARKER)
        return python
    except BaseException:
        shutil.rmtree(final, ignore_errors=True)
        raise


def _make_venv(
    lock: Lock,
    final: Path,
    uv: Path,
    env: Mapping[str, str],
    log: Callable[[str], None],
    held: int,
) -> str:
    """Make the empty environment; returns which interpreter was asked for."""
    minor = lock.python.rpartition(".")[0]
    ours = "{}.{}.{}".format(*sys.version_info[:3])
    base = str(getattr(sys, "_base_executable", sys.executable))
    choices = [base] if ours == lock.python else [lock.python]
    # A patch release changes no behaviour that a notebook should rest on, and
    # a machine's Python is patched while jobs live on.
    choices += [lock.python, base] if ours.startswith(f"{minor}.") else [minor]
    reasons = []
    for choice in dict.fromkeys(choices):
        done = _run(
            *(uv, "venv", "--no-project", "--color=never", "--python", choice, final),
            env=env,
            held=held,
        )
        if done.returncode == 0:
            if choice in (minor, base) and not (choice == base and ours == lock.python):
                log(f"Python {lock.python} is not on this machine; another {minor} takes its place")
            return choice
        reasons.append(explain(done.stderr, limit=200))
    raise EnvironmentNotBuilt(
        f"The notebook needs Python {lock.python}, and this machine has none like it: "
        f"{reasons[-1]}",
        mend=f"Ask the operator to install Python {minor}, or choose another kernel.",
    )


def _run(
    *command: str | Path, env: Mapping[str, str], held: int
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(word) for word in command],
            env=uv_environment(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=(held,),
        )
    except FileNotFoundError as error:
        raise EnvironmentNotBuilt(
            f"{command[0]} is not there.", mend="Run `make setup`."
        ) from error
