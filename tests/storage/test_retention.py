"""What has had its time is removed, and nothing else: the decision, and real sweeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stores
from hypothesis import given
from hypothesis import strategies as st
from s3_requests import Requests
from stores import RunningStore

from hub_ext.errors import Unavailable
from hub_ext.storage.keeper import Keeper
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.retention import Swept, abandoned, expired, sweep
from hub_ext.storage.versions import Upload, Version, Versions

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def version(key: str, days: float, *, deleted: bool = False, latest: bool = False) -> Version:
    """One that was written ``days`` ago."""
    return Version(key, f"{key}@{days}", 10, NOW - timedelta(days=days), latest, deleted)


def kept(*versions: Version, days: int = 30) -> list[Version]:
    gone = set(expired(versions, NOW - timedelta(days=days)))
    return [each for each in versions if each not in gone]


def test_what_was_overwritten_long_ago_goes_however_old_it_is() -> None:
    new, middle, old = version("a", 1, latest=True), version("a", 40), version("a", 50)
    # `middle` is old since yesterday alone: it was the file until then.
    assert kept(new, middle, old) == [new, middle]


def test_the_newest_stays_however_old_it_is() -> None:
    only = version("a", 4000, latest=True)
    assert kept(only, version("b", 9000, latest=True)) == [only, version("b", 9000, latest=True)]


def test_what_was_deleted_lately_can_be_had_back() -> None:
    marker, last = version("a", 29, deleted=True, latest=True), version("a", 300)
    assert kept(marker, last) == [marker, last]


def test_what_was_deleted_long_ago_goes_and_its_marker_after_it() -> None:
    marker, last = version("a", 31, deleted=True, latest=True), version("a", 300)
    # With the marker gone first, the file would be back.
    assert kept(marker, last) == [marker]
    assert kept(marker) == []
    assert kept(version("a", 29, deleted=True, latest=True)) != []


def test_a_marker_that_is_alone_is_seen_between_other_keys() -> None:
    rows = [
        version("a", 40, latest=True),
        version("b", 40, deleted=True, latest=True),
        version("c", 40, latest=True),
    ]
    assert kept(*rows) == [rows[0], rows[2]]


def test_what_is_listed_twice_is_not_taken_for_newer_than_itself() -> None:
    rows = [version("a", 1, latest=True), version("a", 40), version("a", 40)]
    assert kept(*rows) == rows


def test_what_changes_at_the_very_instant_is_kept() -> None:
    rows = [version("a", 30, latest=True), version("a", 99)]
    assert kept(*rows) == rows


histories = st.lists(
    st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=6, unique_by=lambda e: e[0]
)


@given(st.lists(histories, min_size=1, max_size=4))
def test_a_file_can_be_had_back_as_it_was_at_any_time_within_the_days(
    keys: list[list[tuple[int, bool]]],
) -> None:
    rows = []
    for number, history in enumerate(keys):
        for index, (days, deleted) in enumerate(sorted(history)):
            rows.append(version(f"k{number}", days, deleted=deleted, latest=index == 0))
    left = kept(*rows)
    for number in range(len(keys)):
        mine = [row for row in rows if row.key == f"k{number}"]
        stays = [row for row in left if row.key == f"k{number}"]
        for day in range(31):
            then = NOW - timedelta(days=day)

            def at(rows: list[Version], then: datetime = then) -> Version | None:
                found = next((row for row in rows if row.modified <= then), None)
                return None if found is None or found.deleted else found

            assert at(mine) == at(stays)


def test_uploads_are_given_up_after_a_week() -> None:
    young, old = (Upload("a", f"u{days}", NOW - timedelta(days=days)) for days in (6, 8))
    assert abandoned([young, old], NOW) == [old]


# -- real stores


@pytest.fixture(scope="module", params=stores.KINDS)
def own_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStore]:
    """A store of its own: a sweep goes through the whole bucket."""
    if stores.binary(request.param) is None:
        pytest.skip(f"{request.param} is not built here: `make test-stores` builds it (needs Go)")
    with stores.running_store(request.param, tmp_path_factory.mktemp(request.param)) as store:
        yield store


@pytest.fixture
def versions(own_store: RunningStore) -> Versions:
    return Versions(own_store.endpoint, own_store.bucket, own_store.region, **own_store.keys)


@pytest.fixture
def objects(own_store: RunningStore, versions: Versions) -> Iterator[ObjectStore]:
    made = ObjectStore.connect(
        own_store.endpoint, own_store.bucket, own_store.region, **own_store.keys
    )
    yield made
    for page in list(versions.pages()):
        assert versions.delete(page) == 0


@pytest.mark.stores
def test_versions_are_listed_over_pages(objects: ObjectStore, versions: Versions) -> None:
    names = [f"home/ana/{name}" for name in ("a b+c%20", "d&e<f>", "ü", "z")]
    for name in names:
        for content in (b"1", b"22"):
            objects.put(name, content)
    objects.delete(names[-1])
    whole = [row for page in versions.pages("home/ana/") for row in page]
    paged = [row for page in versions.pages("home/ana/", page=2) for row in page]
    # A store may list something on two pages, and pages in no order.
    assert set(paged) == set(whole)
    assert sorted({row.key for row in whole}) == sorted(names)
    last = [row for row in whole if row.key == names[-1]]
    assert [(row.deleted, row.latest, row.size) for row in last] == [
        (True, True, 0),
        (False, False, 2),
        (False, False, 1),
    ]
    assert versions.delete([row for row in whole if row.key == names[-1]]) == 0
    assert not [row for page in versions.pages(names[-1]) for row in page]


@pytest.mark.stores
def test_a_sweep_removes_what_has_had_its_time(
    own_store: RunningStore, objects: ObjectStore, versions: Versions
) -> None:
    requests = Requests(
        own_store.endpoint, own_store.region, own_store.access_key, own_store.secret_key
    )
    for key in ("home/bo/changed", "home/bo/deleted", "home/bo/same"):
        objects.put(key, b"first")
    objects.put("home/bo/changed", b"second")
    objects.delete("home/bo/deleted")
    begun = requests.send("POST", f"/{own_store.bucket}/home/bo/upload?uploads=")
    assert begun.status_code == 200

    def keys() -> list[tuple[str, bool, bool]]:
        return [
            (row.key.removeprefix("home/bo/"), row.latest, row.deleted)
            for page in versions.pages("home/bo/")
            for row in page
        ]

    everything = keys()
    now = datetime.now(UTC)
    assert sweep(versions, now=now, keep_days=30) == Swept()
    assert sweep(versions, now=now + timedelta(days=29), keep_days=0, stopping=bool) is not None
    assert sweep(versions, now=now, keep_days=1, stopping=lambda: True) is None
    assert keys() == everything
    later = now + timedelta(days=31)
    swept = sweep(versions, now=later, keep_days=30)
    assert swept is not None
    assert (swept.versions, swept.size, swept.failed) == (2, 10, 0)
    assert ("deleted", True, True) in keys()
    assert len(keys()) == 3
    again = sweep(versions, now=later, keep_days=30)
    assert again is not None
    assert again.versions == 1  # the marker, now that it hides nothing
    assert sorted(keys()) == [("changed", True, False), ("same", True, False)]
    assert objects.get("home/bo/changed") == b"second"
    assert versions.uploads() == []


@pytest.mark.stores
def test_the_keeper_measures_and_sweeps_once_a_day(
    objects: ObjectStore, versions: Versions
) -> None:
    objects.put("home/ana/a", b"1" * 100)
    objects.put("home/ana/sub/b", b"1" * 10)
    objects.put("home/ana/a", b"1" * 50)
    objects.put("projects/gdp/c", b"1")
    objects.put("bundles/abc", b"1" * 1000)
    now = [datetime.now(UTC)]
    done: list[tuple[datetime, Swept]] = []
    keeper = Keeper(
        objects,
        versions,
        keep_days=30,
        last_sweep=lambda: done[-1][0] if done else None,
        record=lambda swept: done.append((now[0], swept)),
        clock=lambda: now[0],
    )
    assert keeper.usage() == {}
    keeper.step()
    sizes = {prefix: (usage.size, usage.objects) for prefix, usage in keeper.usage().items()}
    # Some stores remember the folder of a file that is gone.
    held = {prefix: size for prefix, size in sizes.items() if size[1]}
    assert held == {"home/ana/": (60, 2), "projects/gdp/": (1, 1)}
    assert len(done) == 1
    now[0] += timedelta(hours=23)
    keeper.step()
    assert len(done) == 1
    now[0] += timedelta(days=40)
    keeper.step()
    assert len(done) == 2
    assert done[1][1].versions >= 1


class Down:
    """A store that does not answer."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def folders(self, prefix: str) -> list[str]:
        self.asked.set()
        raise Unavailable("The object store does not answer.")


@pytest.mark.stores
def test_its_thread_looks_again_when_asked_and_ends_when_told(
    objects: ObjectStore, versions: Versions, tmp_path: Path
) -> None:
    objects.put("home/eve/a", b"1" * 10)
    shift = [timedelta()]
    keeper = Keeper(
        objects,
        versions,
        keep_days=30,
        last_sweep=lambda: datetime.now(UTC) + timedelta(days=1),
        record=lambda swept: None,
        clock=lambda: datetime.now(UTC) + shift[0],
    )
    keeper.start()
    try:
        _until(lambda: keeper.usage().get("home/eve/"))
        objects.delete("home/eve/a")
        keeper.look_again("home/eve/")  # too soon
        assert keeper.usage()["home/eve/"].size == 10
        shift[0] = timedelta(minutes=1)
        keeper.look_again("home/eve/")
        _until(lambda: keeper.usage()["home/eve/"].size == 0)
    finally:
        keeper.stop(timeout=10)
    assert keeper._thread is not None
    assert not keeper._thread.is_alive()


def test_a_store_that_is_down_ends_no_thread(versions: Versions) -> None:
    down = Down()
    keeper = Keeper(
        down,  # type: ignore[arg-type]
        versions,
        keep_days=30,
        last_sweep=lambda: None,
        record=lambda swept: None,
    )
    keeper.start()
    assert down.asked.wait(10)
    assert keeper._thread is not None
    assert keeper._thread.is_alive()
    keeper.stop(timeout=10)
    assert not keeper._thread.is_alive()
    assert keeper.usage() == {}


def _until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
