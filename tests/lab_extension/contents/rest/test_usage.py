"""How much lies in a root: told at once, counted in the background."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from lab_extension.contents.objects.entries import Usage
from lab_extension.contents.objects.faults import StoreDown
from lab_extension.contents.rest import usage
from lab_extension.contents.rest.usage import Meter


class Counter:
    """Counts when the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = 0
        self.error: Exception | None = None

    async def __call__(self) -> Usage:
        self.asked += 1
        await self.go.wait()
        if self.error:
            raise self.error
        return Usage(size=100 * self.asked, objects=self.asked)


async def settled(meter: Meter, count: Counter) -> dict[str, object]:
    async with asyncio.timeout(10):
        while (found := meter.read("home", count))["counting"]:
            await asyncio.sleep(0)
    return found


@pytest.fixture
def meter() -> Meter:
    return Meter(logging.getLogger("test"))


async def test_the_first_answer_does_not_wait(meter: Meter) -> None:
    count = Counter()
    first = meter.read("home", count)
    assert (first["size"], first["as_of"], first["counting"]) == (None, None, True)
    count.go.set()
    found = await settled(meter, count)
    assert (found["size"], found["objects"], found["problem"]) == (100, 1, None)
    assert found["as_of"]


async def test_a_fresh_count_is_told_again_and_an_old_one_counted_anew(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counter()
    count.go.set()
    await settled(meter, count)
    assert (await settled(meter, count))["size"] == 100
    assert count.asked == 1
    monkeypatch.setattr(usage, "FRESH", timedelta(0))
    # The old figure is told while the new one is found out.
    assert meter.read("home", count)["size"] == 100
    monkeypatch.setattr(usage, "FRESH", timedelta(minutes=1))
    assert (await settled(meter, count))["size"] == 200


async def test_a_store_that_is_down_leaves_the_last_count_and_says_why(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counter()
    count.go.set()
    await settled(meter, count)
    count.error = StoreDown("The store does not answer.")
    monkeypatch.setattr(usage, "FRESH", timedelta(0))
    meter.read("home", count)
    monkeypatch.setattr(usage, "FRESH", timedelta(minutes=1))
    found = await settled(meter, count)
    assert found["size"] == 100
    assert found["problem"]["code"] == "store-down"  # type: ignore[index]


async def test_a_bug_is_in_the_log_and_no_traceback_in_the_answer(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    count = Counter()
    count.error = KeyError("secret")
    count.go.set()
    found = await settled(meter, count)
    assert "secret" not in str(found)
    assert "could not be counted" in caplog.text


async def test_few_are_counted_at_once(meter: Meter) -> None:
    counters = [Counter() for _ in range(5)]
    for number, count in enumerate(counters):
        meter.read(str(number), count)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sum(count.asked for count in counters) == 2
    for count in counters:
        count.go.set()
