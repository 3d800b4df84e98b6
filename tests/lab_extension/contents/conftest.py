"""Stores as a user's server has them, on real object stores and on one that is told what to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fake_stores
import pytest
import pytest_asyncio
from contents import manager_of
from stores import RunningStore

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects import probe
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.store import Store, StoreSettings

Connect = Callable[..., Store]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes stores whose connections are closed afterwards: ``connect(running, prefix, …)``."""
    made: list[Store] = []

    def connected(running: Any, prefix: str = "", **more: Any) -> Store:
        settings = {
            "bucket": running.bucket,
            "region": running.region,
            "credentials": StaticKeys(running.access_key, running.secret_key),
            **more,
        }
        made.append(Store(StoreSettings(running.endpoint, prefix=prefix, **settings)))
        return made[-1]

    yield connected
    await asyncio.gather(*(store.close() for store in made))


@pytest.fixture
def store(any_store: RunningStore, connect: Connect, place: str) -> Store:
    """A prefix of one's own, in each kind of store in turn."""
    return connect(any_store, place)


@pytest.fixture
def weed(seaweedfs: RunningStore, connect: Connect, place: str) -> Store:
    """The same in the embedded store alone."""
    return connect(seaweedfs, place)


@pytest.fixture
def fake() -> Iterator[fake_stores.FakeStore]:
    with fake_stores.fake_store() as running:
        yield running


@pytest.fixture
def told(fake: fake_stores.FakeStore) -> Iterator[Store]:
    """A store at ``fake``, with the prefix ``p``, of which nothing has been found out yet."""
    keys = StaticKeys("key", "s3cr3t")
    yield Store(StoreSettings(fake.endpoint, "bucket", "p", credentials=keys))
    probe.forget()


@pytest_asyncio.fixture
async def manager(weed: Store) -> AsyncIterator[S3ContentsManager]:
    """An `S3ContentsManager` on a prefix of one's own in the embedded store."""
    made = manager_of(weed)
    yield made
    await made.uploads.close()
