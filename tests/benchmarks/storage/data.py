"""What the benchmark works on, and where it lies: written past the servers that are measured."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.store import S3Store

from tests.support.stores import RunningStore

AT_ONCE = 16
SMALL = 200
"""Bytes of a file in a folder that is only listed, moved or deleted."""
MARKER = ".s3keep"
"""s3contents puts one into each folder that it makes, and is slower where there is none."""


class Place(Protocol):
    """Where the files of one contents manager lie; paths as in its API."""

    markers: bool
    """Folders want a `MARKER`."""

    def write(self, files: Iterable[tuple[str, bytes]]) -> None: ...

    def write_large(self, path: str, size: int) -> None:
        """A file of ``size`` bytes that cannot be compressed."""

    def count(self, folder: str) -> int:
        """How many files are below it, markers left out."""

    def size(self, path: str) -> int: ...

    def clear(self) -> None:
        """Remove everything."""


class ObjectPlace:
    markers = True

    def __init__(self, store: RunningStore, prefix: str):
        self._prefix = prefix
        self._store = S3Store(
            store.bucket,
            prefix=prefix,
            endpoint=store.endpoint,
            region=store.region,
            access_key_id=store.access_key,
            secret_access_key=store.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "120s"},
        )

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        async def all_of_them() -> None:
            waiting = iter(files)

            async def some() -> None:
                for path, content in waiting:
                    await obstore.put_async(self._store, path, content, use_multipart=False)

            await asyncio.gather(*(some() for _ in range(AT_ONCE)))

        asyncio.run(all_of_them())

    def write_large(self, path: str, size: int) -> None:
        obstore.put(self._store, path, noise(size), chunk_size=8 << 20, max_concurrency=2)

    def count(self, folder: str) -> int:
        return sum(
            not item["path"].endswith(("/", MARKER))
            for batch in obstore.list(self._store, folder)
            for item in batch
        )

    def size(self, path: str) -> int:
        return obstore.head(self._store, path)["size"]

    def clear(self) -> None:
        for batch in obstore.list(self._store, chunk_size=1000):
            obstore.delete(self._store, [item["path"] for item in batch])


class DiskPlace:
    markers = False

    def __init__(self, root: Path):
        self._root = root
        root.mkdir(parents=True)

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        for path, content in files:
            file = self._root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def write_large(self, path: str, size: int) -> None:
        (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        with (self._root / path).open("wb") as file:
            file.writelines(noise(size))

    def count(self, folder: str) -> int:
        return sum(path.is_file() for path in (self._root / folder).rglob("*"))

    def size(self, path: str) -> int:
        return (self._root / path).stat().st_size

    def clear(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def flat(place: Place, folder: str, count: int) -> Iterator[tuple[str, bytes]]:
    """A folder of ``count`` small files of a few types."""
    content = bytes(SMALL)
    for number in range(count):
        yield f"{folder}/table-{number:05}.{('csv', 'parquet', 'txt')[number % 3]}", content
    if place.markers:
        yield f"{folder}/{MARKER}", b""


def folders(place: Place, folder: str, count: int) -> Iterator[tuple[str, bytes]]:
    """A folder of ``count`` folders of one file each."""
    for number in range(count):
        yield f"{folder}/month-{number:04}/data.csv", bytes(SMALL)
        if place.markers:
            yield f"{folder}/month-{number:04}/{MARKER}", b""
    if place.markers:
        yield f"{folder}/{MARKER}", b""


def notebook(size: int, seed: int = 0) -> dict[str, Any]:
    """A valid notebook of about ``size`` bytes: code, text and, the most of it, images.

    Small ones have a cell per 2 kB, large ones images of 200 kB, as notebooks
    with figures do.
    """
    chance = random.Random(seed)
    image = min(200_000, max(1_000, size // 50))
    cells: list[dict[str, Any]] = []
    filled = 0
    while filled < size:
        png = base64.b64encode(chance.randbytes(image * 3 // 4)).decode()
        text = "".join(f"row {row}: {chance.random():.6f}\n" for row in range(10))
        cell = {
            "cell_type": "code",
            "id": f"cell-{len(cells)}",
            "execution_count": len(cells) + 1,
            "metadata": {},
            "source": f"table.loc[{len(cells)}].plot()\n# {seed}",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": text},
                {
                    "output_type": "display_data",
                    "data": {"image/png": png, "text/plain": "<Figure size 640x480>"},
                    "metadata": {},
                },
            ],
        }
        cells.append(cell)
        filled += len(json.dumps(cell))
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def notebook_bytes(size: int, seed: int = 0) -> bytes:
    return json.dumps(notebook(size, seed), indent=1).encode()


def noise(size: int, piece: int = 1 << 20) -> Iterator[bytes]:
    """``size`` bytes in pieces; the same megabyte again and again, numbered."""
    block = random.Random(7).randbytes(piece)
    for start in range(0, size, piece):
        yield (start.to_bytes(8, "big") + block[8:])[: size - start]
