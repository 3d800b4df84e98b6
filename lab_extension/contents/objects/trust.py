"""Which certificates are trusted: the same for obstore and for requests of our own.

An office often has an authority of its own. Its certificate may be in the
machine's store, or in a file that a variable names; the AWS libraries read
``AWS_CA_BUNDLE``, OpenSSL ``SSL_CERT_FILE``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import certifi

VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trust:
    """What a connection accepts.

    Attributes:
        verify: False accepts any certificate.
        added: certificates in PEM, to trust beside the machine's own.
    """

    verify: bool = True
    added: bytes = b""

    @classmethod
    def of(
        cls,
        *,
        verify: bool = True,
        bundle: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Trust:
        """What to trust; a file that is of no use is told of in the log, and left out.

        Args:
            bundle: the file; None looks into the environment.
        """
        names = (environment.get(name, "") for name in VARIABLES)
        path = bundle if bundle is not None else next((name for name in names if name), "")
        if not path or not verify:
            return cls(verify)
        try:
            added = Path(path).read_bytes()
            ssl.create_default_context().load_verify_locations(cadata=_text(added))
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            log.error("The certificates in %s cannot be used: %s", path, error)
            return cls(verify)
        return cls(verify, added)

    def context(self) -> ssl.SSLContext:
        """For requests of our own. Takes some milliseconds."""
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        # A slim image may have no store of its own.
        with contextlib.suppress(OSError):
            context.load_verify_locations(certifi.where())
        if self.added:
            context.load_verify_locations(cadata=_text(self.added))
        return context


def _text(pem: bytes) -> str:
    """What stands between the certificates may be in any encoding."""
    return pem.decode("ascii", "ignore")
