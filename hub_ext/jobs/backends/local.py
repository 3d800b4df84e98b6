"""Attempts as processes of this machine.

Each attempt has a folder of its own, ``<root>/<run>/<n>``, and a runner that
leads a session of its own, so that it outlives a restart of the service and
is found again. An attempt is alive for as long as its lock is held: the
runner inherits the lock's descriptor and the system lets go of it with the
process, however that ends. Process ids alone would not do: the system uses them again.

What the folder says when the lock is free is what became of the attempt:
``exit.json`` tells the end, and without one the attempt is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from hub_ext.jobs.backends.base import AttemptSpec, AttemptStatus, Backend, Listed
from hub_ext.jobs.backends.folder import ATTEMPT, BUNDLE, EXIT, LOG, RUNNER, TOKEN, read_exit
from hub_ext.processes import ProcessId
from hub_ext.runner import sockets as socket_paths

LOCK, PROCESS = "lock", "process.json"
MARK = "ALMANAC_ATTEMPT"
"""In the environment of everything that an attempt starts, to find what is left of it."""
TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - the name of a variable
GRACE_SECONDS = 10.0
LOG_BYTES = 1 << 20
_TICK_SECONDS = 0.05

log = logging.getLogger("almanac.jobs")


class LocalBackend(Backend):
    """Runners as processes of this machine, under the service's own account.

    How many are at work at once is decided by who calls `start`.

    Args:
        root: the attempts' folders; made with mode 0700.
        command: starts the runner; the attempt's folder is appended.
        fetch: writes the bundle of a sha256 to a path; raises `NotFound`,
            `Unavailable`.
        environments: folder of the kernels' environments, shared by attempts.
        uv: the program that builds them.
        environment: of the runner: PATH, HOME, LANG, the network's variables.
        changed: called, from a thread, when a runner of ours has ended.
        grace: seconds from being asked to end until it is ended.
    """

    def __init__(
        self,
        root: Path,
        *,
        command: Sequence[str],
        fetch: Callable[[str, Path], Any],
        environments: Path,
        uv: Path,
        environment: Mapping[str, str],
        changed: Callable[[], None] = lambda: None,
        grace: float = GRACE_SECONDS,
    ):
        self._root = root
        self._command = list(command)
        self._fetch = fetch
        self._environments = environments
        self._uv = uv
        self._environment = dict(environment)
        self._changed = changed
        self._grace = grace
        # Looking at a lock takes it for a moment: never while one is started.
        self._locks = threading.Lock()
        self._starting: set[str] = set()
        self._stopping: set[str] = set()
        self._exit_codes: dict[str, int] = {}
        self._threads = threading.Lock()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clear_drafts()

    # -- the contract

    def start(self, attempt: AttemptSpec) -> str:
        """As the contract says.

        Raises:
            NotFound: the bundle is gone.
            Unavailable, OSError: it cannot be fetched or written now.
        """
        ref = attempt.ref
        with self._threads:
            if ref in self._starting:
                return ref
            self._starting.add(ref)
        try:
            folder = self._root / attempt.run_id / str(attempt.n)
            if not folder.exists():
                self._prepare(attempt, folder)
            with self._locks:
                self._launch(ref, folder)
        finally:
            with self._threads:
                self._starting.discard(ref)
        return ref

    def stop(self, ref: str) -> None:
        folder = self._folder(ref)
        if folder is None:
            return
        with self._threads:
            if ref in self._stopping:
                return
            self._stopping.add(ref)
        threading.Thread(
            target=self._stop, args=(ref, folder), name=f"stop-{ref}", daemon=True
        ).start()

    def list(self) -> Mapping[str, Listed]:
        found = {}
        for ref, folder in self._folders():
            seen = self._look(ref, folder)
            if seen is not None:
                found[ref] = seen
        return found

    def logs(self, ref: str) -> str:
        folder = self._folder(ref)
        if folder is None:
            return ""
        try:
            with (folder / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
                return file.read(LOG_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def forget(self, ref: str) -> None:
        folder = self._folder(ref)
        if folder is None or self._alive(folder):
            return
        _kill_marked(ref)
        _remove(folder)
        shutil.rmtree(_sockets(ref), ignore_errors=True)
        # Not while another attempt of the run is there.
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
        self._exit_codes.pop(ref, None)

    # -- starting

    def _prepare(self, attempt: AttemptSpec, folder: Path) -> None:
        """Make the folder whole, or not at all."""
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
        try:
            self._fetch(attempt.bundle_sha256, draft / BUNDLE)
            environment = {**attempt.environment, MARK: attempt.ref}
            if attempt.run_token:
                _write(draft / TOKEN, f"Bearer {attempt.run_token}")
                environment[TOKEN_FILE] = str(folder / TOKEN)
            document = {
                "run_id": attempt.run_id,
                "n": attempt.n,
                "fence": attempt.fence,
                "bundle_sha256": attempt.bundle_sha256,
                "parameters": dict(attempt.parameters),
                "environment": environment,
                "timeout_seconds": attempt.timeout_seconds,
                "cell_timeout_seconds": attempt.cell_timeout_seconds,
                "environments": str(self._environments),
                "uv": str(self._uv),
                "sockets": str(_sockets(attempt.ref)),
            }
            _write(draft / ATTEMPT, json.dumps(document))
            draft.rename(folder)
        except BaseException:
            _remove(draft)
            raise

    def _clear_drafts(self) -> None:
        """Remove what a service left half prepared when it was killed."""
        for run in _entries(self._root):
            for entry in _entries(run):
                if entry.name.startswith("."):
                    _remove(entry)

    def _launch(self, ref: str, folder: Path) -> None:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if any((folder / name).exists() for name in (PROCESS, RUNNER, EXIT)):
                return
            with (folder / LOG).open("ab") as output:
                process = subprocess.Popen(
                    [*self._command, str(folder)],
                    cwd=folder,
                    env={**self._environment, MARK: ref},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(descriptor,),
                )
            known = ProcessId.of(process.pid)
            document = {"pid": process.pid, "process": known.to_json() if known else None}
            _write(folder / PROCESS, json.dumps(document))
        finally:
            os.close(descriptor)
        threading.Thread(
            target=self._wait, args=(ref, process), name=f"wait-{ref}", daemon=True
        ).start()

    def _wait(self, ref: str, process: subprocess.Popen[bytes]) -> None:
        self._exit_codes[ref] = process.wait()
        self._changed()

    # -- looking

    def _folders(self) -> Iterator[tuple[str, Path]]:
        for run in _entries(self._root):
            for attempt in _entries(run):
                if attempt.name.isdecimal():
                    yield f"{run.name}-{attempt.name}", attempt

    def _folder(self, ref: str) -> Path | None:
        run, _, n = ref.rpartition("-")
        if not run.isalnum() or not n.isdecimal():
            return None
        folder = self._root / run / n
        return folder if folder.is_dir() else None

    def _look(self, ref: str, folder: Path) -> Listed | None:
        """None for an attempt that was prepared and never started."""
        if self._alive(folder):
            return Listed(AttemptStatus.RUNNING, folder=folder)
        left = read_exit(folder)
        if left is not None:
            ended = AttemptStatus.SUCCEEDED if left.exit_code == 0 else AttemptStatus.FAILED
            return Listed(ended, left.exit_code, left.message, folder)
        if not any((folder / name).exists() for name in (PROCESS, RUNNER)):
            return None
        code = self._exit_codes.get(ref)
        how = "" if code is None else f" ({_how(code)})"
        message = f"The runner ended without a result{how}."
        return Listed(AttemptStatus.LOST, code, message, folder)

    def _alive(self, folder: Path) -> bool:
        with self._locks:
            try:
                descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
            return False

    # -- stopping

    def _stop(self, ref: str, folder: Path) -> None:
        try:
            runner = self._runner(folder)
            if runner is not None:
                runner.signal(signal.SIGTERM)
            if not self._ends(folder, self._grace):
                log.warning("attempt.killed ref=%s after=%ss", ref, self._grace)
                if runner is not None and self._alive(folder):
                    with contextlib.suppress(OSError):
                        os.killpg(runner.pid, signal.SIGKILL)
                self._ends(folder, 5.0)
            _kill_marked(ref)
        finally:
            with self._threads:
                self._stopping.discard(ref)
            self._changed()

    def _ends(self, folder: Path, seconds: float) -> bool:
        pause = threading.Event()
        for _ in range(max(1, round(seconds / _TICK_SECONDS))):
            if not self._alive(folder):
                return True
            pause.wait(_TICK_SECONDS)
        return not self._alive(folder)

    def _runner(self, folder: Path) -> ProcessId | None:
        """The runner's process, if it still runs."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            known = ProcessId.from_json(json.loads((folder / PROCESS).read_text()).get("process"))
            if known is not None:
                return known if known.alive() else None
        # The service was killed just after it had started the runner.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            pid = int(json.loads((folder / RUNNER).read_text())["pid"])
            if self._alive(folder) and os.getpgid(pid) == pid:
                return ProcessId.of(pid)
        return None


def _sockets(ref: str) -> Path:
    """For the kernel's sockets, should the attempt's folder have too long a path for them.

    Known by the attempt, so that a runner that is killed leaves nothing there.
    """
    return socket_paths.temporary_folder() / f"almanac-{ref}"


def _kill_marked(ref: str) -> None:
    """End what an attempt has left behind: a kernel whose runner was killed, its children."""
    mark = f"{MARK}={ref}".encode()
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            if mark in environment.split(b"\0") and process.pid != os.getpid():
                process.kill()
        except (OSError, psutil.Error):
            continue


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(entry for entry in folder.iterdir() if not entry.is_symlink())
    except OSError:
        return


def _remove(folder: Path) -> None:
    """Remove a folder, also where a notebook has taken away our right to."""

    def opened(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(0o700)

    for _ in range(3):
        shutil.rmtree(folder, onerror=opened)
        if not folder.exists():
            return
    log.warning("attempt.folder-stays %s", folder)
