"""The bundle itself: a deterministic archive, named by its content.

The name is the sha256 of the uncompressed tar, so that it does not depend on
the compressor. Whoever reads one takes it for hostile: hash, names, kinds,
counts and sizes are checked before anything is written or parsed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import ValidationError

from hub_ext.bundles import notebooks
from hub_ext.bundles.environment import Lock
from hub_ext.bundles.file_names import FileNameError, check_file_name
from hub_ext.bundles.snapshot import Snapshot
from hub_ext.bundles.spec import Manifest
from hub_ext.errors import Invalid, PublicError

MANIFEST = "manifest.json"
NOTEBOOK = "notebook.ipynb"
LOCK = "lock.json"
FILES = "files/"

_CHUNK = 1 << 20
_BLOCK = 512


class BundleRefused(Invalid):
    """The archive is damaged, was changed, or is not what it says it is."""

    code = "bundle-refused"


@dataclass(frozen=True)
class Limits:
    """What a bundle may be at most; bytes are counted unpacked.

    Attributes:
        unpacked: bytes of the uncompressed tar.
        members: files in it.
        document: bytes of each of manifest, notebook (without outputs) and
            lock. They are parsed, and what is parsed takes up to thirty times
            as much memory as its text.
    """

    unpacked: int = 100 * 1024 * 1024
    members: int = 1003
    document: int = 16 * 1024 * 1024


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
        sha256: its name: of the uncompressed tar.
        size: bytes on disk.
    """

    path: Path
    sha256: str
    size: int
    manifest: Manifest


@dataclass(frozen=True)
class Contents:
    """What is in a bundle, read and found to be consistent.

    Attributes:
        notebook: without outputs.
        files: contents by name, as in the manifest.
        members: every file of the archive as it is there, by name.
    """

    sha256: str
    manifest: Manifest
    notebook: dict[str, Any] = field(repr=False)
    lock: Lock = field(repr=False)
    files: dict[str, bytes] = field(repr=False)
    members: dict[str, bytes] = field(repr=False)


def write(
    snapshot: Snapshot, lock: Lock, destination: Path, *, limits: Limits = DEFAULT_LIMITS
) -> Bundle:
    """Write the bundle of a snapshot in its environment.

    Args:
        destination: a folder that exists, in which it becomes
            ``<sha256>.tar.gz``; else the path of the file.
        limits: what its readers accept.

    Raises:
        BundleRefused: it would be larger than ``limits`` allow.
    """
    lock_bytes = lock.to_json().encode()
    manifest = Manifest(
        notebook_name=snapshot.notebook_name,
        notebook_sha256=hashlib.sha256(snapshot.stripped).hexdigest(),
        kernel=snapshot.kernel.ref,
        lock_sha256=lock.sha256,
        parameters=snapshot.parameters,
        files=tuple(file.entry for file in snapshot.files),
        owner=snapshot.owner,
        git=snapshot.git,
    )
    members = {
        MANIFEST: manifest_bytes(manifest),
        NOTEBOOK: snapshot.stripped,
        LOCK: lock_bytes,
        **{FILES + file.entry.name: file.content for file in snapshot.files},
    }
    if len(snapshot.stripped) > limits.document:
        raise _document_too_large(NOTEBOOK, limits)
    content = tar(members)
    if len(content) > limits.unpacked or len(members) > limits.members:
        raise BundleRefused(
            f"The bundle has {len(members)} files and {len(content) / 2**20:.1f} MiB; at most "
            f"{limits.members} and {limits.unpacked / 2**20:.0f} MiB are accepted.",
            mend="Put data into the object store and read them from there.",
        )
    sha256 = hashlib.sha256(content).hexdigest()
    path = destination / f"{sha256}.tar.gz" if destination.is_dir() else destination
    packed = gzip.compress(content, compresslevel=6, mtime=0)
    with _replacing(path) as file:
        file.write(packed)
    return Bundle(path=path, sha256=sha256, size=len(packed), manifest=manifest)


def read(
    path: Path, *, expected_sha256: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Manifest:
    """The manifest of a bundle, once all of it was found to be in order.

    Raises:
        BundleRefused: it is not; the message says in what.
    """
    return load(path, expected_sha256=expected_sha256, limits=limits).manifest


def load(
    path: Path, *, expected_sha256: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Contents:
    """All of a bundle, in memory; otherwise as `read`."""
    with tempfile.TemporaryFile() as plain:
        sha256 = _decompress(path, plain, limits)
        if expected_sha256 is not None and sha256 != expected_sha256:
            raise BundleRefused(
                f"The bundle is not the one that was named: its sha256 is {sha256}, "
                f"not {expected_sha256}.",
                mend="It was damaged or changed; submit the notebook again.",
            )
        plain.seek(0)
        members = _members(plain, limits)
    return _consistent(sha256, members)


def unpack(
    path: Path,
    folder: Path,
    *,
    expected_sha256: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Manifest:
    """Unpack a bundle into ``folder``: the four parts of the archive, as they are named there.

    Nothing is written before all of it was found to be in order.

    Args:
        folder: made here; must not be there yet, or be empty.

    Raises:
        BundleRefused: the bundle is not in order.
        FileExistsError: ``folder`` holds something.
    """
    contents = load(path, expected_sha256=expected_sha256, limits=limits)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    for name, content in contents.members.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Only the names that were checked, into a folder that was empty: there
        # is nothing to follow or to overwrite.
        descriptor = os.open(
            target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode=0o644
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    (folder / FILES).mkdir(exist_ok=True)
    return contents.manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    return notebooks.serialise(manifest.model_dump(mode="json"))


def tar(members: dict[str, bytes]) -> bytes:
    """A tar that depends on names and contents alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            info.mode, info.mtime, info.uid, info.gid = 0o644, 0, 0, 0
            archive.addfile(info, io.BytesIO(members[name]))
    return buffer.getvalue()


def _decompress(path: Path, plain: IO[bytes], limits: Limits) -> str:
    digest = hashlib.sha256()
    size = 0
    try:
        with gzip.open(path, "rb") as packed:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > limits.unpacked:
                    raise BundleRefused(
                        f"The bundle has more than {limits.unpacked / 2**20:.0f} MiB unpacked.",
                        mend="Put data into the object store and read them from there.",
                    )
                digest.update(chunk)
                plain.write(chunk)
    except FileNotFoundError as error:
        raise BundleRefused("There is no bundle at that place.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BundleRefused(
            "The bundle is not a complete gzip file.",
            mend="It was cut off or damaged; submit the notebook again.",
        ) from error
    return digest.hexdigest()


def _members(plain: IO[bytes], limits: Limits) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            for info in archive:
                _check_member(info, members)
                if len(members) >= limits.members:
                    raise BundleRefused(f"The bundle holds more than {limits.members} files.")
                if info.name in (MANIFEST, NOTEBOOK, LOCK) and info.size > limits.document:
                    raise _document_too_large(info.name, limits)
                total += info.size
                # The tar itself was bounded before; a header may still claim more.
                file = archive.extractfile(info) if total <= limits.unpacked else None
                content = file.read(info.size + 1) if file else b""
                if file is None or len(content) != info.size:
                    raise BundleRefused(f"The bundle's {info.name!a} is not of its size.")
                members[info.name] = content
    except (tarfile.TarError, OSError, ValueError, KeyError, OverflowError, EOFError) as error:
        raise BundleRefused("The bundle is not a tar archive that can be read.") from error
    folders = {str(parent) for name in members for parent in PurePosixPath(name).parents}
    if clash := sorted(folders & set(members)):
        raise BundleRefused(f"The bundle's {clash[0]!a} is both a file and a folder.")
    return members


def _check_member(info: tarfile.TarInfo, seen: dict[str, bytes]) -> None:
    shown = ascii(info.name)
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse is not None:
        raise BundleRefused(f"The bundle's {shown} is not a plain file.")
    if info.name in seen:
        raise BundleRefused(f"The bundle holds {shown} twice.")
    if info.name not in (MANIFEST, NOTEBOOK, LOCK):
        try:
            check_file_name(info.name)
        except FileNameError as error:
            raise BundleRefused(f"The name {shown} in the bundle {error}.") from error
        if not info.name.startswith(FILES):
            raise BundleRefused(f"The bundle holds {shown}, which has no place in it.")


def _document_too_large(name: str, limits: Limits) -> BundleRefused:
    return BundleRefused(
        f"The bundle's {name} has more than {limits.document / 2**20:.0f} MiB.",
        mend="Keep pictures and data beside the notebook or in the object store, not in its cells.",
    )


def _consistent(sha256: str, members: dict[str, bytes]) -> Contents:
    for name in (MANIFEST, NOTEBOOK, LOCK):
        if name not in members:
            raise BundleRefused(f"The bundle has no {name}.")
    try:
        manifest = Manifest.model_validate_json(members[MANIFEST])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleRefused(
            f"The bundle's manifest cannot be read: {where}: {first['msg']}.",
            mend="It may come from a newer Almanac than this one.",
        ) from error
    if hashlib.sha256(members[NOTEBOOK]).hexdigest() != manifest.notebook_sha256:
        raise BundleRefused("The bundle's notebook is not the one its manifest names.")
    if hashlib.sha256(members[LOCK]).hexdigest() != manifest.lock_sha256:
        raise BundleRefused("The bundle's lock is not the one its manifest names.")
    files = {
        name.removeprefix(FILES): content
        for name, content in members.items()
        if name.startswith(FILES)
    }
    declared = {entry.name: (entry.size, entry.sha256) for entry in manifest.files}
    found = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in files.items()}
    if declared != found:
        odd = sorted(n for n in declared.keys() | found if declared.get(n) != found.get(n))
        raise BundleRefused(f"The bundle's files/{odd[0]} is not the one its manifest names.")
    try:
        notebook = notebooks.parse(members[NOTEBOOK])
        lock = Lock.from_json(members[LOCK].decode())
        canonical = (
            notebooks.serialise(notebook) == members[NOTEBOOK]
            and lock.to_json().encode() == members[LOCK]
            # As JSON, not as today's model: that may have grown since.
            and notebooks.serialise(json.loads(members[MANIFEST])) == members[MANIFEST]
        )
    except PublicError as error:
        raise BundleRefused(f"In the bundle: {error.message}") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise BundleRefused("A part of the bundle cannot be read.") from error
    if not canonical:
        # One content, one form: else two bundles could mean the same, and a
        # reader of another kind could see something else than this one.
        raise BundleRefused("The bundle is not in canonical form.")
    return Contents(sha256, manifest, notebook, lock, files, members)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when all of it is written."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".bundle-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
