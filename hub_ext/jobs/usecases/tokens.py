"""Run tokens: what a run shows to be let in, instead of its author's account.

Opaque and random; the database keeps hashes alone. A plain sha256 will do:
the token has 256 random bits, there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets

# Tells a run token from a hub's at a glance, and lets secret scanners find it.
PREFIX = "almrun_"


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
