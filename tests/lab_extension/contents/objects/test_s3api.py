from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_stores import Answer, FakeStore, error, found
from stores import RunningStore

from lab_extension.contents.objects import bygone, s3xml
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.entries import Version
from lab_extension.contents.objects.faults import BadName, Changed
from lab_extension.contents.objects.store import Store, StoreSettings

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


async def test_copies_what_is_too_large_for_one_request_in_parts(store: Store) -> None:
    """Parts of 5 MiB here, for what are 512 MiB and objects of more than 5 GB in truth."""
    data = bytes(range(256)) * (11 * 4096)
    source = await store.write("big.csv", data)
    api = store._api
    entry = await api.copy_in_parts(
        f"{store.prefix}/big.csv", f"{store.prefix}/two", part=5 * 1024 * 1024
    )
    assert entry.size == len(data)
    assert entry.etag
    assert entry.etag.endswith("-3")
    _, copied, media_type = await store.read("two")
    assert bytes(copied) == data
    assert media_type == "text/csv"
    with pytest.raises(Changed):
        await api.copy_in_parts(
            f"{store.prefix}/big.csv", f"{store.prefix}/three", if_match="other"
        )
    with pytest.raises(Changed):
        await api.copy_in_parts(f"{store.prefix}/big.csv", f"{store.prefix}/two", if_absent=True)
    assert source == await store.head("big.csv")
    assert await api.uploads(f"{store.prefix}/two") == []


async def test_a_copy_that_is_refused_for_its_size_goes_in_parts(
    fake: FakeStore, told: Store
) -> None:
    def answer(request: Any) -> Answer:
        if request.method == "HEAD":
            return found(etag="e", content_length="7000000000")
        if "uploads=" in request.path:
            return Answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>",
            )
        if request.method == "POST":
            return Answer(
                200,
                b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>',
            )
        if "partNumber" in request.path:
            assert "uploadId=u%2F1" in request.path
            return Answer(200, b'<CopyPartResult><ETag>"part"</ETag></CopyPartResult>')
        return error(400, "InvalidRequest")

    fake.answer = answer
    assert (await told.copy("x", "y")).key == "y"
    ranges = {r.headers["x-amz-copy-source-range"] for r in fake.asked if "partNumber" in r.path}
    assert len(ranges) == 14
    assert "bytes=6979321856-6999999999" in ranges


async def test_the_request_names_the_encryption(fake: FakeStore) -> None:
    fake.answer = lambda request: (
        found()
        if request.method != "POST"
        else Answer(
            200,
            b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        )
    )
    store = Store(
        StoreSettings(
            fake.endpoint,
            "b",
            credentials=StaticKeys("k", "s", "session"),
            sse="aws:kms",
            kms_key_id="key-1",
        )
    )
    await store.write("x", b"1")
    await store.copy("x", "y")
    await store.begin_upload("x")
    written = [request for request in fake.asked if request.method in ("PUT", "POST")]
    assert len(written) == 3
    for request in written:
        assert request.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert request.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
        assert request.headers["x-amz-security-token"] == "session"
    await store.close()


async def test_signs_nothing_for_an_open_bucket(fake: FakeStore) -> None:
    fake.answer = lambda request: found(b"x")
    store = Store(StoreSettings(fake.endpoint, "b", anonymous=True))
    await store.read("x")
    await store._api.get("x")
    assert not any("authorization" in request.headers for request in fake.asked)
    assert await store.presign("x", 60) == f"{fake.endpoint}/b/x"
    await store.close()


async def test_asks_no_proxy_on_the_way_to_this_machine(
    fake: FakeStore, told: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fake.answer = lambda request: found(b"x")
    store = Store(StoreSettings(fake.endpoint, "b", credentials=StaticKeys("k", "s")))
    await store.head("x")
    await store._api.head("x")
    await store.close()


async def test_an_environment_that_points_elsewhere_changes_nothing(
    seaweedfs: RunningStore, connect: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "stray",
        "AWS_ACCESS_KEY_ID": "stray",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "mars-1",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = connect(seaweedfs, place)
    await store.write("x", b"1")
    assert (await store.head("x")).size == 1


async def test_an_error_after_ok_is_an_error(fake: FakeStore, told: Store) -> None:
    """S3 may find out that a copy fails when it has said "200 OK" already."""
    fake.answer = lambda request: Answer(
        200, b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
    )
    with pytest.raises(Exception, match="refuses"):
        await told._api.copy("x", "y")
    with pytest.raises(Exception, match="refuses"):
        await told._api.complete("x", "u", ["e"])


def test_dots_in_a_key_are_never_sent(told: Store) -> None:
    for key in ("a/../b", ".", "a/./b"):
        with pytest.raises(BadName):
            told._api.client.url(key)


async def test_large_bodies_leave_the_event_loop_free(weed: Store) -> None:
    """Not a limit on time: other tasks get their turns while a part goes up."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    upload = await weed.begin_upload("x")
    turns = 0
    await weed.upload_part("x", upload, 1, bytes(8 * 1024 * 1024))
    counter.cancel()
    await weed.abort_upload("x", upload)
    assert turns > 16


async def test_connections_of_another_event_loop_are_left_behind(
    fake: FakeStore, told: Store
) -> None:
    fake.answer = lambda request: found(b"x")
    await told._api.head("x")
    assert await asyncio.to_thread(lambda: asyncio.run(told._api.head("x")))
    await told._api.head("x")


# The XML


def test_a_page_of_keys() -> None:
    body = f"""<?xml version="1.0"?><ListBucketResult {NS}><IsTruncated>true</IsTruncated>
      <NextContinuationToken>a&amp;b</NextContinuationToken><EncodingType>url</EncodingType>
      <Contents><Key>a+b%2Bc%25</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>
        <ETag>&quot;abc-2&quot;</ETag><Size>7</Size></Contents>
      <CommonPrefixes><Prefix>d%20e/</Prefix></CommonPrefixes></ListBucketResult>"""
    page = s3xml.page(body.encode())
    [entry] = page.entries
    assert (entry.key, entry.size, entry.etag) == ("a b+c%", 7, "abc-2")
    assert entry.modified == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert (page.prefixes, page.next) == (["d e/"], "a&b")


def test_keys_are_as_they_are_where_the_store_does_not_encode_them() -> None:
    body = f"<ListBucketResult {NS}><Contents><Key>a+b%2B</Key></Contents></ListBucketResult>"
    page = s3xml.page(body.encode())
    assert ([entry.key for entry in page.entries], page.next) == (["a+b%2B"], None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"<Other/>", b"\xff"])
def test_what_is_no_answer_is_told_apart(body: bytes) -> None:
    for parse in (s3xml.page, s3xml.versions, s3xml.uploads):
        with pytest.raises(s3xml.NotS3):
            parse(body)
    assert s3xml.fault(body) == ("", "")


def test_bodies_are_escaped() -> None:
    assert b"<Key>a&amp;b&lt;</Key><VersionId>1</VersionId>" in s3xml.delete([("a&b<", "1")])
    assert b'<PartNumber>2</PartNumber><ETag>"e2"</ETag>' in s3xml.complete(["e1", "e2"])


def at(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def version(key: str, name: str, second: int, **more: Any) -> Version:
    return Version(key, name, 1, at(second), more.get("latest", False), more.get("deleted", False))


def test_gathers_what_was_deleted_over_pages() -> None:
    graves = bygone.Graves(since=at(5), limit=2)
    graves.add(
        [
            version("a", "d", 9, latest=True, deleted=True),
            version("a", "2", 3),
            version("a", "1", 1),
            version("b", "2", 8, latest=True),
            version("b", "d", 7, deleted=True),
            version("b", "1", 1),
            version("c", "d", 4, latest=True, deleted=True),
            version("c", "1", 1),
            version("d/.s3keep", "d", 9, latest=True, deleted=True),
            version("d/.s3keep", "1", 1),
            version("e", "d", 8, latest=True, deleted=True),
            version("e", "c", 8, deleted=True),
        ]
    )
    graves.add([version("e", "1", 1), version("f", "d", 7, latest=True, deleted=True)])
    graves.add([version("f", "1", 2), version("g", "d", 7, latest=True, deleted=True)])
    assert graves.newest_first() == [
        Version("a", "2", 1, at(9), False, True),
        Version("e", "1", 1, at(8), False, True),
    ]


def test_versions_of_one_key_end_where_the_next_begins() -> None:
    page = [version("a", "2", 2), version("a", "1", 1)]
    assert bygone.of_key("a", page) == (page, True)
    assert bygone.of_key("a", [*page, version("ab", "1", 1)]) == (page, False)
    assert bygone.of_key("a", []) == ([], False)


def test_pages_of_stores_that_give_delete_markers_first_are_put_in_order() -> None:
    def item(tag: str, key: str, second: int, latest: bool) -> str:
        return (
            f"<{tag}><Key>{key}</Key><VersionId>{second}</VersionId>"
            f"<IsLatest>{str(latest).lower()}</IsLatest>"
            f"<LastModified>2026-01-01T00:00:0{second}Z</LastModified></{tag}>"
        )

    body = (
        f"<ListVersionsResult {NS}>"
        + item("DeleteMarker", "a", 3, True)
        + item("DeleteMarker", "b", 3, True)
        + item("Version", "a", 1, False)
        + item("Version", "a", 2, False)
        + item("Version", "b", 1, False)
        + "</ListVersionsResult>"
    )
    found_there = s3xml.versions(body.encode()).versions
    assert [(v.key, v.version) for v in found_there] == [
        ("a", "3"),
        ("a", "2"),
        ("a", "1"),
        ("b", "3"),
        ("b", "1"),
    ]
