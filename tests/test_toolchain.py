"""Where the tools are, and what is said when one is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub_ext import toolchain
from hub_ext.errors import PublicError

PROBE = """
import sys
from hub_ext import quick

sys.argv = ["quick", "json.tool", "--help"]
try:
    quick.main()
except SystemExit:
    pass
import jsonschema
print("rfc3987_syntax.syntax_helpers" in sys.modules)
"""


def test_every_tool_is_there() -> None:
    for tool in (toolchain.node(), toolchain.weed(), toolchain.uv(), toolchain.runner_python()):
        assert os.access(tool, os.X_OK), tool
    assert toolchain.proxy_script().is_file()
    assert (toolchain.python_environment() / "share/jupyter/kernels/python3/kernel.json").is_file()
    assert (toolchain.config_folder() / "almanac.yaml").is_file()


def test_node_is_node_itself() -> None:
    """The script of that name in ``bin`` is a Python program that outlives signals."""
    with toolchain.node().open("rb") as file:
        assert file.read(4) == b"\x7fELF"


@pytest.mark.parametrize(
    "tool", [toolchain.proxy_script, toolchain.weed, toolchain.uv, toolchain.python_environment]
)
def test_a_tool_that_is_missing_is_named_with_what_to_do(
    tool: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(PublicError) as caught:
        tool()  # type: ignore[operator]
    assert str(tmp_path) in caught.value.message
    assert "make setup" in caught.value.mend


def test_a_module_is_run_as_itself_without_the_slow_grammar() -> None:
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "hub_ext.quick", "jupyterhub.singleuser", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("6.")
    ran = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.endswith("False\n")
