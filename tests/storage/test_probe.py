"""What `almanac validate` says of a store is what the store does."""

from __future__ import annotations

import pytest
from brokers import by_key
from stores import RunningStore

from hub_ext.capabilities import CAPABILITIES
from hub_ext.errors import Forbidden, Unavailable
from hub_ext.storage.probe import SCRATCH, probe
from hub_ext.storage.versions import Versions

pytestmark = pytest.mark.stores

ALL = {each.name for each in CAPABILITIES}
LACKS = {"seaweedfs": set(), "minio": set(), "versitygw": {"sts"}}


def test_what_a_store_can_do_is_found_out_and_nothing_is_left(any_store: RunningStore) -> None:
    place = (any_store.endpoint, any_store.bucket, any_store.region, *any_store.keys.values())
    found = probe(*place, by_key(any_store).broker)
    assert set(found) == ALL
    assert {name for name, there in found.items() if not there} == LACKS[any_store.kind]
    assert [row for page in Versions(*place).pages(SCRATCH) for row in page] == []


def test_a_bucket_without_versions_is_told_apart(any_store: RunningStore) -> None:
    bucket = any_store.new_bucket()
    place = (any_store.endpoint, bucket, any_store.region, *any_store.keys.values())
    found = probe(*place, by_key(any_store).broker)
    assert not found["versions"]
    assert found["conditional_writes"]
    assert [row for page in Versions(*place).pages(SCRATCH) for row in page] == []


def test_what_cannot_be_tried_is_said(any_store: RunningStore) -> None:
    broker = by_key(any_store).broker
    keys = any_store.keys.values()
    with pytest.raises(Unavailable):
        probe("http://127.0.0.1:9", any_store.bucket, any_store.region, *keys, broker)
    with pytest.raises(Unavailable):
        probe(any_store.endpoint, "no-such-bucket", any_store.region, *keys, broker)
    with pytest.raises((Forbidden, Unavailable)):
        probe(any_store.endpoint, any_store.bucket, any_store.region, "a", "b", broker)


def test_each_is_explained() -> None:
    for each in CAPABILITIES:
        assert each.gives.endswith(".")
        assert each.without.endswith(".")
