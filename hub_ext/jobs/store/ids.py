"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import secrets
import threading
import time

# Crockford's alphabet: lower case, without i, l, o, u. Safe in S3 keys, labels and file names.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A ULID in lower case: 48 bits of milliseconds, 80 random bits.

    Ids made by one process strictly increase, so that "newest first" is the
    order in which things were asked for, even within a millisecond.
    """
    global _last
    made = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    with _lock:
        _last = made = max(made, _last + 1)
    digits = []
    for _ in range(LENGTH):
        made, digit = divmod(made, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
