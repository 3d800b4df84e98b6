"""The same write, sent twice because an answer got lost, is done once."""

from __future__ import annotations

import hashlib
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import Connection, insert, select

from hub_ext.errors import Conflict, Invalid
from hub_ext.jobs.store.tables import idempotency_keys as keys
from hub_ext.names import Principal

LONGEST = 200


class KeyReused(Conflict):
    """The same Idempotency-Key came with another request."""

    code = "idempotency-key-reused"


def checked(key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise Invalid(
            "The Idempotency-Key cannot be used.",
            mend=f"Send 1 to {LONGEST} printable ASCII characters, such as a UUID.",
            field="Idempotency-Key",
        )
    return key


def reused() -> KeyReused:
    return KeyReused(
        "This Idempotency-Key was sent before, with another request.",
        mend="Make a new key for a new request.",
    )


def recall(
    connection: Connection,
    principal: Principal,
    operation: str,
    key: str | None,
    request: BaseModel,
) -> str | None:
    """What this write made when it came before; None where it is new.

    Raises:
        KeyReused: it was another request.
    """
    if key is None:
        return None
    row = connection.execute(
        select(keys).where(
            keys.c.principal == str(principal), keys.c.operation == operation, keys.c.key == key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != _digest(request):
        raise reused()
    return str(row.result)


def remember(
    connection: Connection,
    principal: Principal,
    operation: str,
    key: str | None,
    request: BaseModel,
    result: str,
    now: datetime,
) -> None:
    if key is not None:
        connection.execute(
            insert(keys).values(
                principal=str(principal),
                operation=operation,
                key=key,
                request_sha256=_digest(request),
                result=result,
                created_at=now,
            )
        )


def _digest(request: BaseModel) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()
