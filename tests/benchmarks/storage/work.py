"""What is measured: each piece of work does its requests, and makes sure that they did their work.

A piece of work is given its files before any server starts, so that no server
has a chance to remember another state of them; what it changes or removes, it
has once for each round.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.benchmarks.storage import data
from tests.benchmarks.storage.data import Place
from tests.benchmarks.storage.figures import NOT_SLOWER, Bar, percentile
from tests.benchmarks.storage.servers import REQUEST_SECONDS, Server

CHUNK = 1 << 20
"""What JupyterLab uploads at a time."""
Files = Iterator[tuple[str, bytes]]


class Failed(Exception):
    """A side did not do the work, or not rightly."""


@dataclass
class Side:
    """One contents manager in a running server, and the place of its files."""

    name: str
    server: Server
    place: Place
    client: httpx.Client

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request that has to succeed.

        Raises:
            Failed: it did not.
        """
        try:
            answer = self.client.request(method, quote(path), **options)
        except httpx.HTTPError as error:
            raise Failed(f"{method} {path}: {type(error).__name__} {error}") from error
        if not answer.is_success:
            raise Failed(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


@dataclass(frozen=True)
class Work:
    """One measure.

    Attributes:
        name: for ``--only``; also the folder of its files.
        bar: against s3contents.
        loop: measure the event loop's delay meanwhile, too.
        loop_bar: of the delay's 99th percentile.
        far: also with latency added.
        changes: it cannot be done twice in one folder, near and far.
    """

    name: str
    title: str
    bar: Bar = NOT_SLOWER
    loop: bool = False
    loop_bar: Bar | None = None
    far: bool = True
    changes: bool = False

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        """What has to be there; below ``folder``, which no other work uses."""
        yield from ()

    def run(self, side: Side, folder: str, turn: int) -> float:
        """Do it for the ``turn``-th time; seconds."""
        raise NotImplementedError


@dataclass(frozen=True)
class ListFiles(Work):
    count: int = 0

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        yield from data.flat(place, folder, self.count)

    def run(self, side: Side, folder: str, turn: int) -> float:
        began = time.perf_counter()
        answer = side.send("GET", f"/api/contents/{folder}", params={"content": 1})
        seconds = time.perf_counter() - began
        found = len(answer.json()["content"])
        if found != self.count:
            raise Failed(f"{found} of {self.count} listed")
        return seconds


@dataclass(frozen=True)
class ListFolders(ListFiles):
    def files(self, place: Place, folder: str, rounds: int) -> Files:
        yield from data.folders(place, folder, self.count)


@dataclass(frozen=True)
class OpenNotebook(Work):
    size: int = 0

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        yield f"{folder}/report.ipynb", data.notebook_bytes(self.size)
        if place.markers:
            yield f"{folder}/{data.MARKER}", b""

    def run(self, side: Side, folder: str, turn: int) -> float:
        began = time.perf_counter()
        answer = side.send(
            "GET",
            f"/api/contents/{folder}/report.ipynb",
            params={"content": 1, "type": "notebook"},
        )
        seconds = time.perf_counter() - began
        if len(answer.content) < self.size:
            raise Failed(f"only {len(answer.content)} bytes")
        return seconds


@dataclass(frozen=True)
class SaveNotebook(OpenNotebook):
    changes: bool = True

    def run(self, side: Side, folder: str, turn: int) -> float:
        content = data.notebook(self.size, seed=turn + 1)
        body = json.dumps({"type": "notebook", "format": "json", "content": content}).encode()
        began = time.perf_counter()
        side.send(
            "PUT",
            f"/api/contents/{folder}/report.ipynb",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        seconds = time.perf_counter() - began
        if (stored := side.place.size(f"{folder}/report.ipynb")) < self.size:
            raise Failed(f"only {stored} bytes of {self.size} were saved")
        return seconds


@dataclass(frozen=True)
class RenameFolder(Work):
    count: int = 0
    changes: bool = True

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        for turn in range(rounds):
            yield from data.flat(place, f"{folder}/{turn}/before", self.count)

    def run(self, side: Side, folder: str, turn: int) -> float:
        before, after = f"{folder}/{turn}/before", f"{folder}/{turn}/after"
        began = time.perf_counter()
        side.send("PATCH", f"/api/contents/{before}", json={"path": after})
        seconds = time.perf_counter() - began
        left, there = side.place.count(before), side.place.count(after)
        if (left, there) != (0, self.count):
            raise Failed(f"{there} of {self.count} moved, {left} left behind")
        return seconds


@dataclass(frozen=True)
class DeleteFolder(RenameFolder):
    def run(self, side: Side, folder: str, turn: int) -> float:
        before = f"{folder}/{turn}/before"
        began = time.perf_counter()
        side.send("DELETE", f"/api/contents/{before}")
        seconds = time.perf_counter() - began
        if left := side.place.count(before):
            raise Failed(f"{left} of {self.count} left behind")
        return seconds


@dataclass(frozen=True)
class Download(Work):
    """Of a file that need not be held in memory; never with latency, which it hardly meets."""

    size: int = 0
    far: bool = False

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        place.write_large(f"{folder}/data.bin", self.size)
        yield f"{folder}/about.txt", b"downloads"

    def run(self, side: Side, folder: str, turn: int) -> float:
        began = time.perf_counter()
        received = 0
        with side.client.stream("GET", f"/files/{folder}/data.bin") as answer:
            for piece in answer.iter_raw():
                received += len(piece)
        if received != self.size:
            raise Failed(f"{answer.status_code}: {received} of {self.size} bytes came")
        return time.perf_counter() - began


@dataclass(frozen=True)
class Upload(Work):
    """As JupyterLab does it: base64 in a PUT for each megabyte, the last numbered -1."""

    size: int = 0
    far: bool = False

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        yield f"{folder}/about.txt", b"uploads"

    def run(self, side: Side, folder: str, turn: int) -> float:
        path = f"{folder}/upload-{turn}.bin"
        began = time.perf_counter()
        sent = 0
        for number, piece in enumerate(data.noise(self.size, CHUNK), 1):
            sent += len(piece)
            side.send(
                "PUT",
                f"/api/contents/{path}",
                json={
                    "type": "file",
                    "format": "base64",
                    "name": path.rpartition("/")[2],
                    "path": path,
                    "chunk": -1 if sent == self.size else number,
                    "content": base64.b64encode(piece).decode(),
                },
            )
        seconds = time.perf_counter() - began
        if (stored := side.place.size(path)) != self.size:
            raise Failed(f"{stored} of {self.size} bytes stored")
        return seconds


@dataclass(frozen=True)
class ManyClients(Work):
    """Clients at once, each of whom reads, saves, looks around and reads on."""

    changes: bool = True
    clients: int = 0
    size: int = 100_000
    listed: int = 100
    waits: dict[str, list[float]] = field(default_factory=dict)
    """By side, how long each request took in the last round, in seconds."""

    def files(self, place: Place, folder: str, rounds: int) -> Files:
        for number in range(self.clients):
            yield f"{folder}/own-{number}/report.ipynb", data.notebook_bytes(self.size, number)
            if place.markers:
                yield f"{folder}/own-{number}/{data.MARKER}", b""
        yield from data.flat(place, f"{folder}/shared", self.listed)

    def run(self, side: Side, folder: str, turn: int) -> float:
        waits: list[float] = []
        body = json.dumps(
            {"type": "notebook", "format": "json", "content": data.notebook(self.size, turn)}
        ).encode()

        async def one(client: httpx.AsyncClient, number: int) -> None:
            own = f"/api/contents/{folder}/own-{number}/report.ipynb"
            shared = f"/api/contents/{folder}/shared"
            typed = {"Content-Type": "application/json"}
            for method, path, options in (
                ("GET", own, {"params": {"content": 1, "type": "notebook"}}),
                ("GET", shared, {"params": {"content": 1}}),
                ("GET", own, {"params": {"content": 0}}),
                ("PUT", own, {"content": body, "headers": typed}),
                ("GET", f"{shared}/table-{number:05}.{('csv', 'parquet', 'txt')[number % 3]}", {}),
                ("GET", shared, {"params": {"content": 1}}),
            ):
                began = time.perf_counter()
                answer = await client.request(method, path, **options)
                waits.append(time.perf_counter() - began)
                if not answer.is_success:
                    raise Failed(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

        async def everybody() -> float:
            limits = httpx.Limits(max_connections=self.clients)
            async with httpx.AsyncClient(**side.server.options, limits=limits) as client:
                began = time.perf_counter()
                await asyncio.wait_for(
                    asyncio.gather(*(one(client, number) for number in range(self.clients))),
                    REQUEST_SECONDS,
                )
                return time.perf_counter() - began

        try:
            seconds = asyncio.run(everybody())
        except (httpx.HTTPError, TimeoutError) as error:
            raise Failed(f"{type(error).__name__} {error}") from error
        self.waits[side.name] = waits
        return seconds

    def slow(self, side: str) -> float:
        """What all but one of twenty requests of the last round took at most, in seconds."""
        return percentile(self.waits[side], 0.95)
