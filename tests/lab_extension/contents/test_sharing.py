"""Share links: what is offered, and what they really hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from traitlets.config import Config

from hub_ext.errors import Invalid, PublicError
from lab_extension.contents.sharing import WEEK, Link, Sharing, SharingOff, offered, on_one_machine
from lab_extension.service import JobService
from tests.lab_extension.conftest import TOKEN, StandIn

HOUR = 3600


@dataclass
class Signer:
    """What sharing needs of a store, with keys that end when the test wants."""

    left: timedelta | None = None
    endpoint: str = "https://s3.example.org"
    signed: list[tuple[str, int, str | None]] | None = None

    async def keys_expire(self) -> datetime | None:
        return datetime.now(UTC) + self.left if self.left is not None else None

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"

    async def presign(self, key: str, seconds: int, *, version: str | None = None) -> str:
        self.signed = [*(self.signed or []), (key, seconds, version)]
        return f"{self.endpoint}/{key}?signed"


def sharing(jobs: JobService | None = None, **settings: Any) -> Sharing:
    return Sharing(jobs, config=Config({"Sharing": settings}))


def holds(link: Link) -> float:
    return (link.expires - datetime.now(UTC)).total_seconds()


@pytest.fixture
def jobs(service: StandIn) -> JobService:
    return JobService(service.url, TOKEN)


def test_choices_are_those_that_can_hold() -> None:
    assert offered([300, HOUR, WEEK], HOUR) == [300, HOUR]
    assert offered([HOUR, 300, 300], WEEK) == [300, HOUR]
    assert offered([HOUR], 700) == [700]


async def test_keys_that_do_not_end_hold_a_week_and_a_day_is_suggested() -> None:
    offer = await sharing().offer(Signer())
    assert (offer.allowed, offer.default, offer.note) == (True, 24 * HOUR, "")
    assert offer.choices == [300, 900, HOUR, 24 * HOUR, WEEK]


async def test_keys_that_end_soon_hold_no_longer_and_the_answer_says_so() -> None:
    store = Signer(timedelta(minutes=14))
    offer = await sharing().offer(store)
    assert (offer.choices, offer.default) == ([300], 300)
    link = await sharing().link(store, "a.csv", HOUR, "v1")
    assert 13 * 60 < holds(link) < 14 * 60
    assert store.signed is not None
    key, seconds, version = store.signed[0]
    assert (key, version) == ("a.csv", "v1")
    assert 13 * 60 < seconds < 14 * 60


async def test_what_is_not_allowed_is_refused() -> None:
    for seconds in (0, -1, 59, HOUR + 1, WEEK):
        with pytest.raises(Invalid) as refused:
            await sharing(longest=HOUR).link(Signer(), "a.csv", seconds)
        assert refused.value.field == "seconds"
    with pytest.raises(SharingOff):
        await sharing(allowed=False).link(Signer(), "a.csv", HOUR)
    assert not (await sharing(allowed=False).offer(Signer())).allowed


@pytest.mark.parametrize(
    ("text", "allowed", "longest"),
    [("", True, WEEK), ("3600", True, HOUR), ("0", False, 0), ("99999999", True, WEEK)],
)
def test_the_platform_says_in_the_environment_how_long(
    text: str, allowed: bool, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMANAC_SHARE_SECONDS", text)
    made = sharing()
    assert (made.allowed, made.longest) == (allowed, longest)


async def test_the_platform_signs_what_a_servers_keys_cannot_hold(
    jobs: JobService, service: StandIn
) -> None:
    expires = datetime.now(UTC) + timedelta(days=1)
    store = Signer(timedelta(minutes=14))
    made = sharing(jobs)
    service.refuse["share"] = JSONResponse({"allowed": True, "longest": 2 * 24 * HOUR})
    assert (await made.offer(store)).choices == [300, 900, HOUR, 24 * HOUR]
    service.refuse["share"] = JSONResponse({"url": "https://x", "expires": expires.isoformat()})
    link = await made.link(store, "a.csv", 24 * HOUR)
    assert (link.url, link.expires, store.signed) == ("https://x", expires, None)
    method, _, _, body = service.seen[-1]
    assert method == "POST"
    assert b"s3://bucket/a.csv" in body
    with pytest.raises(Invalid):
        await made.link(store, "a.csv", WEEK)


async def test_the_platform_can_switch_links_off(jobs: JobService, service: StandIn) -> None:
    service.refuse["share"] = JSONResponse({"allowed": False, "longest": 0})
    made = sharing(jobs)
    assert not (await made.offer(Signer())).allowed
    with pytest.raises(SharingOff):
        await made.link(Signer(), "a.csv", HOUR)


async def test_the_platforms_own_refusal_is_passed_on(jobs: JobService, service: StandIn) -> None:
    made = sharing(jobs)
    service.refuse["share"] = JSONResponse({"allowed": True, "longest": WEEK})
    await made.offer(Signer())
    service.problem("share", 403, "forbidden", title="Not yours.")
    with pytest.raises(PublicError) as refused:
        await made.link(Signer(), "a.csv", HOUR)
    assert refused.value.status == 403


def down(service: StandIn) -> None:
    service.refuse["share"] = JSONResponse({}, status_code=502)


def older(service: StandIn) -> None:
    service.problem("share", 404, "not-found", title="There is no such thing.")


@pytest.mark.parametrize("fault", [down, older])
async def test_without_the_platform_the_servers_own_keys_sign(
    fault: Callable[[StandIn], None], jobs: JobService, service: StandIn
) -> None:
    fault(service)
    store = Signer(timedelta(minutes=14))
    link = await sharing(jobs).link(store, "a.csv", 300)
    assert 290 < holds(link) <= 300


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:8333", True),
        ("http://[::1]:8333", True),
        ("http://localhost:8333", True),
        ("http://10.0.0.7", False),
        ("https://s3.eu-west-1.amazonaws.com", False),
    ],
)
def test_a_link_that_other_machines_cannot_follow_says_so(endpoint: str, said: bool) -> None:
    assert bool(on_one_machine(endpoint)) == said
