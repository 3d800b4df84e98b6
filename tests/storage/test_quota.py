"""A limit holds for whoever writes by an S3 client: on a real store, by its credentials."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import Brokered

from hub_ext.errors import Forbidden
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Jobs, Options
from hub_ext.names import Principal, PrincipalKind, Right, roles_from_groups
from hub_ext.storage.keeper import Keeper
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.versions import Versions

pytestmark = pytest.mark.stores

NAME = "quota-ana"
ANA = Principal(
    kind=PrincipalKind.USER,
    name=NAME,
    projects=roles_from_groups(NAME, ["quota-gdp"]),
    rights=frozenset({Right.READ, Right.SUBMIT}),
)


@pytest.fixture
def scene(brokered: Brokered, tmp_path: Path) -> Iterator[SimpleNamespace]:
    store = brokered.store
    place = (store.endpoint, store.bucket, store.region, *store.keys.values())
    platform = ObjectStore.connect(*place)
    now = [datetime.now(UTC)]
    keeper = Keeper(
        platform,
        Versions(*place),
        keep_days=0,
        last_sweep=lambda: now[0],
        record=lambda swept: None,
        clock=lambda: now[0],
    )
    database = Database.at(tmp_path / "jobs.sqlite")
    database.upgrade()
    jobs = Jobs(
        database,
        objects=platform,
        clock=lambda: now[0],
        spools=SimpleNamespace(),  # type: ignore[arg-type]
        credentials=brokered.broker,
        sizes=keeper,
        options=Options(quota_bytes=1000, quotas={"quota-gdp": None}),
    )

    left: list[timedelta] = []

    def client() -> ObjectStore:
        document = jobs.credentials(ANA)
        left.append(datetime.fromisoformat(document["Expiration"]) - datetime.now(UTC))
        return ObjectStore.connect(
            store.endpoint,
            store.bucket,
            store.region,
            document["AccessKeyId"],
            document["SecretAccessKey"],
            document["Token"],
        )

    yield SimpleNamespace(client=client, keeper=keeper, jobs=jobs, now=now, left=left)
    for prefix in (f"home/{NAME}/", "projects/quota-gdp/"):
        platform.delete_prefix(prefix)
    database.close()


def test_over_the_limit_one_can_make_room_and_then_write_again(scene: SimpleNamespace) -> None:
    home, shared = f"home/{NAME}/", "projects/quota-gdp/"
    first = scene.client()
    first.put(f"{home}a", bytes(600))
    first.put(f"{home}b", bytes(600))
    scene.keeper.step()
    second = scene.client()
    with pytest.raises(Forbidden):
        second.put(f"{home}c", b"1")
    second.put(f"{shared}c", bytes(5000))  # has no limit
    assert len(second.get(f"{home}a")) == 600
    assert [info.key for info in second.list(home)] == [f"{home}a", f"{home}b"]
    me = {project.slug: project for project in scene.jobs.me(ANA).projects}
    assert not me[f"user-{NAME}"].writable
    assert (me[f"user-{NAME}"].used_bytes, me[f"user-{NAME}"].quota_bytes) == (1200, 1000)
    assert me["quota-gdp"].writable
    second.delete(f"{home}a")
    scene.now[0] += timedelta(minutes=1)
    scene.client()  # asks for a fresh look
    scene.keeper._measure_again()
    scene.client().put(f"{home}c", b"1")
    # Those that do not write end sooner: room is made, and nobody waits an hour for it.
    minutes = [left.total_seconds() / 60 for left in scene.left]
    assert [round(each, -1) for each in minutes] == [60, 20, 20, 60]
