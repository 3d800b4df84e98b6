"""What lies on this machine, and the way there without a proxy."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import ClientConfig


def on_this_machine(url: str) -> bool:
    """Whether the address is loopback, where no proxy may be asked on the way."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def directly(endpoint: str) -> ClientConfig:
    """Options of obstore: no HTTP proxy to this machine, whatever the environment says.

    There is no option that says so; a proxy of our own that is used for nothing
    takes the place of the environment's.
    """
    if not on_this_machine(endpoint):
        return {}
    return {"proxy_url": endpoint, "proxy_excludes": "127.0.0.1,localhost,::1"}
