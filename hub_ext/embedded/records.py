"""What is kept on disk of a running tree: its processes, and the state of its parts.

The first is for the next `almanac up`, in case this one is killed and cannot
end its processes itself; the second for `almanac status`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hub_ext.embedded.endings import Ending, wind_down
from hub_ext.embedded.parts import PartState, PartStatus, Stops
from hub_ext.processes import ProcessId

PROCESSES = "processes.json"
STATUS = "status.json"


def write_json(path: Path, document: Any) -> None:
    """Write a document so that a reader sees the old one or the new one; mode 0600."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """The document, or None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Processes:
    """The processes of a tree: each part's, and what those have started."""

    parts: dict[Stops, list[ProcessId]] = field(default_factory=dict)
    others: list[ProcessId] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        write_json(
            folder / PROCESSES,
            {
                "parts": {
                    stops.name: [process.to_json() for process in processes]
                    for stops, processes in self.parts.items()
                },
                "others": [process.to_json() for process in self.others],
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Processes:
        document = read_json(folder / PROCESSES)
        if not isinstance(document, dict):
            return cls()
        parts = document.get("parts")
        return cls(
            {
                stops: _processes(parts.get(stops.name) if isinstance(parts, dict) else None)
                for stops in Stops
            },
            _processes(document.get("others")),
        )

    def all(self) -> list[ProcessId]:
        return [process for group in self.parts.values() for process in group] + self.others

    def living(self) -> list[ProcessId]:
        """Those that live, and all that descends from them."""
        found: dict[ProcessId, None] = {}
        for process in self.all():
            if process.alive():
                found[process] = None
                found.update(dict.fromkeys(process.descendants()))
        return [process for process in found if process.alive()]


def _processes(value: Any) -> list[ProcessId]:
    found = (ProcessId.from_json(item) for item in (value if isinstance(value, list) else ()))
    return [process for process in found if process is not None]


async def end_leftovers(folder: Path) -> list[ProcessId]:
    """End what an `almanac up` that was killed has left running.

    Returns:
        the processes that were found, which is none in the common case.
    """
    recorded = Processes.load(folder)
    found = recorded.living()
    if found:
        # What descends from them is looked up once more each time: as parents
        # end, their children are somebody else's, so those seen once are kept.
        seen = dict.fromkeys(found)

        def members() -> list[ProcessId]:
            seen.update(dict.fromkeys(recorded.living()))
            return [process for process in seen if process.alive()]

        await wind_down(
            {
                stops: [Ending(process) for process in processes]
                for stops, processes in recorded.parts.items()
            },
            members,
        )
    (folder / PROCESSES).unlink(missing_ok=True)
    return found


@dataclass(frozen=True)
class TreeStatus:
    """What a running `almanac up` says of itself, as of its last change."""

    pid: int
    started_at: datetime
    ready: bool
    public_url: str
    parts: Sequence[PartStatus]

    def save(self, folder: Path) -> None:
        write_json(
            folder / STATUS,
            {
                "pid": self.pid,
                "started_at": self.started_at.isoformat(),
                "ready": self.ready,
                "public_url": self.public_url,
                "parts": [part_document(part) for part in self.parts],
            },
        )

    @classmethod
    def load(cls, folder: Path) -> TreeStatus | None:
        """None where nothing was written, or by another version."""
        document = read_json(folder / STATUS)
        try:
            return cls(
                pid=document["pid"],
                started_at=datetime.fromisoformat(document["started_at"]),
                ready=document["ready"],
                public_url=document["public_url"],
                parts=[_part(item) for item in document["parts"]],
            )
        except (KeyError, TypeError, ValueError):
            return None


def part_document(part: PartStatus) -> dict[str, Any]:
    """A part's status as JSON values."""
    return {
        "name": part.name,
        "title": part.title,
        "state": str(part.state),
        "since": part.since.isoformat(),
        "pid": part.pid,
        "address": part.address,
        "restarts": part.restarts,
        "last_end": part.last_end,
        "retry_at": part.retry_at.isoformat() if part.retry_at else None,
        "log": str(part.log),
    }


def _part(item: dict[str, Any]) -> PartStatus:
    return PartStatus(
        name=item["name"],
        title=item["title"],
        state=PartState(item["state"]),
        since=datetime.fromisoformat(item["since"]),
        pid=item["pid"],
        address=item["address"],
        restarts=item["restarts"],
        last_end=item["last_end"],
        retry_at=datetime.fromisoformat(item["retry_at"]) if item["retry_at"] else None,
        log=Path(item["log"]),
    )
