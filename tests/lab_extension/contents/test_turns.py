"""Who waits for whom, of those who write and those who remove."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from lab_extension.contents.turns import Turns

REMOVED = "a/b"


class Within:
    """Somebody who is in a block until told to leave it."""

    def __init__(self, block: AbstractAsyncContextManager[None]):
        self.entered, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._stay(block))

    async def _stay(self, block: AbstractAsyncContextManager[None]) -> None:
        async with block:
            self.entered.set()
            await self.leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("key", "waits"), [("a/b", True), ("a/b/c/d", True), ("a/bc", False), ("a", False)]
)
@pytest.mark.parametrize("written_first", [False, True])
async def test_one_waits_for_the_other_where_they_meet(
    key: str, waits: bool, written_first: bool
) -> None:
    turns = Turns()
    blocks = [turns.removing(REMOVED), turns.writing(key)]
    first, second = [Within(block) for block in (blocks[::-1] if written_first else blocks)]
    await settle()
    assert first.entered.is_set()
    assert second.entered.is_set() is not waits
    first.leave.set()
    await settle()
    assert second.entered.is_set()
    second.leave.set()
    await asyncio.gather(first.task, second.task)


async def test_who_gives_up_is_waited_for_no_longer() -> None:
    turns = Turns()
    writing = Within(turns.writing("a/b/c"))
    await settle()
    removing = Within(turns.removing(REMOVED))
    await settle()
    late = Within(turns.writing("a/b/d"))
    await settle()
    assert not removing.entered.is_set()
    assert not late.entered.is_set()
    removing.task.cancel()
    await settle()
    assert late.entered.is_set()
    writing.task.cancel()
    late.leave.set()
    await asyncio.gather(writing.task, removing.task, late.task, return_exceptions=True)


async def test_those_who_write_do_not_wait_for_each_other() -> None:
    turns = Turns()
    both = [Within(turns.writing("a/b")) for _ in range(2)]
    await settle()
    for one in both:
        assert one.entered.is_set()
        one.leave.set()
    await asyncio.gather(*(one.task for one in both))
