"""The file of a backup: a tar.gz whose last member lists the others with their sha256.

Written and read as a stream, so that its size is bounded by the disk alone. The
first member says what it is, the last one what was in it: an archive that was
cut short has no end and is refused.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hub_ext.errors import PublicError

FORMAT = 1
HEADER = "almanac-backup.json"
MANIFEST = "manifest.json"
CHUNK = 1024 * 1024
MEDIA_TYPE = "ALMANAC.media_type"
"""Name of the PAX record with the media type of an object."""


class Damaged(PublicError):
    """The archive is not what was written, or not one of ours."""

    code, status = "backup-damaged", 422


class ArchiveWriter:
    """Writes one archive beside its place and moves it there when it is whole.

    Use as a context manager; an exception leaves nothing behind. The file has
    mode 0600: it holds secrets.
    """

    def __init__(self, path: Path, header: dict[str, Any]):
        self.path = path
        self.sha256: dict[str, str] = {}
        self.bytes: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._header = {"format": FORMAT, **header}

    def __enter__(self) -> ArchiveWriter:
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        self._partial = Path(name)
        self._raw = os.fdopen(descriptor, "wb")
        # Level 3: what takes space are Parquet, PNG and bundles, compressed already.
        self._gzip = gzip.GzipFile("", "wb", 3, self._raw, mtime=0)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)
        self._add(HEADER, json.dumps(self._header, indent=1).encode())
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        try:
            if kind is None:
                manifest = {
                    **self._header,
                    "counts": dict(self.counts),
                    "bytes": dict(self.bytes),
                    "sha256": self.sha256,
                }
                self._add(MANIFEST, json.dumps(manifest, indent=1).encode())
                self._tar.close()
                self._gzip.close()
                self._raw.flush()
                os.fsync(self._raw.fileno())
                self._partial.replace(self.path)
        finally:
            self._raw.close()
            self._partial.unlink(missing_ok=True)

    def add_bytes(self, name: str, data: bytes, *, mode: int = 0o600) -> None:
        self._add(name, data, mode=mode)

    def add_file(self, name: str, path: Path) -> bool:
        """Add a file as it is now; False if it changed its size while it was read.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = status.st_size, status.st_mode, status.st_mtime
            return self._write(entry, iter(lambda: file.read(CHUNK), b""))

    def add_stream(
        self, name: str, size: int, chunks: Iterable[bytes], *, modified: float, media_type: str
    ) -> bool:
        """As `add_file`, from chunks that should be ``size`` bytes together."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, modified
        entry.pax_headers = {MEDIA_TYPE: media_type}
        return self._write(entry, chunks)

    def add_folder(self, name: str, path: Path) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, path.stat().st_mode
        self._write(entry, ())

    def add_link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._write(entry, ())

    def _add(self, name: str, data: bytes, *, mode: int = 0o600) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
        self._write(entry, [data])

    def _write(self, entry: tarfile.TarInfo, chunks: Iterable[bytes]) -> bool:
        if entry.name not in (HEADER, MANIFEST):
            kind = entry.name.partition("/")[0]
            self.counts[kind] += entry.isreg()
            self.bytes[kind] += entry.size
        if not entry.isreg():
            self._tar.addfile(entry)
            return True
        content = _Exactly(chunks)
        self._tar.addfile(entry, content)  # type: ignore[arg-type]
        if entry.name not in (HEADER, MANIFEST):
            self.sha256[entry.name] = content.digest.hexdigest()
        return content.whole()


class _Exactly:
    """A file that gives as many bytes as are asked for: a tar announces the size first."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._ready = b""
        self._short = False
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._short:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._short = True
            else:
                self._ready += chunk
        data = self._ready[:size].ljust(size, b"\0")
        self._ready = self._ready[size:]
        self.digest.update(data)
        return data

    def whole(self) -> bool:
        """Whether the chunks were as long as announced; looks one chunk further."""
        return not self._short and not self._ready and not next(self._chunks, b"")


@dataclass(frozen=True)
class Member:
    """One member of an archive that is being read; its content comes once.

    Attributes:
        entry: tar's own description.
        media_type: of an object.
    """

    entry: tarfile.TarInfo
    media_type: str
    _content: _Hashed | None

    @property
    def name(self) -> str:
        return self.entry.name

    def chunks(self) -> Iterator[bytes]:
        while self._content is not None and (chunk := self._content.read(CHUNK)):
            yield chunk


class _Hashed:
    def __init__(self, file: BinaryIO | Any, archive: Path):
        self._file = file
        self._archive = archive
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        with _whole(self._archive):
            data: bytes = self._file.read(size)
        self.digest.update(data)
        return data


@contextlib.contextmanager
def _whole(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(archive, f"cannot be read to its end ({error})") from error


def _damaged(archive: Path, what: str) -> Damaged:
    return Damaged(
        f"{archive} is damaged: it {what}.", mend="Take another copy; nothing was restored."
    )


class ArchiveReader:
    """Reads an archive from its first member to its last, and checks it on the way.

    What has been read may be trusted only when `members` has come to its end
    without `Damaged`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.header: dict[str, Any] = {}
        self.manifest: dict[str, Any] = {}

    def members(self) -> Iterator[Member]:
        """Everything between header and manifest; read each before the next.

        Raises:
            Damaged: cut short, changed, or not a backup.
        """
        with (
            _whole(self.path),
            gzip.open(self.path) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            yield from self._members(tar)

    def _members(self, tar: tarfile.TarFile) -> Iterator[Member]:
        seen: dict[str, str] = {}
        for entry in tar:
            if not self.header:
                self.header = self._document(tar, entry, HEADER)
                if self.header.get("format") != FORMAT:
                    raise Damaged(
                        f"{self.path} has format {self.header.get('format')}; this Almanac "
                        f"reads {FORMAT}.",
                        mend="Use the version of Almanac that wrote it: "
                        f"{self.header.get('almanac')}.",
                    )
                continue
            if entry.name == MANIFEST:
                self.manifest = self._document(tar, entry, MANIFEST)
                continue
            if self.manifest:
                raise _damaged(self.path, "goes on after its end")
            content = _Hashed(tar.extractfile(entry), self.path) if entry.isreg() else None
            yield Member(entry, str(entry.pax_headers.get(MEDIA_TYPE, "")), content)
            if content is not None:
                while content.read(CHUNK):
                    pass
                seen[entry.name] = content.digest.hexdigest()
        if not self.manifest:
            raise _damaged(self.path, "has no end: it was cut short")
        if seen != self.manifest.get("sha256"):
            listed = self.manifest.get("sha256", {})
            wrong = sorted(name for name in {*seen, *listed} if seen.get(name) != listed.get(name))
            raise _damaged(
                self.path, f"has {len(wrong)} members that changed, {wrong[0]} among them"
            )

    def _document(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, name: str) -> dict[str, Any]:
        file = tar.extractfile(entry) if entry.name == name else None
        if file is None:
            raise Damaged(
                f"{self.path} is not a backup of Almanac.", mend="`almanac backup FILE` makes one."
            )
        document: dict[str, Any] = json.load(io.TextIOWrapper(file, "utf-8"))
        return document
