"""Asking the hub whose token it is: remembered briefly, and never "allowed" by default.

The hub here is a small server that counts and fails on command, which a real
one does not.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub_ext.auth.cache import BriefCache
from hub_ext.auth.hub_users import HubUsers
from hub_ext.errors import Unauthenticated, Unavailable


@dataclass
class CountingHub:
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    status: int = 200
    body: bytes | None = None
    known: set[str] = field(default_factory=lambda: {"good"})

    async def user(self, request: Request) -> Response:
        token = request.headers["authorization"].partition(" ")[2]
        self.asked[token] += 1
        await asyncio.sleep(0.02)
        if self.body is not None:
            return Response(self.body)
        if self.status != 200:
            return Response(status_code=self.status)
        if token not in self.known:
            return JSONResponse({"message": "Forbidden"}, status_code=403)
        return JSONResponse({"kind": "user", "name": "ada"})


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[CountingHub]]]:
    current: list[CountingHub] = []

    async def user(request: Request) -> Response:
        return await current[-1].user(request)

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        running = uvicorn.Server(
            uvicorn.Config(Starlette(routes=[Route("/hub/api/user", user)]), log_level="warning")
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/hub/api", current
        running.should_exit = True
        thread.join(10)


@pytest.fixture
def hub(server: tuple[str, list[CountingHub]]) -> CountingHub:
    url, current = server
    current.append(CountingHub(url=url))
    return current[-1]


@pytest.fixture
async def users(hub: CountingHub) -> Any:
    made = HubUsers(hub.url, "service-jobs", "secret", cache_seconds=60)
    yield made
    await made.aclose()


async def test_an_answer_is_remembered(hub: CountingHub, users: HubUsers) -> None:
    assert (await users.whose("good"))["name"] == "ada"
    hub.known.clear()
    assert (await users.whose("good"))["name"] == "ada"
    assert hub.asked["good"] == 1
    users.forget("good")
    with pytest.raises(Unauthenticated):
        await users.whose("good")


async def test_a_refusal_is_remembered_too(hub: CountingHub, users: HubUsers) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await users.whose("bad")
    assert hub.asked["bad"] == 1


async def test_many_who_wait_share_one_question(hub: CountingHub, users: HubUsers) -> None:
    models = await asyncio.gather(*(users.whose("good") for _ in range(50)))
    assert len(models) == 50
    assert hub.asked["good"] == 1


async def test_one_who_goes_away_does_not_spoil_it_for_the_rest(
    hub: CountingHub, users: HubUsers
) -> None:
    first = asyncio.create_task(users.whose("good"))
    second = asyncio.create_task(users.whose("good"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)["name"] == "ada"
    assert hub.asked["good"] == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429, 302, 418])
async def test_a_hub_in_trouble_is_unavailable_and_not_remembered(
    hub: CountingHub, users: HubUsers, status: int
) -> None:
    hub.status = status
    with pytest.raises(Unavailable):
        await users.whose("good")
    hub.status = 200
    assert (await users.whose("good"))["name"] == "ada"


async def test_an_answer_that_makes_no_sense_is_unavailable(
    hub: CountingHub, users: HubUsers
) -> None:
    hub.body = b"<html>"
    with pytest.raises(Unavailable):
        await users.whose("good")


async def test_no_hub_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening
        users = HubUsers(f"http://127.0.0.1:{unused.getsockname()[1]}", "service-jobs", "secret")
        with pytest.raises(Unavailable):
            await users.whose("good")
        with pytest.raises(Unavailable):
            await users.exchange("code", "verifier", "/services/jobs/oauth_callback")
        await users.aclose()


def test_cache_forgets_by_age_and_by_number() -> None:
    now = [0.0]
    cache: BriefCache[int] = BriefCache(seconds=10, size=3, clock=lambda: now[0])
    cache.put("a", 1)
    now[0] = 9.9
    assert cache.get("a") == 1
    now[0] = 10
    assert cache.get("a") is None, "use does not make it younger"
    for i, key in enumerate("bcde"):
        cache.put(key, i)
    assert cache.get("b") is None
    assert [cache.get(key) for key in "cde"] == [1, 2, 3]
    assert len(cache) == 3
    cache.drop("c")
    assert cache.get("c") is None
