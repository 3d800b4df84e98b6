"""``/almanac/api/credentials``: the container-credentials protocol, on this server's own loopback.

The AWS SDKs send their token over plain http to loopback addresses only. Where
the hub is not on this machine, kernels can ask here: the answer is the job
service's, asked for with the token of this server, which no kernel needs to
hold. Who may ask is who can read the token file; a cookie is no use here.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

from hub_ext.errors import Forbidden, PublicError, Unauthenticated
from lab_extension.credentials import FILE_VARIABLE
from lab_extension.service import JobService

LARGEST_TOKEN = 4096
# What a proxy in front of this server adds. It may well be on loopback itself.
_PROXIED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


class CredentialsHandler(web.RequestHandler):
    """Not one of Jupyter's handlers: those would take a cookie, or ask the hub who this is."""

    def initialize(self, jobs: JobService) -> None:
        self.jobs = jobs

    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        try:
            context: Any = getattr(self.request.connection, "context", None)
            peer = getattr(context, "address", None)
            admit(peer[0] if isinstance(peer, tuple) else "", self.request.headers)
            project = self.get_query_argument("project", "")
            narrowed = {"project": project} if project else {}
            document = await self.jobs.get("credentials", **narrowed)
        except PublicError as error:
            self.set_status(error.status)
            document = error.problem()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Type", "application/json")
        await self.finish(json.dumps(document))


def admit(
    peer: str, headers: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> None:
    """Let a request pass, or say why not.

    Args:
        peer: the address that the connection came from, whatever headers say.

    Raises:
        Forbidden: from another machine, or through a proxy.
        Unauthenticated: without the content of the token file.
    """
    if not _loopback(peer) or any(name in headers for name in _PROXIED):
        raise Forbidden("Credentials are given to programs on this machine alone.")
    given = headers.get("Authorization", "").strip()
    expected = _token(environment.get(FILE_VARIABLE, ""))
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Unauthenticated(
            "This is not the token of this server.",
            mend=f"Send the content of the file that {FILE_VARIABLE} names.",
        )


def _loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    # As a socket for both families tells of an address of the older one.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _token(file: str) -> str:
    """The content of the token file; empty where there is none."""
    if not file:
        return ""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(LARGEST_TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
