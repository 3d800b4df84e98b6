"""The embedded store without the rest of Almanac: for the time of a backup or a restore."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from hub_ext.errors import NotFound, Unavailable
from hub_ext.state import StateFolder
from hub_ext.storage.embedded import STOP_SECONDS, StorePorts, prepare, store_process
from hub_ext.storage.objects import ObjectStore

START_SECONDS = 20
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def store_alone(state: StateFolder, weed: Path) -> Iterator[str]:
    """Run the store of ``state``, give its endpoint, and stop it afterwards.

    It writes to the state folder's ``store.log`` and ends with this process,
    however that ends. The caller holds the state folder's lock.

    Raises:
        Unavailable: it did not start in `START_SECONDS`.
    """
    process = store_process(state, StorePorts.of(state), weed)
    prepare(state, process.ports)
    process.clean()
    state.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state.logs / "store.log"
    with path.open("ab") as log:
        running = subprocess.Popen(
            process.argv,
            env=dict(process.env),
            cwd=process.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Not stopped by the terminal's Ctrl-C before this process has finished with it.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread has been started here yet
        )
    try:
        _wait(running, process.health_url, path)
        yield process.endpoint
    finally:
        running.terminate()
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        process.clean()


def wait_until_readable(objects: ObjectStore, seconds: float = START_SECONDS) -> None:
    """Wait until what a store held before it was started can be read again.

    SeaweedFS says that it is well before its volumes have reported to its
    master. Until then the keys are listed, and reading one is an internal
    error. The volumes report together, so one object that can be read is
    enough; a bucket without any has nothing to wait for.

    Raises:
        Unavailable: nothing could be read in ``seconds``.
    """
    held = next((listed for listed in objects.list() if listed.size), None)
    deadline = time.monotonic() + seconds
    while held is not None:
        try:
            next(objects.stream(held.key), None)
        except NotFound:  # deleted since it was listed
            return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(running: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise Unavailable("The object store does not start.", mend=f"{log} says why.")
