"""Share links: what is offered, and what they really hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from traitlets.config import Config

from hub_ext.errors import Invalid, PublicError, Unavailable
from lab_extension.contents.objects.store import StoreSettings
from lab_extension.contents.rest.platform import REMEMBER, Facts, Platform
from lab_extension.contents.rest.sharing import (
    WEEK,
    Link,
    Sharing,
    SharingOff,
    offered,
    on_one_machine,
)
from lab_extension.service import JobService
from tests.lab_extension.conftest import TOKEN, StandIn

HOUR = 3600


@dataclass
class Signer:
    """What sharing needs of a store, with keys that end when the test wants."""

    left: timedelta | None = None
    endpoint: str = "https://s3.example.org"
    bucket: str = "almanac"
    public_url: str = ""
    signed: list[tuple[str, int, str | None]] | None = None

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(None, self.bucket, public_url=self.public_url)

    async def keys_end(self) -> datetime | None:
        return datetime.now(UTC) + self.left if self.left is not None else None

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/home/ana/{key}"

    async def presign(self, key: str, seconds: int, *, version: str | None = None) -> str:
        self.signed = [*(self.signed or []), (key, seconds, version)]
        return f"{self.endpoint}/{key}?signed"


def sharing(jobs: JobService | None = None, **settings: Any) -> Sharing:
    return Sharing(Platform(jobs), config=Config({"Sharing": settings}))


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


def allows(service: StandIn, seconds: int) -> None:
    storage = {"bucket": "almanac", "share_seconds": seconds, "keep_deleted_days": 30}
    service.refuse["me"] = JSONResponse({"name": "ana", "projects": [], "storage": storage})


async def test_the_platform_signs_what_a_servers_keys_cannot_hold(
    jobs: JobService, service: StandIn
) -> None:
    expires = datetime.now(UTC) + timedelta(days=1)
    store = Signer(timedelta(minutes=14), endpoint="http://127.0.0.1:8333")
    made = sharing(jobs)
    allows(service, 2 * 24 * HOUR)
    assert (await made.offer(store)).choices == [300, 900, HOUR, 24 * HOUR]
    answer = {"url": "https://x", "expires": expires.isoformat(), "reach": "network"}
    service.refuse["share"] = JSONResponse(answer)
    link = await made.link(store, "a.csv", 24 * HOUR, "v1")
    assert (link, store.signed) == (Link("https://x", expires), None)
    method, path, _, body = service.seen[-1]
    assert (method, path) == ("POST", "share")
    assert json.loads(body) == {"key": "home/ana/a.csv", "seconds": 24 * HOUR, "version": "v1"}
    service.refuse["share"] = JSONResponse(answer | {"reach": "machine"})
    assert "127.0.0.1" in (await made.link(store, "a.csv", HOUR)).note
    with pytest.raises(Invalid):
        await made.link(store, "a.csv", WEEK)


async def test_the_platform_has_no_say_in_another_bucket(
    jobs: JobService, service: StandIn
) -> None:
    allows(service, 0)
    store = Signer(bucket="elsewhere")
    link = await sharing(jobs).link(store, "a.csv", HOUR)
    assert link.url == "https://s3.example.org/a.csv?signed"


async def test_the_platform_can_switch_links_off(jobs: JobService, service: StandIn) -> None:
    allows(service, 0)
    made = sharing(jobs)
    assert not (await made.offer(Signer())).allowed
    with pytest.raises(SharingOff):
        await made.link(Signer(), "a.csv", HOUR)


async def test_the_platforms_own_refusal_is_passed_on(jobs: JobService, service: StandIn) -> None:
    made = sharing(jobs)
    allows(service, WEEK)
    service.problem("share", 403, "forbidden", title="Not yours.")
    with pytest.raises(PublicError) as refused:
        await made.link(Signer(), "a.csv", HOUR)
    assert refused.value.status == 403


async def test_a_platform_that_does_not_answer_is_not_passed_by(
    jobs: JobService, service: StandIn
) -> None:
    service.refuse["me"] = JSONResponse({}, status_code=502)
    store = Signer()
    offer = await sharing(jobs).offer(store)
    assert not offer.allowed
    assert "cannot be reached" in offer.note
    with pytest.raises(Unavailable):
        await sharing(jobs).link(store, "a.csv", HOUR)
    assert store.signed is None


async def test_what_the_platform_said_is_remembered(jobs: JobService, service: StandIn) -> None:
    now = 1000.0
    platform = Platform(jobs, now=lambda: now)
    allows(service, HOUR)
    first = await platform.facts("almanac")
    assert first == Facts("almanac", HOUR, 30)
    asked = len(service.seen)
    assert await platform.facts("almanac") == first
    assert len(service.seen) == asked
    now += REMEMBER + 1
    service.refuse["me"] = JSONResponse({}, status_code=502)
    assert await platform.facts("almanac") == first
    allows(service, 0)
    assert await platform.facts("almanac") == Facts("almanac", 0, 30)


async def test_an_older_platform_says_nothing_and_the_servers_keys_sign(
    jobs: JobService, service: StandIn
) -> None:
    store = Signer(timedelta(minutes=14))
    link = await sharing(jobs).link(store, "a.csv", 300)
    assert 290 < holds(link) <= 300
    assert service.seen


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
    assert bool(on_one_machine(Signer(endpoint=endpoint))) == said
    assert not on_one_machine(Signer(endpoint=endpoint, public_url="https://s3.example.org"))
