"""What the other tests take for granted of the stores they are given."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from stores import RunningStore, running_store


def test_each_store_keeps_what_is_written_and_every_version_of_it(
    any_store: RunningStore, place: str
) -> None:
    path = f"{any_store.bucket}/{place}a%20b.txt"
    for body in (b"one", b"two"):
        assert any_store.send("PUT", path, body).status_code == 200
    assert any_store.send("GET", path).content == b"two"
    prefix = quote(place, safe="")
    listed = any_store.send("GET", f"{any_store.bucket}?prefix={prefix}&versions=").text
    assert any_store.versioned
    assert listed.count("<VersionId>") == 2


def test_a_store_started_again_has_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    before = set(psutil.Process().children(recursive=True))
    with running_store("seaweedfs", folder) as store:
        store.send("PUT", f"{store.bucket}/kept", b"x" * 10)
    with running_store("seaweedfs", folder) as again:
        assert again.keys == store.keys
        assert "<Key>kept</Key>" in again.send("GET", again.bucket).text
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_program_that_is_not_built_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import stores

    monkeypatch.setenv("ALMANAC_STORES", str(tmp_path))
    assert stores.binary("minio") is None
    built = tmp_path / "minio-v1" / "minio"
    built.parent.mkdir()
    built.write_text("")
    assert stores.binary("minio") is None  # half made
    built.chmod(0o755)
    assert stores.binary("minio") == built
