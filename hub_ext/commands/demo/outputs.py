"""Did the scheduled run really leave its outputs in the object store?"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hub_ext.commands.demo.report import DemoFailed

if TYPE_CHECKING:
    from hub_ext.storage.objects import ObjectInfo, ObjectStore

TABLES = frozenset({".parquet", ".csv"})
CHARTS = frozenset({".png", ".svg"})

# Clocks of store and service are one machine's, but a store may round to
# whole seconds.
SLACK = timedelta(seconds=2)

# Read with the notebook environment's own libraries: what a colleague would
# open the files with. argv: the file.
_READ = """
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
if path.suffix in (".parquet", ".csv"):
    import pandas
    table = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    print(json.dumps({"rows": len(table), "columns": [str(name) for name in table.columns]}))
elif path.suffix == ".png":
    import matplotlib.image
    height, width, *_ = matplotlib.image.imread(path).shape
    print(json.dumps({"width": width, "height": height}))
else:
    import xml.etree.ElementTree as tree
    root = tree.parse(path).getroot()
    print(json.dumps({"root": root.tag.rpartition("}")[2], "parts": len(list(root.iter()))}))
"""


@dataclass(frozen=True)
class Output:
    """A file that was found, and what reading it showed."""

    key: str
    size: int
    kind: str
    facts: dict[str, object]

    @property
    def sentence(self) -> str:
        name = PurePosixPath(self.key).name
        if "rows" in self.facts:
            columns = self.facts["columns"]
            assert isinstance(columns, list)
            return f"{name} with {self.facts['rows']} rows and {len(columns)} columns"
        if "width" in self.facts:
            return f"{name} of {self.facts['width']} × {self.facts['height']} pixels"
        return f"{name} of {self.size} bytes"


def written_since(objects: Sequence[ObjectInfo], since: datetime) -> list[ObjectInfo]:
    """The objects that a run which started at ``since`` can have written."""
    return [item for item in objects if item.modified >= since - SLACK]


def kind_of(key: str) -> str | None:
    """``table`` or ``chart`` by the name's ending; None for anything else."""
    suffix = PurePosixPath(key).suffix.lower()
    return "table" if suffix in TABLES else "chart" if suffix in CHARTS else None


def inspect(store: ObjectStore, prefix: str, since: datetime, python: Path) -> list[Output]:
    """Each table and chart below ``prefix`` that was written since, once it was read.

    Args:
        python: interpreter of the notebook environment.

    Raises:
        DemoFailed: there is no table or no chart, or one is empty or cannot be read.
    """
    objects = list(store.list(prefix))
    fresh = written_since(objects, since)
    outputs = [
        Output(item.key, item.size, kind, _read(store, item, python))
        for item in fresh
        if (kind := kind_of(item.key))
    ]
    there = ", ".join(item.key for item in objects) or "nothing"
    for kind in ("table", "chart"):
        if not any(output.kind == kind for output in outputs):
            raise DemoFailed(
                f"The scheduled run left no {kind} below {prefix}; there is {there}.",
                mend="The run's log says what the notebook did.",
            )
    empty = [output for output in outputs if output.size == 0 or output.facts.get("rows") == 0]
    if empty:
        raise DemoFailed(f"{empty[0].key} is empty.")
    return outputs


def _read(store: ObjectStore, item: ObjectInfo, python: Path) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="almanac-demo-") as folder:
        path = Path(folder) / ("output" + PurePosixPath(item.key).suffix.lower())
        store.get_file(item.key, path)
        done = subprocess.run(
            [str(python), "-I", "-c", _READ, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if done.returncode != 0:
        raise DemoFailed(f"{item.key} cannot be read.", lines=done.stderr.splitlines())
    facts: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return facts
