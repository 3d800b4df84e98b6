"""Options that several commands share mean the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hub_ext import toolchain

CONFIG = """\
projects:
  - slug: gdp
    members: [ana]
"""


def almanac(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub_ext.cli", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        cwd=folder,
        text=True,
        capture_output=True,
        input="",
        timeout=60,
    )


def test_without_a_file_the_one_that_up_would_start_with_is_validated(tmp_path: Path) -> None:
    answer = almanac("validate", "--json", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    shipped = toolchain.config_folder() / "almanac.yaml"
    assert json.loads(answer.stdout)["file"] == str(shipped)
    named = tmp_path / "named.yaml"
    named.write_text(CONFIG)
    answer = almanac("validate", "--json", folder=tmp_path, ALMANAC_CONFIG=str(named))
    assert json.loads(answer.stdout)["file"] == str(named)


def test_memberships_come_from_the_settings_that_up_would_start_with(tmp_path: Path) -> None:
    named = tmp_path / "named.yaml"
    named.write_text(CONFIG)
    state = {"ALMANAC_STATE": str(tmp_path / "state")}
    (tmp_path / "state").mkdir()
    added = almanac("users", "add", "ana", "--generate", folder=tmp_path, **state)
    assert added.returncode == 0, added.stderr
    answer = almanac("users", "list", "--json", folder=tmp_path, ALMANAC_CONFIG=str(named), **state)
    assert [row["groups"] for row in json.loads(answer.stdout)] == [["gdp"]]


def test_a_state_folder_may_be_named_from_home_or_from_here(tmp_path: Path) -> None:
    for named in ("~/state", "state"):
        answer = almanac("status", "--json", "--state", named, folder=tmp_path)
        assert json.loads(answer.stdout)["state_folder"] == str(tmp_path / "state")
