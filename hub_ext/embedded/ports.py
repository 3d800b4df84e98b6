"""Ports on this machine: is one free, and which ones are."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from pathlib import Path

import psutil

from hub_ext.errors import PublicError

LOWEST = 10_000
FALLBACK_EPHEMERAL = 32_768


class PortTaken(PublicError):
    code, status = "port-taken", 409


class CannotListen(PublicError):
    code, status = "cannot-listen", 400


def require_free(address: str, port: int) -> None:
    """Check that ``address:port`` can be listened on now.

    Raises:
        PortTaken: something else listens there; names it where it can be seen.
        CannotListen: the system does not allow it, or has no such address.
    """
    try:
        _bind(address, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} on {address} is taken{_taker(port)}.",
                mend="Stop what uses it, choose another with `--port NUMBER`, or let `--port 0` "
                "find a free one.",
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise CannotListen(
                f"This account may not listen on port {port} of {address}.",
                mend="Ports below 1024 are for root: choose a higher one with `--port NUMBER`.",
            ) from None
        raise CannotListen(
            f"Cannot listen on {address}:{port}: {error.strerror}.",
            mend="server.address of almanac.yaml must be an address of this machine.",
        ) from None


def free(count: int, address: str = "127.0.0.1") -> list[int]:
    """``count`` different free ports.

    Taken from below the range that the system gives to outgoing connections:
    a part that is started again must find its port as it left it, and a port
    of that range may meanwhile have become one end of somebody's connection.
    """
    highest = _first_ephemeral()
    found: list[int] = []
    for _ in range(200 * count):
        if len(found) == count or highest - LOWEST < 10 * count:
            break
        port = random.randrange(LOWEST, highest)  # noqa: S311  # no secret
        if port not in found and _is_free(address, port):
            found.append(port)
    while len(found) < count:
        with _bind(address, 0) as probe:
            port = probe.getsockname()[1]
        if port not in found:
            found.append(port)
    return found


def _is_free(address: str, port: int) -> bool:
    try:
        _bind(address, port).close()
    except OSError:
        return False
    return True


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As servers do: else a port whose connections have just been closed
        # would count as taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        probe.listen(1)  # SO_REUSEADDR lets a second socket bind, but not listen
    except BaseException:
        probe.close()
        raise
    return probe


def _first_ephemeral() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return FALLBACK_EPHEMERAL


def _taker(port: int) -> str:
    """`` by NAME (process PID)``, or nothing where it belongs to another account."""
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                # By its program: Node names its own process "MainThread".
                program = Path(psutil.Process(connection.pid).exe()).name
                return f" by {program} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
