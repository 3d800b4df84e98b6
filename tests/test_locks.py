"""Lock files hold versions and hashes, and no address: which index serves them is a setting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize(
    "path",
    [
        *REQUIREMENTS,
        ROOT / "lab_extension" / "frontend" / "yarn.lock",
        ROOT / "hub_ext" / "embedded" / "proxy" / "package-lock.json",
    ],
    ids=lambda path: path.name,
)
def test_no_lock_file_names_a_host_to_fetch_from(path: Path) -> None:
    lines = path.read_text().splitlines()
    fetched = [
        line
        for line in lines
        if re.search(r"(resolved|resolution|index-url|find-links|archiveUrl).*https?:", line)
    ]
    assert not fetched


def test_the_proxys_lock_file_has_a_hash_for_every_package() -> None:
    lock = json.loads((ROOT / "hub_ext/embedded/proxy/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert all("integrity" in entry for entry in packages.values())
