"""Tasks that outlive the request they were begun in."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def apart(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task without the context of the request.

    Jupyter's context holds the handler, and that the whole body of the request,
    for as long as anybody keeps the task.
    """
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
