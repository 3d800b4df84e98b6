"""What is loaded when: slim environments have no web framework, and `--help` answers at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "fastapi",
    "httpx",
    "jupyter_client",
    "jupyterhub",
    "nbformat",
    "obstore",
    "pydantic",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``code``."""
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json, sys\n{code}\nprint(json.dumps([*sys.modules]), file=sys.stderr)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(answer.stderr.splitlines()[-1])}


HELP = """
from hub_ext.cli import app
try:
    app(["--help"])
except SystemExit as ended:
    assert not ended.code
"""


@pytest.mark.parametrize(
    "code",
    ["import hub_ext", "import hub_ext.quick", HELP],
    ids=["the package", "quick", "almanac --help"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_the_runner_s_library_loads_nothing_of_the_platform() -> None:
    loaded = loaded_by("import hub_ext.bundles.bundle, hub_ext.bundles.checks")
    assert loaded & {"fastapi", "httpx", "jupyterhub", "obstore", "sqlalchemy"} == set()
