"""Free ports and taken ones."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hub_ext.embedded import ports


def test_a_taken_port_is_named_with_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ports.PortTaken) as caught:
            ports.require_free("127.0.0.1", port)
    assert f"Port {port} on 127.0.0.1" in caught.value.message
    assert f"process {os.getpid()}" in caught.value.message
    assert "--port 0" in caught.value.mend


def test_a_port_is_free_again_right_after_it_was_used() -> None:
    with socket.socket() as listening, socket.socket() as caller:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        caller.connect(("127.0.0.1", port))
        accepted, _ = listening.accept()
        accepted.close()  # the side that closes first keeps the port busy for a minute
    ports.require_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_a_clear_error() -> None:
    with pytest.raises(ports.CannotListen, match=r"192\.0\.2\.1"):
        ports.require_free("192.0.2.1", 8000)


def test_free_ports_are_different_and_out_of_the_way_of_outgoing_connections() -> None:
    found = ports.free(20)
    assert len(set(found)) == 20
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first > ports.LOWEST + 1000:
        assert max(found) < first
    for port in found:
        ports.require_free("127.0.0.1", port)


def test_free_ports_are_found_where_the_system_uses_all_for_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "_first_ephemeral", lambda: 1024)
    assert len(set(ports.free(3))) == 3
