"""Share links on real stores: they open as a download, for a while, and one object alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import httpx
import pytest
from stores import RunningStore

from hub_ext.errors import Forbidden, NotFound, Unavailable
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.share import Links
from hub_ext.storage.versions import Versions

pytestmark = pytest.mark.stores


@pytest.fixture
def links(any_store: RunningStore) -> Links:
    return Links(any_store.endpoint, any_store.bucket, any_store.region, **any_store.keys)


@pytest.fixture
def objects(any_store: RunningStore) -> ObjectStore:
    return ObjectStore.connect(
        any_store.endpoint, any_store.bucket, any_store.region, **any_store.keys
    )


@pytest.mark.parametrize("name", ["plain.csv", "a b+c%20&d=e#f?.html", "prix élevés.txt", "~x'.js"])
def test_a_link_opens_as_a_download(
    links: Links, objects: ObjectStore, place: str, name: str
) -> None:
    objects.put(f"{place}{name}", b"content")
    url, expires = links(f"{place}{name}", seconds=120)
    answer = httpx.get(url, trust_env=False)
    assert (answer.status_code, answer.content) == (200, b"content")
    shown = answer.headers["content-disposition"]
    assert shown == f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    assert timedelta(seconds=100) < expires - datetime.now(UTC) <= timedelta(seconds=120)
    assert links.local
    part = httpx.get(url, headers={"Range": "bytes=1-3"}, trust_env=False)
    assert (part.status_code, part.content) == (206, b"ont")


def test_it_opens_nothing_else(links: Links, objects: ObjectStore, place: str) -> None:
    for name in ("a", "b"):
        objects.put(f"{place}{name}", name.encode())
    url, _ = links(f"{place}a", seconds=120)
    other = urlsplit(url)._replace(path=urlsplit(url).path[:-1] + "b").geturl()
    assert httpx.get(other, trust_env=False).status_code == 403
    assert httpx.put(url, content=b"x", trust_env=False).status_code == 403
    assert httpx.delete(url, trust_env=False).status_code == 403
    longer = url.replace("X-Amz-Expires=120", "X-Amz-Expires=1200")
    assert longer != url
    assert httpx.get(longer, trust_env=False).status_code == 403
    assert objects.get(f"{place}a") == b"a"


def test_it_ends(any_store: RunningStore, objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}a", b"a")
    past = Links(
        any_store.endpoint,
        any_store.bucket,
        any_store.region,
        **any_store.keys,
        clock=lambda: datetime.now(UTC) - timedelta(seconds=70),
    )
    url, expires = past(f"{place}a", seconds=60)
    assert expires < datetime.now(UTC)
    assert httpx.get(url, trust_env=False).status_code == 403


def test_a_version_is_shared_as_it_was(
    any_store: RunningStore, links: Links, objects: ObjectStore, place: str
) -> None:
    key = f"{place}a"
    objects.put(key, b"one")
    objects.put(key, b"two")
    versions = Versions(any_store.endpoint, any_store.bucket, any_store.region, **any_store.keys)
    (page,) = versions.pages(key)
    url, _ = links(key, seconds=120, version=page[-1].version)
    assert httpx.get(url, trust_env=False).content == b"one"
    objects.delete(key)
    assert httpx.get(url, trust_env=False).content == b"one"
    with pytest.raises(NotFound):
        links(key, seconds=120)
    (page,) = versions.pages(key)
    for version in (page[0].version, "no-such-version"):
        with pytest.raises(NotFound):
            links(key, seconds=120, version=version)


def test_what_is_not_there_gets_no_link(links: Links, place: str) -> None:
    with pytest.raises(NotFound):
        links(f"{place}nothing", seconds=120)


def test_a_store_that_is_away_or_refuses_is_said(any_store: RunningStore) -> None:
    away = Links("http://127.0.0.1:9", "almanac", "us-east-1", "a", "b")
    with pytest.raises(Unavailable):
        away("home/ana/a", seconds=120)
    stranger = Links(any_store.endpoint, any_store.bucket, any_store.region, "a", "b")
    with pytest.raises((Forbidden, NotFound)):  # VersityGW says 404
        stranger("home/ana/a", seconds=120)


def test_a_store_elsewhere_can_be_reached_from_elsewhere() -> None:
    assert not Links("https://s3.example.org", "almanac", "us-east-1", "a", "b").local
