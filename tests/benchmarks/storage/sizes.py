"""Which work is done, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.storage.figures import Bar
from tests.benchmarks.storage.work import (
    DeleteFolder,
    Download,
    ListFiles,
    ListFolders,
    ManyClients,
    OpenNotebook,
    RenameFolder,
    SaveNotebook,
    Upload,
    Work,
)

LATENCY = 0.02
"""Seconds that each request to the store takes longer where it is far away."""


@dataclass(frozen=True)
class Sizes:
    """Counts, and sizes in bytes. The names of the work say those of the full benchmark."""

    some: int = 1_000
    many: int = 10_000
    small: int = 100_000
    large: int = 50_000_000
    moved: int = 200
    clients: int = 20
    streamed: int = 100_000_000
    memory: int = 2 << 30


QUICK = Sizes(
    some=30,
    many=100,
    small=20_000,
    large=200_000,
    moved=10,
    clients=4,
    streamed=3_000_000,
    memory=20_000_000,
)


def work(sizes: Sizes) -> list[Work]:
    """All that is timed; the bars are the promises that are made of it."""
    some, many = f"{sizes.some:,}", f"{sizes.many:,}"
    small, large = _bytes(sizes.small), _bytes(sizes.large)
    streamed = _bytes(sizes.streamed)
    return [
        ListFiles("list-1000", f"list {some} files", count=sizes.some),
        ListFiles(
            "list-10000",
            f"list {many} files",
            bar=Bar(at_least=8),
            loop=True,
            loop_bar=Bar(below=50),
            count=sizes.many,
        ),
        ListFolders("list-folders", f"list {some} folders", count=sizes.some),
        OpenNotebook("open-100kB", f"open a notebook of {small}", size=sizes.small),
        SaveNotebook("save-100kB", f"save a notebook of {small}", size=sizes.small),
        OpenNotebook("open-50MB", f"open a notebook of {large}", loop=True, size=sizes.large),
        SaveNotebook(
            "save-50MB",
            f"save a notebook of {large}",
            bar=Bar(at_least=2),
            loop=True,
            size=sizes.large,
        ),
        RenameFolder(
            "rename-200",
            f"rename a folder of {sizes.moved} files",
            bar=Bar(at_least=20),
            loop=True,
            count=sizes.moved,
        ),
        DeleteFolder("delete-200", f"delete a folder of {sizes.moved} files", count=sizes.moved),
        ManyClients(
            "clients-20", f"{sizes.clients} clients at once", loop=True, clients=sizes.clients
        ),
        Download("download-100MB", f"download a file of {streamed}", size=sizes.streamed),
        Upload("upload-100MB", f"upload a file of {streamed}", size=sizes.streamed),
    ]


def memory_work(sizes: Sizes) -> list[Download | Upload]:
    """What must not go through the server's memory."""
    size = f"{sizes.memory / (1 << 30):g} GB" if sizes.memory >= 1 << 30 else _bytes(sizes.memory)
    return [
        Download("memory-download", f"memory at a download of {size}", size=sizes.memory),
        Upload("memory-upload", f"memory at an upload of {size}", size=sizes.memory),
    ]


MEMORY_BAR = Bar(below=100)
"""MB above idle."""


def _bytes(size: int) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} kB"
