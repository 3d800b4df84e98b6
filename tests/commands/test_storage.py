"""`almanac storage usage`, and what `almanac validate` says of the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from job_service import JobService
from stores import RunningStore

from hub_ext.capabilities import CAPABILITIES
from hub_ext.jobs.usecases.ports import NoSizes, Options
from hub_ext.state import Endpoints, StateFolder

Almanac = Any


@dataclass(frozen=True)
class Measured:
    size: int
    objects: int
    as_of: datetime


def test_sizes_and_limits_are_shown(
    ana: Almanac, service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=3)
    sizes = {
        "home/ana/": Measured(2_500_000, 12, then),
        "home/eve/": Measured(999, 1, then),
    }
    monkeypatch.setattr(NoSizes, "usage", lambda self: sizes)
    monkeypatch.setattr(
        service.jobs, "_options", Options(titles={"macro": "Macro"}, quota_bytes=2_000_000)
    )
    shown = ana("storage", "usage")
    assert shown.status == 0, shown.err
    assert "home/ana" in shown.out
    assert "2.5 MB" in shown.out
    assert "2.0 MB (full)" in shown.out
    assert "not yet" in shown.out  # projects/macro
    assert "eve" not in shown.out
    rows = ana("storage", "usage", "--json").json
    assert [(row["prefix"], row["size"], row["objects"]) for row in rows] == [
        ("home/ana/", 2_500_000, 12),
        ("projects/macro/", 0, 0),
    ]


def test_its_help_teaches_with_an_example(almanac: Almanac) -> None:
    shown = almanac("storage", "usage", "--help")
    assert shown.status == 0
    assert "--json" in shown.out
    assert "almanac storage usage" in shown.out


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "almanac.yaml"
    path.write_text("projects: []\n")
    return path


def test_validate_says_what_the_store_can_do(
    almanac: Almanac, seaweedfs: RunningStore, settings_file: Path
) -> None:
    state = StateFolder(seaweedfs.folder)
    running = Endpoints(
        public_url="http://127.0.0.1:1",
        hub_api_url="http://127.0.0.1:1/hub/api",
        proxy_api_url="http://127.0.0.1:1",
        jobs_url="http://127.0.0.1:1",
        store_url=seaweedfs.endpoint,
        pid=os.getpid(),
    )
    running.save(state)
    try:
        said = almanac("validate", str(settings_file), "--state", str(state.root))
        document = almanac(
            "validate", str(settings_file), "--state", str(state.root), "--json"
        ).json
    finally:
        running.remove(state)
    assert said.status == 0, said.err
    for each in CAPABILITIES:
        assert f"yes  {each.title}: {each.gives}" in said.out
    assert {item["name"]: item["there"] for item in document["storage"]["capabilities"]} == {
        each.name: True for each in CAPABILITIES
    }


def test_validate_says_that_there_is_no_store_to_try(
    almanac: Almanac, settings_file: Path, tmp_path: Path
) -> None:
    said = almanac("validate", str(settings_file))
    assert said.status == 0
    assert "was not tried" in said.out
    assert almanac("validate", str(settings_file), "--json").json["storage"] is None
    state = StateFolder(tmp_path / "state").create()
    Endpoints(
        public_url="http://127.0.0.1:1",
        hub_api_url="http://127.0.0.1:1/hub/api",
        proxy_api_url="http://127.0.0.1:1",
        jobs_url="http://127.0.0.1:1",
        store_url="http://127.0.0.1:9",
        pid=os.getpid(),
    ).save(state)
    said = almanac("validate", str(settings_file), "--state", str(state.root))
    assert said.status == 0
    assert "could not be tried: The object store at http://127.0.0.1:9" in said.out
