"""Whose attempts to sign in are counted together: the address they come from."""

from __future__ import annotations

from collections.abc import Iterable


def client_address(forwarded_for: str, trusted: Iterable[str] = ()) -> str:
    """The address of whoever connected, as the nearest proxy that we trust saw it.

    Each proxy appends to ``X-Forwarded-For`` who connected to it, so that the
    last entry is our own proxy's word. What stands before it, and any other
    header (``X-Real-IP``, which Tornado would believe), is the client's own
    say: with a new address for each attempt nobody would ever have to wait.

    Args:
        forwarded_for: the header, empty where there is none.
        trusted: proxies in front of ours whose own entries are passed over
            (``c.JupyterHub.trusted_downstream_ips``).

    Returns:
        An address, or "" where no proxy has told one.
    """
    passed_over = set(trusted)
    address = ""
    for entry in reversed(forwarded_for.split(",")):
        address = entry.strip()
        if address not in passed_over:
            break
    return address[:64]
