from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from stores import RunningStore

from lab_extension.contents.objects import store as store_module
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.faults import AlreadyThere, BadName, BadRange, Changed, Missing
from lab_extension.contents.objects.store import PART, Listing, Store, StoreSettings

NAMES = [
    "plain.txt",
    "a b",
    "a+b",
    "100%",
    "%41",
    "a#b",
    "a?b&c=d;e:f",
    "~x",
    "'q' \"r\"",
    "<x> & y",
    "*",
    "[b]{c}^`|",
    ".dot",
    "..two",
    "end.",
    "日本.csv",
    "😀",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "n" * 255,
]

MINIO = "this store lists the pending uploads of a single key alone"


def names(listing: Listing) -> set[str]:
    return {entry.key.rpartition("/")[2] for entry in listing.files}


async def gathered(pages: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in pages]


async def content(store: Store, key: str, **how: Any) -> bytes:
    return bytes((await store.read(key, **how))[1])


def raw_put(running: RunningStore, key: str, body: bytes = b"") -> None:
    answer = running.send("PUT", f"{running.bucket}/{quote(key, safe='/-_.~')}", body)
    assert answer.status_code == 200, answer.text


async def test_reads_what_it_wrote(store: Store) -> None:
    written = await store.write("a/b.csv", b"1,2")
    entry, data, media_type = await store.read("a/b.csv")
    assert (entry.key, entry.size, bytes(data)) == ("a/b.csv", 3, b"1,2")
    assert media_type == "text/csv"
    assert entry == await store.head("a/b.csv")
    assert written == entry
    assert written.etag
    assert '"' not in written.etag
    assert written.modified.tzinfo is not None


@pytest.mark.parametrize("name", NAMES)
async def test_keeps_every_name(weed: Store, name: str) -> None:
    for key in (name, f"folder/{name}"):
        await weed.write(key, name.encode())
        assert await content(weed, key) == name.encode()
        assert (await weed.head(key)).key == key
        assert (await weed.copy(key, "copied")).size == len(name.encode())
    assert names(await weed.folder("folder")) == {name}
    assert [entry.key for page in await gathered(weed.walk("folder")) for entry in page] == [
        f"folder/{name}"
    ]
    await weed.delete([name, f"folder/{name}"])
    assert names(await weed.folder("")) == {"copied"}


async def test_every_store_keeps_every_name(store: Store) -> None:
    await asyncio.gather(*(store.write(f"f/{name}", name.encode()) for name in NAMES))
    assert names(await store.folder("f")) == set(NAMES)
    paged = [entry.key for page in await gathered(store.pages("f")) for entry in page.files]
    assert sorted(paged) == sorted(f"f/{name}" for name in NAMES)
    walked = [entry.key for page in await gathered(store.walk("f")) for entry in page]
    assert sorted(walked) == sorted(paged)
    await asyncio.gather(*(store.copy(key, f"g/{key}") for key in walked))
    for name in NAMES:
        assert await content(store, f"g/f/{name}") == name.encode()
        [version] = await store.versions(f"g/f/{name}")
        assert await content(store, f"g/f/{name}", version=version.version) == name.encode()
    await store.delete(walked)
    assert not (await store.folder("f")).files


async def test_keeps_a_key_of_1024_bytes(weed: Store) -> None:
    room = 1024 - len(f"{weed.prefix}/".encode())
    key = "/".join("k" * 255 for _ in range(4))[:room]
    await weed.write(key, b"x")
    assert await content(weed, key) == b"x"
    with pytest.raises(BadName, match="too long"):
        await weed.write(key + "kk", b"x")


@pytest.mark.parametrize("key", ["a/../b", "..", "a//b", "a\0b", "a\nb", "x" * 1025, "a\\b"])
async def test_writes_under_no_bad_name(weed: Store, key: str) -> None:
    with pytest.raises(BadName):
        await weed.write(key, b"x")
    with pytest.raises(BadName):
        await weed.begin_upload(key)
    assert await gathered(weed.walk("")) == []


@pytest.mark.parametrize("key", ["..", "../other", "a/../../b", "a/./b"])
async def test_dots_lead_nowhere(weed: Store, key: str) -> None:
    attempts = [weed.head(key), weed.read(key), weed.delete([key]), weed.copy(key, "x")]
    ended = await asyncio.gather(*attempts, weed.copy("x", key), return_exceptions=True)
    assert {type(one) for one in ended} == {BadName}


async def test_an_object_may_be_a_folder_too(seaweedfs: RunningStore, weed: Store) -> None:
    await weed.write("both", b"file")
    await weed.write("both/in", b"inner")
    listing = await weed.folder("")
    assert listing.folders == ["both"]
    assert names(listing) == {"both"}
    assert names(await weed.folder("both")) == {"in"}
    await weed.delete(["both"])
    assert await content(weed, "both/in") == b"inner"


async def test_a_folder_is_what_lies_below_it(store: Store) -> None:
    assert not (await store.folder("f")).there
    assert not await store.folder_exists("f")
    await store.write("f/g/h.txt", b"x")
    await store.write("f/a.txt", b"x")
    await store.write("fg.txt", b"x")
    assert await store.folder_exists("f")
    assert await store.folder_exists("f/g")
    assert not await store.folder_exists("f/a.txt")
    listing = await store.folder("f")
    assert (listing.folders, names(listing), listing.marked) == (["g"], {"a.txt"}, False)


async def test_an_empty_folder_stays_by_its_marker(store: Store) -> None:
    await store.make_folder("f/g")
    await store.make_folder("f/g")
    assert await store.folder_exists("f/g")
    assert await store.folder("f/g") == Listing([], [], True)
    assert await store.folder("f") == Listing(["g"], [], False)
    await store.remove_marker("f/g")
    await store.remove_marker("f/g")
    assert not await store.folder_exists("f")


async def test_knows_both_kinds_of_markers(any_store: RunningStore, store: Store) -> None:
    raw_put(any_store, f"{store.prefix}/slash/")
    raw_put(any_store, f"{store.prefix}/keep/.s3keep")
    raw_put(any_store, f"{store.prefix}/slash/inner/")
    assert sorted((await store.folder("")).folders) == ["keep", "slash"]
    assert await store.folder("slash") == Listing(["inner"], [], True)
    assert await store.folder("keep") == Listing([], [], True)
    raw = [entry.key for page in await gathered(store.walk("")) for entry in page]
    assert raw == ["keep/.s3keep", "slash/", "slash/inner/"]
    await store.copy("slash/", "moved/")
    assert (await store.folder("moved")).marked
    await store.delete(raw)
    await store.remove_marker("moved")
    assert await gathered(store.walk("")) == []


async def test_pages_and_folder_tell_the_same(store: Store) -> None:
    await asyncio.gather(*(store.write(f"f/{n:03}.txt", b"x") for n in range(30)))
    await asyncio.gather(*(store.write(f"f/{n}/x", b"x") for n in range(5)))
    await store.make_folder("f")
    whole = await store.folder("f")
    pages = await gathered(store.pages("f"))
    assert sorted(whole.folders) == sorted(name for page in pages for name in page.folders)
    assert sorted(whole.files, key=lambda e: e.key) == [e for page in pages for e in page.files]
    assert whole.marked
    assert any(page.marked for page in pages)


async def test_a_folder_of_more_than_one_page(weed: Store) -> None:
    keys = [f"f/{n:04}" for n in range(1005)]
    await weed.write("source", b"x")
    await asyncio.gather(*(weed.copy("source", key) for key in keys))
    assert len((await weed.folder("f")).files) == 1005
    assert [len(page.files) for page in await gathered(weed.pages("f"))] == [1000, 5]
    assert (await weed.usage("f")).objects == 1005
    await weed.delete(keys)
    assert await gathered(weed.walk("f")) == []


async def test_a_large_folder_comes_in_parts_the_second_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGE_FOLDER", 5)
    await asyncio.gather(*(store.write(f"f/{n:02}.txt", b"x") for n in range(8)))
    await store.make_folder("f")
    first, again = await gathered(store.parts("f")), await gathered(store.parts("f"))
    assert names(first[0]) == {f"{n:02}.txt" for n in range(8)}
    assert sorted(name for part in again for name in names(part)) == sorted(names(first[0]))
    assert any(part.marked for part in again)

    # The middle is gone, and one before it is new.
    await store.delete(["f/04.txt"])
    await store.write("f/00.b.txt", b"x")
    changed = [entry.key for part in await gathered(store.parts("f")) for entry in part.files]
    assert sorted(changed) == sorted(entry.key for entry in (await store.folder("f")).files)
    await store.write("f/04.txt", b"x")
    await store.delete(["f/00.b.txt"])

    # A folder in it: told as before, and each file once.
    await store.write("f/later/x", b"x")
    mixed = await gathered(store.parts("f"))
    assert [name for part in mixed for name in part.folders] == ["later"]
    assert sorted(entry.key for part in mixed for entry in part.files) == sorted(
        f"f/{n:02}.txt" for n in range(8)
    )


async def test_a_large_folder_of_names_that_begin_alike_is_told_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGE_FOLDER", 3)
    wanted = {f"{stem}{end}" for stem in ("a", "a.csv", "é", "z") for end in ("", ".gz", "~", "!")}
    await asyncio.gather(*(store.write(f"f/{name}", b"x") for name in wanted))
    for middle in sorted(wanted):
        store._flat["f"] = store._full(f"f/{middle}")
        found = [entry.key for part in await gathered(store.parts("f")) for entry in part.files]
        assert sorted(found) == sorted(f"f/{name}" for name in wanted), middle


async def test_a_part_before_a_folder_is_not_told_twice(
    weed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGE_FOLDER", 1000)
    for begin in range(0, 1100, 100):
        keys = [f"f/{n:04}" for n in range(begin, begin + 100)]
        await asyncio.gather(*(weed.write(key, b"x") for key in keys))
    assert len((await weed.folder("f")).files) == 1100
    await weed.write("f/zz/x", b"x")  # on the second page
    parts = await gathered(weed.parts("f"))
    assert len(parts) > 1
    found = [entry.key for part in parts for entry in part.files]
    assert sorted(found) == [f"f/{n:04}" for n in range(1100)]
    assert [name for part in parts for name in part.folders] == ["zz"]


async def test_counts_what_lies_below(store: Store) -> None:
    await store.write("a/x", b"123")
    await store.write("a/b/y", b"4567")
    await store.write("c", b"1")
    assert (await store.usage("a")).size == 7
    assert (await store.usage()) == type(await store.usage())(8, 3)
    assert (await store.usage("none")).objects == 0


async def test_a_prefix_is_a_world_of_its_own(
    any_store: RunningStore, connect: Any, place: str
) -> None:
    inner, outer = connect(any_store, place + "in"), connect(any_store, f"/{place}")
    await inner.write("x", b"1")
    assert (await outer.head("in/x")).size == 1
    assert inner.uri("x") == f"s3://{any_store.bucket}/{place}in/x"
    assert await gathered(connect(any_store, place + "i").walk("")) == []


# Conditions


async def test_the_second_of_two_saves_is_refused(store: Store) -> None:
    first = await store.write("x", b"one")
    second = await store.write("x", b"two", if_match=first.etag)
    with pytest.raises(Changed) as caught:
        await store.write("x", b"three", if_match=first.etag)
    assert (caught.value.status, caught.value.code) == (409, "changed")
    assert await content(store, "x") == b"two"
    await store.write("x", b"four", if_match=second.etag)


async def test_a_new_file_does_not_go_over_another(store: Store) -> None:
    await store.write("x", b"one", if_absent=True)
    with pytest.raises(AlreadyThere):
        await store.write("x", b"two", if_absent=True)
    assert await content(store, "x") == b"one"


async def test_a_save_on_what_is_gone_is_refused(store: Store) -> None:
    first = await store.write("x", b"one")
    await store.delete(["x"])
    with pytest.raises(Changed):
        await store.write("x", b"two", if_match=first.etag)
    upload = await store.begin_upload("x")
    part = await store.upload_part("x", upload, 1, b"two")
    with pytest.raises(Changed):
        await store.finish_upload("x", upload, [part], if_match=first.etag)
    await store.abort_upload("x", upload)


async def test_one_of_many_at_once_wins(store: Store) -> None:
    first = await store.write("x", b"0")
    writes = [store.write("x", f"{n}".encode(), if_match=first.etag) for n in range(1, 7)]
    ended = await asyncio.gather(*writes, return_exceptions=True)
    won = [one for one in ended if not isinstance(one, BaseException)]
    assert len(won) == 1, ended
    assert all(isinstance(one, Changed) for one in ended if one is not won[0])
    assert (await store.head("x")).etag == won[0].etag


async def test_reads_on_condition(store: Store) -> None:
    first = await store.write("x", b"one")
    assert await content(store, "x", if_match=first.etag) == b"one"
    await store.write("x", b"two")
    with pytest.raises(Changed):
        await store.read("x", if_match=first.etag)
    with pytest.raises(Changed):
        await store.open("x", if_match=first.etag)


@pytest.mark.parametrize("size", [0, 1, 2 * PART, 2 * PART + 1])
async def test_writes_of_all_sizes(store: Store, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    written = await store.write("x", data)
    assert written.size == size
    assert await content(store, "x") == data
    again = await store.write("x", memoryview(data), if_match=written.etag)
    assert again.size == size
    assert await content(store, "x") == data


async def test_a_large_save_goes_up_in_parts_on_the_same_condition(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab_extension.contents.objects.saving.LARGEST_PUT", PART)
    data = b"x" * (2 * PART + 1)
    first = await store.write("x", data, if_absent=True)
    assert first.size == len(data)
    assert first.etag
    assert first.etag.endswith("-3")
    with pytest.raises(AlreadyThere):
        await store.write("x", data, if_absent=True)
    second = await store.write("x", data[1:], if_match=first.etag)
    with pytest.raises(Changed):
        await store.write("x", data, if_match=first.etag)
    assert await store.head("x") == second
    assert await store.pending_uploads() == []


# Reading


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (0, 4, b"0123"),
        (3, 5, b"34"),
        (8, 99, b"89"),
    ],
)
async def test_streams_what_is_asked_for(
    store: Store, start: int, end: int | None, expected: bytes
) -> None:
    await store.write("x.bin", b"0123456789")
    opened = await store.open("x.bin", start=start, end=end)
    assert (opened.start, opened.end) == (start, start + len(expected))
    assert opened.entry.size == 10
    assert opened.media_type == "application/octet-stream"
    assert b"".join([bytes(chunk) async for chunk in opened.chunks]) == expected


async def test_streams_an_empty_object(store: Store) -> None:
    await store.write("x", b"")
    opened = await store.open("x")
    assert (opened.start, opened.end) == (0, 0)
    assert [chunk async for chunk in opened.chunks] == []


async def test_a_range_behind_the_end_is_said_to_be_one(store: Store) -> None:
    await store.write("x", b"abc")
    with pytest.raises(BadRange):
        await store.open("x", start=3)


async def test_a_missing_object_is_missing(store: Store) -> None:
    for attempt in (store.head("x"), store.read("x"), store.open("x"), store.copy("x", "y")):
        with pytest.raises(Missing, match="x"):
            await attempt
    await store.delete(["x"])


# Copies


async def test_copies_keep_content_and_type(store: Store) -> None:
    source = await store.write("a.csv", b"1,2")
    target = await store.copy("a.csv", "b.bin")
    assert (target.key, target.size) == ("b.bin", 3)
    assert target == await store.head("b.bin")
    assert (await store.read("b.bin"))[2] == "text/csv"
    assert await content(store, "a.csv") == b"1,2"
    assert target.etag == source.etag


async def test_copies_on_condition(store: Store) -> None:
    first = await store.write("a", b"one", media_type="text/x-a")
    copied = await store.copy("a", "b", if_absent=True)
    assert copied.size == 3
    assert await store.head("b") == copied
    assert (await store.read("b"))[2] == "text/x-a"
    with pytest.raises(AlreadyThere, match="b"):
        await store.copy("a", "b", if_absent=True)
    await store.copy("a", "b", if_match=first.etag)
    await store.write("a", b"two")
    with pytest.raises(Changed, match="a"):
        await store.copy("a", "b", if_match=first.etag)
    with pytest.raises(Changed, match="a"):
        await store.copy("a", "new", if_match=first.etag, if_absent=True)
    assert await content(store, "b") == b"one"


async def test_copies_an_empty_object_on_condition(store: Store) -> None:
    await store.write("a", b"")
    assert (await store.copy("a", "b", if_absent=True)).size == 0
    assert await content(store, "b") == b""


# Deletion


async def test_deletes_any_number_at_once(weed: Store) -> None:
    await weed.write("x", b"1")
    await weed.delete(["x", "x", *(f"none-{n}" for n in range(1001))])
    assert await gathered(weed.walk("")) == []
    await weed.delete([])


# Uploads in parts


async def test_an_upload_in_parts(any_store: RunningStore, store: Store) -> None:
    if any_store.kind == "minio":
        pytest.skip(MINIO)
    upload = await store.begin_upload("big.csv")
    parts = [
        await store.upload_part("big.csv", upload, 1, b"a" * PART),
        await store.upload_part("big.csv", upload, 2, b"wrong"),
    ]
    parts[1] = await store.upload_part("big.csv", upload, 2, b"end")
    [pending] = await store.pending_uploads()
    assert (pending.key, pending.upload) == ("big.csv", upload)
    assert pending.started.tzinfo is not None
    with pytest.raises(Missing):
        await store.head("big.csv")
    done = await store.finish_upload("big.csv", upload, parts)
    assert done == await store.head("big.csv")
    assert done.size == PART + 3
    assert (await store.read("big.csv"))[2] == "text/csv"
    assert await store.pending_uploads() == []


async def test_the_end_of_an_upload_heeds_conditions(store: Store) -> None:
    first = await store.write("x", b"one")
    upload = await store.begin_upload("x")
    parts = [await store.upload_part("x", upload, 1, b"two")]
    with pytest.raises(AlreadyThere):
        await store.finish_upload("x", upload, parts, if_absent=True)
    second = await store.write("x", b"other")
    with pytest.raises(Changed):
        await store.finish_upload("x", upload, parts, if_match=first.etag)
    assert await content(store, "x") == b"other"
    done = await store.finish_upload("x", upload, parts, if_match=second.etag)
    assert await content(store, "x") == b"two"
    assert done.etag == (await store.head("x")).etag


async def test_an_upload_can_be_forgotten(any_store: RunningStore, store: Store) -> None:
    if any_store.kind == "minio":
        pytest.skip(MINIO)
    upload = await store.begin_upload("f/x")
    await store.upload_part("f/x", upload, 1, b"1")
    assert len(await store.pending_uploads("f")) == 1
    assert await store.pending_uploads("g") == []
    await store.abort_upload("f/x", upload)
    await store.abort_upload("f/x", upload)
    assert await store.pending_uploads() == []
    with pytest.raises(Missing):
        await store.finish_upload("f/x", upload, ["0" * 32])


async def test_an_upload_that_was_finished_can_be_finished_again(store: Store) -> None:
    """The answer may have been lost on the way."""
    upload = await store.begin_upload("x")
    parts = [await store.upload_part("x", upload, 1, b"1")]
    done = await store.finish_upload("x", upload, parts)
    assert (await store.finish_upload("x", upload, parts)).etag == done.etag


# Versions


async def test_versions_newest_first(store: Store) -> None:
    written = [await store.write("x", text) for text in (b"one", b"three", b"fifteen")]
    await store.write("x2", b"another's")
    found = await store.versions("x")
    assert [item.version for item in found] == [entry.version for entry in reversed(written)]
    assert [item.size for item in found] == [7, 5, 3]
    assert [item.latest for item in found] == [True, False, False]
    assert not any(item.deleted for item in found)
    assert {item.key for item in found} == {"x"}
    assert await content(store, "x", version=found[-1].version) == b"one"
    opened = await store.open("x", version=found[-1].version, start=1)
    assert opened.entry.version == found[-1].version
    assert b"".join([bytes(chunk) async for chunk in opened.chunks]) == b"ne"
    assert await store.versions("none") == []


async def test_restores_a_version(store: Store) -> None:
    old = await store.write("x", b"old", media_type="text/x-old")
    await store.write("x", b"new")
    restored = await store.restore("x", old.version or "")
    assert await content(store, "x") == b"old"
    assert restored.etag == old.etag
    assert restored == await store.head("x")
    assert len(await store.versions("x")) == 3
    with pytest.raises(Missing):
        await store.read("x", version=old.version and old.version[:-4] + "0000")


async def test_brings_back_what_was_deleted(store: Store) -> None:
    for key in ("f/a", "f/b", "f/kept", "g/other"):
        await store.write(key, b"old")
        await store.write(key, key.encode())
    await store.make_folder("f/sub")
    await store.delete(["f/a", "f/b", "g/other", "f/sub/.s3keep"])
    gone = await store.deleted("f")
    assert {item.key for item in gone} == {"f/a", "f/b"}
    assert all(item.deleted and item.size == 3 for item in gone)
    assert len(await store.deleted("f", limit=1)) == 1
    assert await store.deleted("f", since=gone[0].modified.replace(year=2100)) == []
    assert len(await store.deleted("f", since=gone[-1].modified)) == 2
    for item in gone:
        assert (await store.versions(item.key))[0].deleted
        await store.restore(item.key, item.version)
        assert await content(store, item.key) == item.key.encode()
    assert await store.deleted("f") == []


async def test_a_bucket_without_versions(any_store: RunningStore, connect: Any) -> None:
    store = connect(any_store, "p", bucket=any_store.new_bucket())
    written = await store.write("x", b"1")
    await store.write("x", b"2", if_match=written.etag)
    assert await store.versions("x") == []
    await store.delete(["x"])
    assert await store.deleted("") == []
    assert not (await store.capabilities()).versions


# Addresses


async def test_an_address_that_anybody_may_read(store: Store) -> None:
    old = await store.write("a b+é.txt", b"old")
    await store.write("a b+é.txt", b"new")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(await store.presign("a b+é.txt", 60))
        assert (answer.status_code, answer.content) == (200, b"new")
        answer = await client.get(await store.presign("a b+é.txt", 60, version=old.version))
        assert (answer.status_code, answer.content) == (200, b"old")
        answer = await client.get(
            (await store.presign("a b+é.txt", 60)).replace("Expires=60", "Expires=61")
        )
        assert answer.status_code == 403


async def test_an_address_as_others_reach_the_store(seaweedfs: RunningStore, connect: Any) -> None:
    store = connect(seaweedfs, "p", public_url="https://data.example.org/")
    address = await store.presign("x", 60)
    assert address.startswith("https://data.example.org/almanac/p/x?X-Amz-")
    assert await store.keys_end() is None


def test_sends_nothing_before_the_first_call(connect: Any) -> None:
    store = Store(StoreSettings("http://127.0.0.1:1", "b", "/p/", credentials=StaticKeys("a", "b")))
    assert (store.prefix, store.endpoint, store.bucket) == ("p", "http://127.0.0.1:1", "b")
    assert store.uri("a/b") == "s3://b/p/a/b"
    assert store.uri("") == "s3://b/p"
