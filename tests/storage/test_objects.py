from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub_ext.errors import Forbidden, NotFound, Unavailable
from hub_ext.storage.objects import CHUNK, ObjectStore


def test_what_is_put_is_got(objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}a.txt", b"first")
    objects.put(f"{place}a.txt", b"second")
    assert objects.get(f"{place}a.txt") == b"second"
    assert objects.exists(f"{place}a.txt")
    assert not objects.exists(f"{place}b.txt")


def test_head_says_size_time_and_version(objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}a.txt", b"12345")
    info = objects.head(f"{place}a.txt")
    assert (info.key, info.size) == (f"{place}a.txt", 5)
    assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=1)
    assert info.etag
    assert info.version


def test_files_of_many_parts_come_back_as_they_went(
    objects: ObjectStore, place: str, tmp_path: Path
) -> None:
    content = os.urandom(2 * CHUNK + 12345)
    (tmp_path / "large").write_bytes(content)
    objects.put_file(f"{place}large", tmp_path / "large")
    assert objects.get_file(f"{place}large", tmp_path / "copy") == len(content)
    assert (tmp_path / "copy").read_bytes() == content
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert b"".join(objects.stream(f"{place}large")) == content


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_streams_of_any_length_are_stored(objects: ObjectStore, place: str, size: int) -> None:
    objects.put_stream(f"{place}s", iter([b"x" * size]))
    assert objects.get(f"{place}s") == b"x" * size


def test_the_media_type_is_guessed_from_the_name_or_given(objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}page.html", b"<p>")
    objects.put(f"{place}page.dat", b"<p>", media_type="text/plain")
    assert objects.open(f"{place}page.html").media_type == "text/html"
    assert objects.open(f"{place}page.dat").media_type == "text/plain"


def test_a_list_stays_below_its_prefix(objects: ObjectStore, place: str) -> None:
    for key in ("run/1/a", "run/1/b/c", "run/10/a", "run2"):
        objects.put(place + key, b"x")
    for prefix in ("run/1", "run/1/"):
        assert [info.key for info in objects.list(place + prefix)] == [
            f"{place}run/1/a",
            f"{place}run/1/b/c",
        ]
    assert list(objects.list(f"{place}nothing")) == []


def test_a_list_goes_on_past_one_answer_of_the_store(objects: ObjectStore, place: str) -> None:
    keys = [f"{place}{number:04}" for number in range(1100)]
    for key in keys:
        objects.put(key, b"")
    assert [info.key for info in objects.list(place)] == keys
    assert objects.delete_prefix(place) == len(keys)
    assert list(objects.list(place)) == []


def test_delete_is_harmless_for_what_is_not_there(objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}a", b"x")
    objects.delete(f"{place}a")
    objects.delete(f"{place}a")
    assert not objects.exists(f"{place}a")
    assert objects.delete_prefix(place) == 0


def test_a_whole_bucket_is_not_deleted_by_an_empty_prefix(objects: ObjectStore) -> None:
    for prefix in ("", "/"):
        with pytest.raises(ValueError, match="whole bucket"):
            objects.delete_prefix(prefix)


def test_what_is_missing_is_not_found(objects: ObjectStore, place: str, tmp_path: Path) -> None:
    for ask in (objects.get, objects.head, objects.stream):
        with pytest.raises(NotFound, match=f"{place}nothing"):
            ask(f"{place}nothing")
    with pytest.raises(NotFound):
        objects.get_file(f"{place}nothing", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_of_the_caller_is_the_callers_error(
    objects: ObjectStore, place: str, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        objects.put_file(f"{place}a", tmp_path / "nothing")


def test_a_wrong_key_is_forbidden(store) -> None:
    for keys in (
        {"access_key": store.access_key, "secret_key": "wrong"},
        {"access_key": "nobody", "secret_key": "wrong"},
    ):
        stranger = store.connect(**keys)
        with pytest.raises(Forbidden):
            stranger.get("anything")
        with pytest.raises(Forbidden):
            list(stranger.list())


def test_a_missing_bucket_is_named(store) -> None:
    nowhere = ObjectStore.connect(store.endpoint, "not-there", store.region, **store.keys)
    with pytest.raises(Unavailable, match="not-there"):
        list(nowhere.list())


def test_variables_of_the_caller_do_not_get_into_the_requests(
    objects: ObjectStore, store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_SESSION_TOKEN": "stray",
        "AWS_ACCESS_KEY_ID": "stray",
        "AWS_SECRET_ACCESS_KEY": "stray",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "eu-west-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_S3_EXPRESS": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    store.connect().put(f"{place}a", b"x")
    assert objects.get(f"{place}a") == b"x"


def test_a_store_that_is_down_is_said_within_seconds() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    down = ObjectStore.connect(f"http://127.0.0.1:{port}", "almanac", "us-east-1", "a", "b")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        down.get("anything")
    assert time.monotonic() - began < 10
