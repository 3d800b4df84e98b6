"""Files that arrive in chunks, on the real store."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from datetime import timedelta
from typing import Any

import pytest
from contents import refused, text

from lab_extension.contents import uploads
from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.uploads import PART, Uploads

MIB = 1024 * 1024


def chunk(number: int, data: bytes, **more: Any) -> dict[str, Any]:
    content = base64.b64encode(data).decode()
    return {"type": "file", "format": "base64", "content": content, "chunk": number, **more}


async def upload(
    manager: S3ContentsManager, path: str, data: bytes, size: int = MIB, **more: Any
) -> dict[str, Any]:
    """As JupyterLab does it; the answer to the last chunk."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    answer: dict[str, Any] = {}
    for number, piece in enumerate(pieces, 1):
        last = number == len(pieces)
        answer = await manager.save(chunk(-1 if last else number, piece, **more), path)
    return answer


async def stored(manager: S3ContentsManager, key: str) -> bytes:
    return bytes((await manager.store.read(key))[1])


async def records(manager: S3ContentsManager) -> list[str]:
    return [entry.key async for batch in manager.store.walk(".almanac") for entry in batch]


@pytest.mark.parametrize("size", [2 * MIB + 1, PART, PART + MIB, 2 * PART + 12345])
async def test_a_file_arrives_whole(manager: S3ContentsManager, size: int) -> None:
    data = os.urandom(size)
    answer = await upload(manager, "d/a.csv", data)
    assert await stored(manager, "d/a.csv") == data
    entry = await manager.store.head("d/a.csv")
    assert (answer["size"], answer["hash"]) == (size, entry.etag)
    assert (await manager.store.read("d/a.csv"))[2] == "text/csv"
    assert ("-" in str(entry.etag)) == (size > PART)  # in parts only if there are parts
    assert await records(manager) == []
    assert await manager.store.pending_uploads("") == []


async def test_answers_on_the_way_are_models_of_what_is_not_there_yet(
    manager: S3ContentsManager,
) -> None:
    answer = await manager.save(chunk(1, b"123"), "d/a.csv")
    assert (answer["path"], answer["size"], answer["content"]) == ("d/a.csv", 3, None)
    assert answer["last_modified"]
    assert not await manager.exists("d/a.csv")
    assert (await manager.save(chunk(2, b"45"), "d/a.csv"))["size"] == 5
    assert (await manager.save(chunk(-1, b"6"), "d/a.csv"))["size"] == 6
    assert await stored(manager, "d/a.csv") == b"123456"


async def test_the_first_chunk_begins_again(manager: S3ContentsManager) -> None:
    await manager.save(chunk(1, b"x" * (PART + 5)), "a.bin")
    assert len(await manager.store.pending_uploads("")) == 1
    await manager.save(chunk(1, b"1"), "a.bin")
    assert await manager.store.pending_uploads("") == []
    await manager.save(chunk(-1, b"2"), "a.bin")
    assert await stored(manager, "a.bin") == b"12"


async def test_chunks_out_of_order_are_refused(manager: S3ContentsManager) -> None:
    for number in (2, -1):
        with refused(400, f"Chunk {number} of a.bin came, and no upload of it is under way"):
            await manager.save(chunk(number, b"x"), "a.bin")
    await manager.save(chunk(1, b"1"), "a.bin")
    with refused(400, "Chunk 3 of a.bin came where chunk 2 should be"):
        await manager.save(chunk(3, b"3"), "a.bin")
    with refused(400, "Chunk 0"):
        await manager.save(chunk(0, b"3"), "a.bin")
    await manager.save(chunk(2, b"2"), "a.bin")
    # It comes again where its answer was lost.
    assert (await manager.save(chunk(2, b"2"), "a.bin"))["size"] == 2
    with refused(400, "where chunk 3 should be"):
        await manager.save(chunk(2, b"other"), "a.bin")
    await manager.save(chunk(-1, b"3"), "a.bin")
    assert await stored(manager, "a.bin") == b"123"
    with refused(400):
        await manager.save(chunk(-1, b"3"), "a.bin")


async def test_uploads_of_one_path_are_told_apart_by_their_ids(
    manager: S3ContentsManager,
) -> None:
    for name in ("one", "two"):
        await manager.save(chunk(1, name.encode(), upload=name), "a.bin")
    for name in ("two", "one"):
        await manager.save(chunk(-1, b"!", upload=name), "a.bin")
    assert await stored(manager, "a.bin") == b"one!"


@pytest.mark.parametrize("size", [3 * MIB, PART + 2 * MIB])
async def test_the_condition_is_that_of_the_first_chunk(
    manager: S3ContentsManager, size: int
) -> None:
    data = os.urandom(size)
    await upload(manager, "a.bin", data, base_hash=None)
    with refused(409, "a.bin has changed"):
        await upload(manager, "a.bin", b"x" * size, base_hash=None)
    assert await stored(manager, "a.bin") == data
    known = (await manager.get("a.bin", content=False, require_hash=True))["hash"]
    await upload(manager, "a.bin", data + b"1", base_hash=known)
    with refused(409):
        await upload(manager, "a.bin", data + b"2", base_hash=known)
    assert await stored(manager, "a.bin") == data + b"1"
    assert await manager.store.pending_uploads("") == []
    assert await records(manager) == []


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"chunk": 1, "content": "x", "format": "text"}, "No file type provided"),
        ({"chunk": 1, "type": "notebook", "content": {}}, 'File type "notebook"'),
        ({"chunk": 1, "type": "file", "format": "text"}, "No file content"),
        ({"chunk": 1, "type": "file", "content": "x"}, "Must specify format"),
        ({"chunk": 1, "type": "file", "content": "a", "format": "base64"}, "Encoding error"),
    ],
)
async def test_chunks_that_make_no_sense(
    manager: S3ContentsManager, model: dict[str, Any], words: str
) -> None:
    with refused(400, words):
        await manager.save(model, "a.bin")


async def test_no_upload_where_it_could_not_end(manager: S3ContentsManager) -> None:
    await manager.save({"type": "directory"}, "d")
    with refused(400, "d is a directory"):
        await manager.save(chunk(1, b"x"), "d")
    with refused(400, "Cannot create"):
        await manager.save(chunk(1, b"x"), ".hidden")


async def test_text_in_chunks(manager: S3ContentsManager) -> None:
    await manager.save(text("ü", chunk=1), "a.txt")
    await manager.save(text("ö", chunk=-1), "a.txt")
    assert (await stored(manager, "a.txt")).decode() == "üö"


async def test_hooks_are_run_at_both_ends(manager: S3ContentsManager) -> None:
    called: list[str] = []
    manager.register_pre_save_hook(lambda **_: called.append("before"))
    manager.register_post_save_hook(lambda **_: called.append("after"))
    await upload(manager, "a.bin", b"x" * 100, size=30)
    assert called == ["before", "after"]


async def test_what_is_given_up_is_aborted(
    manager: S3ContentsManager,
) -> None:
    clock = [0.0]
    slept: list[float] = []
    late = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await late.wait()
        clock[0] += seconds

    manager.uploads = Uploads(
        manager.store,
        logging.getLogger("uploads"),
        manager.reached,
        now=lambda: clock[0],
        sleep=sleep,
    )
    await manager.save(chunk(1, b"x" * (PART + 1)), "a.bin")
    late.set()
    for _ in range(400):
        await asyncio.sleep(0.01)
        if not await records(manager):
            break
    assert await manager.store.pending_uploads("") == []
    assert slept[0] == timedelta(minutes=15).total_seconds()
    with refused(400, "no upload of it is under way"):
        await manager.save(chunk(2, b"x"), "a.bin")


async def test_a_slow_upload_stays_known_as_under_way(manager: S3ContentsManager) -> None:
    clock = [0.0]
    manager.uploads = Uploads(
        manager.store, logging.getLogger("uploads"), manager.reached, now=lambda: clock[0]
    )
    await manager.save(chunk(1, b"x" * (PART + 1)), "a.bin")
    [record] = await records(manager)
    await manager.store.delete([record])
    clock[0] += timedelta(minutes=6).total_seconds()
    await manager.save(chunk(2, b"x"), "a.bin")
    assert await records(manager) == [record]
    await manager.save(chunk(-1, b"y"), "a.bin")
    assert (await manager.store.head("a.bin")).size == PART + 3


async def test_uploads_of_others_are_not_swept(
    manager: S3ContentsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job may send a file of its own for hours, below the same prefix."""
    monkeypatch.setattr(uploads, "ABANDONED", timedelta(seconds=-5))
    theirs = await manager.store.begin_upload("job.bin")
    await manager.store.write(".almanac/uploads/nonsense", b"not one of ours")
    assert await manager.uploads.sweep() == 0
    pending = await manager.store.pending_uploads("")
    assert [upload.upload for upload in pending] == [theirs]
    await manager.store.abort_upload("job.bin", theirs)


async def test_there_are_not_too_many(
    manager: S3ContentsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST", 2)
    for name in ("a", "b"):
        await manager.save(chunk(1, b"x"), name)
    with refused(503, "2 uploads are under way"):
        await manager.save(chunk(1, b"x"), "c")
    await manager.save(chunk(-1, b"y"), "a")
    await manager.save(chunk(1, b"x"), "c")
