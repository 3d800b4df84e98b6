from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_ext.bundles.bundle import (
    BundleRefused,
    Limits,
    load,
    manifest_bytes,
    read,
    tar,
    unpack,
    write,
)
from hub_ext.bundles.environment import Lock, LockedPackage
from hub_ext.bundles.file_names import FileNameError, check_file_name
from hub_ext.bundles.kernels import FoundKernel
from hub_ext.bundles.notebooks import serialise, strip
from hub_ext.bundles.snapshot import Snapshot, SnapshotFile
from hub_ext.bundles.spec import FileEntry, KernelRef

LOCK = Lock(
    python="3.11.7",
    platform="linux-x86_64",
    packages=(LockedPackage(name="a", version="1", hashes=("sha256:" + "0" * 64,)),),
)
KERNEL = FoundKernel(KernelRef(name="here", language="python"), (), None)


@pytest.fixture
def taken(taking: Callable[..., Snapshot], notes: SimpleNamespace) -> Snapshot:
    files = {"data/a.csv": b"1\n", "é/ü.txt": b""}
    return taking(notes.code("year = 1", "parameters"), "print('é')", files=files)


def snapshot(sources: list[str], files: dict[str, bytes]) -> Snapshot:
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "source": source}
        for n, source in enumerate(sources)
    ]
    notebook: dict[str, Any] = {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "here", "display_name": "", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return Snapshot(
        notebook_name="n.ipynb",
        notebook=notebook,
        stripped=serialise(strip(notebook)),
        kernel=KERNEL,
        files=tuple(
            SnapshotFile(
                FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()),
                content,
            )
            for name, content in sorted(files.items())
        ),
    )


def packed(content: bytes, path: Path) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def parts(taken: Snapshot, folder: Path) -> dict[str, bytes]:
    """The members of a bundle in order, to be tampered with."""
    contents = load(write(taken, LOCK, folder / "good").path)
    return {
        "manifest.json": manifest_bytes(contents.manifest),
        "notebook.ipynb": taken.stripped,
        "lock.json": LOCK.to_json().encode(),
        **{f"files/{name}": content for name, content in contents.files.items()},
    }


def refused(path: Path, words: str, **options: Any) -> None:
    with pytest.raises(BundleRefused, match=words) as caught:
        load(path, **options)
    assert caught.value.code == "bundle-refused"
    json.dumps(caught.value.problem()).encode()


def test_a_bundle_holds_what_was_captured(taken: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    made = write(taken, LOCK, tmp_path / "out")
    assert made.path == tmp_path / "out" / f"{made.sha256}.tar.gz"
    assert made.size == made.path.stat().st_size
    assert os.listdir(tmp_path / "out") == [made.path.name]  # noqa: PTH208
    assert made.sha256 == hashlib.sha256(gzip.decompress(made.path.read_bytes())).hexdigest()
    assert read(made.path, expected_sha256=made.sha256) == made.manifest
    manifest = unpack(made.path, tmp_path / "in", expected_sha256=made.sha256)
    assert manifest.owner == "ana"
    assert [p.name for p in manifest.parameters] == ["year"]
    assert hashlib.sha256((tmp_path / "in" / "lock.json").read_bytes()).hexdigest() == LOCK.sha256
    assert manifest.lock_sha256 == LOCK.sha256
    assert (tmp_path / "in" / "notebook.ipynb").read_bytes() == taken.stripped
    assert (tmp_path / "in" / "files" / "é" / "ü.txt").read_bytes() == b""
    assert json.loads((tmp_path / "in" / "manifest.json").read_bytes())["schema_version"] == 1


def test_members_say_nothing_of_when_where_and_by_whom(taken: Snapshot, tmp_path: Path) -> None:
    made = write(taken, LOCK, tmp_path / "b")
    with tarfile.open(made.path) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "", "", 0o644)
    }
    assert made.path.read_bytes()[4:8] == b"\0\0\0\0"


def test_the_bytes_of_a_known_bundle_never_change(tmp_path: Path) -> None:
    """A golden hash: if this fails, every bundle of every job has got a new name."""
    made = write(snapshot(["x = 1\n", "é"], {"a/b.txt": b"x"}), LOCK, tmp_path / "b")
    assert made.sha256 == GOLDEN


GOLDEN = "2072fffb47877e4b000385b33ee03bff2e00fa6c3e1f7be5de20358b6abc487e"

_components = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8)
_file_names = st.lists(_components, min_size=1, max_size=3).map("/".join)


def _usable(names: dict[str, bytes]) -> bool:
    try:
        for name in names:
            check_file_name(name)
    except FileNameError:
        return False
    folders = {
        p for n in names for p in ["/".join(n.split("/")[:i]) for i in range(1, 4)] if p != n
    }
    return not folders & set(names)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4),
    st.dictionaries(_file_names, st.binary(max_size=50), max_size=4).filter(_usable),
)
def test_the_same_snapshot_is_the_same_bundle(
    tmp_path_factory: pytest.TempPathFactory, sources: list[str], files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("b")
    first = write(snapshot(sources, files), LOCK, folder / "1")
    second = write(snapshot(sources, dict(reversed(files.items()))), LOCK, folder / "2")
    assert first.path.read_bytes() == second.path.read_bytes()
    contents = load(first.path, expected_sha256=second.sha256)
    assert contents.files == files
    assert [cell["source"] for cell in contents.notebook["cells"]] == sources
    other = write(snapshot([*sources, "more"], files), LOCK, folder / "3")
    assert other.sha256 != first.sha256


def test_another_hash_is_refused(taken: Snapshot, tmp_path: Path) -> None:
    made = write(taken, LOCK, tmp_path / "b")
    refused(made.path, "not the one that was named", expected_sha256="0" * 64)
    with pytest.raises(BundleRefused):
        unpack(made.path, tmp_path / "in", expected_sha256="0" * 64)
    assert not (tmp_path / "in").exists()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("b")
    made = write(snapshot(["x = 1"], {"a": b"x"}), LOCK, folder / "b")
    plain = bytearray(gzip.decompress(made.path.read_bytes()))
    at = data.draw(st.integers(0, len(plain) - 1))
    plain[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BundleRefused):
        load(packed(bytes(plain), folder / "x"), expected_sha256=made.sha256)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "files/../../evil",
        "/etc/evil",
        "files//a",
        "files/./a",
        "files/",
        "files/a\\..\\b",
        "files/a\nb",
        "evil",
        "files",
        "files/" + "a" * 300,
        "files/" + "/".join(["a"] * 600),
    ],
)
def test_names_that_lead_elsewhere_are_refused(taken: Snapshot, tmp_path: Path, name: str) -> None:
    content = tar({**parts(taken, tmp_path), name: b"x"})
    refused(packed(content, tmp_path / "x"), "bundle")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_only_plain_files_are_taken(taken: Snapshot, tmp_path: Path, kind: bytes) -> None:
    buffer = io.BytesIO(tar(parts(taken, tmp_path)))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        info = tarfile.TarInfo("files/odd")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(packed(buffer.getvalue(), tmp_path / "x"), "bundle")


def test_a_sparse_file_in_a_pax_header_is_no_plain_file(taken: Snapshot, tmp_path: Path) -> None:
    buffer = io.BytesIO(tar(parts(taken, tmp_path)))
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("files/odd")
        info.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,1",
            "GNU.sparse.size": str(10**12),
        }
        archive.addfile(info)
    refused(packed(buffer.getvalue(), tmp_path / "x"), "bundle")


def test_the_same_name_twice_is_refused(taken: Snapshot, tmp_path: Path) -> None:
    buffer = io.BytesIO(tar(parts(taken, tmp_path)))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(tarfile.TarInfo("notebook.ipynb"))
    refused(packed(buffer.getvalue(), tmp_path / "x"), "twice")


def test_a_name_that_is_file_and_folder_is_refused(taken: Snapshot, tmp_path: Path) -> None:
    content = tar({**parts(taken, tmp_path), "files/a": b"", "files/a/b": b""})
    refused(packed(content, tmp_path / "x"), "both a file and a folder")


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(200):
            file.write(b"\0" * (1 << 20))
    assert bomb.stat().st_size < 1 << 20
    refused(bomb, "more than 100 MiB")


def test_too_many_and_too_large_members_are_refused(taken: Snapshot, tmp_path: Path) -> None:
    made = write(taken, LOCK, tmp_path / "b")
    refused(made.path, "more than 4 files", limits=Limits(members=4))
    refused(made.path, "more than 0 MiB", limits=Limits(unpacked=1024))
    with pytest.raises(BundleRefused, match="at most"):
        write(taken, LOCK, tmp_path / "c", limits=Limits(unpacked=1024))
    assert not (tmp_path / "c").exists()


def test_a_document_that_would_fill_the_memory_is_refused_unparsed(
    taken: Snapshot, tmp_path: Path
) -> None:
    members = parts(taken, tmp_path)
    for name in ("manifest.json", "notebook.ipynb", "lock.json"):
        bomb = b'{"x": [' + b"{}," * 1_000_000 + b"{}]}"
        path = packed(tar({**members, name: bomb}), tmp_path / "x")
        refused(path, f"{name} has more than 2 MiB", limits=Limits(document=2 << 20))
    with pytest.raises(BundleRefused, match="not in its cells"):
        write(taken, LOCK, tmp_path / "c", limits=Limits(document=10))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("missing", ["manifest.json", "notebook.ipynb", "lock.json"])
def test_a_missing_part_is_named(taken: Snapshot, tmp_path: Path, missing: str) -> None:
    members = parts(taken, tmp_path)
    del members[missing]
    refused(packed(tar(members), tmp_path / "x"), missing)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", b"{}", "manifest cannot be read"),
        ("manifest.json", b"\xff", "manifest cannot be read"),
        ("notebook.ipynb", b"{}", "notebook is not the one"),
        ("lock.json", b"{}", "lock is not the one"),
        ("files/data/a.csv", b"2\n", "files/data/a.csv is not the one"),
        ("files/more", b"", "files/more is not the one"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    taken: Snapshot, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    members = {**parts(taken, tmp_path), name: content}
    refused(packed(tar(members), tmp_path / "x"), words)


def test_a_newer_manifest_is_refused_as_such(taken: Snapshot, tmp_path: Path) -> None:
    members = parts(taken, tmp_path)
    manifest = json.loads(members["manifest.json"])
    members["manifest.json"] = json.dumps(manifest | {"schema_version": 2}).encode()
    refused(packed(tar(members), tmp_path / "x"), "newer Almanac")


@pytest.mark.parametrize("part", ["notebook.ipynb", "lock.json", "manifest.json"])
def test_another_form_of_the_same_content_is_refused(
    taken: Snapshot, tmp_path: Path, part: str
) -> None:
    members = parts(taken, tmp_path)
    members[part] = json.dumps(json.loads(members[part])).encode()
    manifest = json.loads(members["manifest.json"])
    for name, key in (("notebook.ipynb", "notebook_sha256"), ("lock.json", "lock_sha256")):
        manifest[key] = hashlib.sha256(members[name]).hexdigest()
    if part != "manifest.json":
        members["manifest.json"] = serialise(manifest)
    refused(packed(tar(members), tmp_path / "x"), "canonical|not the one")


def test_what_is_no_archive_is_refused(taken: Snapshot, tmp_path: Path) -> None:
    good = write(taken, LOCK, tmp_path / "b").path.read_bytes()
    for content in (b"", b"plain", good[:100], good + b"trailing", gzip.compress(b"no tar" * 200)):
        (tmp_path / "x").write_bytes(content)
        refused(tmp_path / "x", "bundle")
    refused(tmp_path / "nope", "no bundle")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for form in (content, gzip.compress(content)):
        (folder / "any").write_bytes(form)
        with pytest.raises(BundleRefused):
            load(folder / "any")


def test_nothing_that_is_there_is_overwritten(taken: Snapshot, tmp_path: Path) -> None:
    made = write(taken, LOCK, tmp_path / "b")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "manifest.json").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        unpack(made.path, tmp_path / "in")
    assert not (tmp_path / "target").exists()
