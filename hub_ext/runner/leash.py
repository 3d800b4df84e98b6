"""Ties a kernel to its runner: when either of them ends, all processes of the kernel end.

    python -I -S leash.py RUNNER_PID COMMAND…

Starts the command and stays its parent. Once the command has ended, or the
runner has (kill -9 included), or SIGTERM comes, it ends every process that
came from the command, those that left its session included: they are handed
to this process, the *subreaper*, when their own parents die. It then exits as
the command did. Standard library alone; Linux.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE = 2.0
"""Seconds between asking a process to end and ending it."""

_WAITED = {signal.SIGTERM, signal.SIGCHLD}


def main(arguments: list[str]) -> int:
    runner, command = int(arguments[0]), arguments[1:]
    prctl = ctypes.CDLL(None).prctl
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != runner:
        return 1  # it died before the line above
    # Interrupts go to the whole process group and are meant for the kernel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leash = os.getpid()
    kernel = os.fork()
    if kernel == 0:
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != leash:
                os._exit(1)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED)
            # ipykernel watches its parent by this number too.
            os.environ["JPY_PARENT_PID"] = str(leash)
            os.execvp(command[0], command)  # noqa: S606
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        finally:
            os._exit(127)
    status: int | None = None
    while status is None and signal.sigwait(_WAITED) == signal.SIGCHLD:
        status = reap(kernel)
    ended = end_all(kernel)
    return leave(status if status is not None else ended)


def reap(kernel: int) -> int | None:
    """Collect children that have ended; the kernel's wait status, if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == kernel:
                found = status
    return found


def end_all(kernel: int) -> int | None:
    """End every descendant; the kernel's wait status, if it was still running."""
    status = None
    asked: set[int] = set()
    patience = time.monotonic() + GRACE
    give_up = patience + 5
    while (left := descendants()) and time.monotonic() < give_up:
        late = time.monotonic() > patience
        for pid in left:
            if late or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        signal.sigtimedwait({signal.SIGCHLD}, 0.02)
        found = reap(kernel)
        status = found if found is not None else status
    return status


def descendants() -> list[int]:
    """Processes below this one that have not ended."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state != b"Z" or int(parent) == os.getpid():
                parents[int(name)] = int(parent)
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted(below - {os.getpid()})


def leave(status: int | None) -> int:
    """Exit as the kernel did, by the same signal if it was one."""
    code = os.waitstatus_to_exitcode(status) if status is not None else 143
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.Signals(-code)})
        os.kill(os.getpid(), -code)
    return abs(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
