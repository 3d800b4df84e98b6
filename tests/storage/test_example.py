"""The example notebook: from top to bottom, as people run it and as a job does."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_ext import toolchain
from hub_ext.bundles.parameters import infer
from hub_ext.storage.environment import kernel_environment
from hub_ext.storage.objects import ObjectStore

NOTEBOOK = toolchain.config_folder() / "examples" / "seasonal-adjustment.ipynb"
RESULT = "turnover-seasonally-adjusted"

# argv: the notebook, where to write it executed, parameters as JSON.
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
given = json.loads(sys.argv[3])
for index, cell in enumerate(notebook.cells):
    if "parameters" in cell.metadata.get("tags", []):
        lines = "\\n".join(f"{name} = {value!r}" for name, value in given.items())
        notebook.cells.insert(index + 1, nbformat.v4.new_code_cell(lines))
        break
try:
    NotebookClient(notebook, timeout=100).execute()
finally:
    nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture
def execute(
    store, place: str, serve_credentials: Callable[..., Any], tmp_path: Path
) -> Callable[..., tuple[int, dict[str, Any]]]:
    broker = store.broker()
    served = serve_credentials(lambda: broker(read=[], write=[place], name="user:ana"))
    project = f"s3://{store.bucket}/{place.rstrip('/')}"
    environment = {
        **kernel_environment(store.endpoint, store.region, served.url, str(served.token_file)),
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "JUPYTER_PATH": str(toolchain.python_environment() / "share" / "jupyter"),
        "ALMANAC_PROJECT_URI": project,
    }

    def run(outputs: str = "outputs", **parameters: Any) -> tuple[int, dict[str, Any]]:
        executed = tmp_path / "executed.ipynb"
        done = subprocess.run(
            [
                toolchain.runner_python(),
                "-c",
                EXECUTE,
                NOTEBOOK,
                executed,
                json.dumps(parameters),
            ],
            env={**environment, "ALMANAC_OUTPUT_URI": f"{project}/{outputs}"},
            cwd=tmp_path,
            timeout=150,
            check=False,
        )
        return done.returncode, json.loads(executed.read_text())

    return run


def test_it_leaves_a_table_and_a_chart_and_the_same_ones_again(
    execute: Callable[..., tuple[int, dict[str, Any]]], objects: ObjectStore, place: str
) -> None:
    began = time.monotonic()
    code, executed = execute("outputs")
    assert code == 0
    assert time.monotonic() - began < 60
    kinds = {
        kind
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert {"text/html", "image/png"} <= kinds, "table and chart are shown in the notebook"
    printed = [
        output
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    assert printed == [], "no warning disturbs the reader"
    rows = list(csv.DictReader(io.StringIO(objects.get(f"{place}outputs/{RESULT}.csv").decode())))
    assert [row["status"] for row in rows] == ["observed"] * 197 + ["nowcast"] * 6
    assert rows[0]["month"] == "2000-01"
    adjusted = [float(row["seasonally_adjusted"]) for row in rows]
    assert all(80 < value < 130 for value in adjusted)
    assert objects.get(f"{place}outputs/{RESULT}.png").startswith(b"\x89PNG")

    # As a test run does: other outputs, the data of the first run.
    code, executed = execute("test/run-1")
    assert code == 0
    assert objects.exists(f"{place}data/electrical-equipment.parquet")
    for suffix in ("csv", "png", "parquet"):
        assert objects.get(f"{place}test/run-1/{RESULT}.{suffix}") == objects.get(
            f"{place}outputs/{RESULT}.{suffix}"
        ), suffix


def test_parameters_change_the_sample_and_a_sample_too_short_is_refused(
    execute: Callable[..., tuple[int, dict[str, Any]]], objects: ObjectStore, place: str
) -> None:
    code, _ = execute(start_year=2005, horizon=3)
    assert code == 0
    rows = objects.get(f"{place}outputs/{RESULT}.csv").decode().splitlines()
    assert rows[1].startswith("2005-01")
    assert rows[-1].startswith("2016-08")
    code, executed = execute(start_year=2014)
    assert code != 0
    (error,) = [
        output
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    assert "five whole years" in error["evalue"]


def test_its_parameters_are_understood() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    parameters = {one.name: one for one in infer(notebook)}
    assert {name: one.default for name, one in parameters.items()} == {
        "start_year": 2000,
        "horizon": 6,
        "robust": True,
    }
    assert all(one.help for one in parameters.values())


def test_it_is_kept_without_outputs_and_for_the_default_kernel() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"] == {
        "name": "python3",
        "display_name": "Python 3 (Almanac)",
        "language": "python",
    }
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
