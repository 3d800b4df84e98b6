"""Runs the supervisor over a table given as JSON: it must have a process for itself,

since it collects and ends every child of its process. Prints what happens.
"""

import asyncio
import json
import sys
from pathlib import Path

from hub_ext.embedded import supervisor
from hub_ext.embedded.parts import Check, Part, PartStatus, Restarts, Stops
from hub_ext.embedded.records import end_leftovers
from hub_ext.errors import PublicError

table = json.loads(sys.argv[1])
folder = Path(table["folder"])
supervisor.RUNNING_LOOK = 0.1
supervisor.HOUSEKEEPING = 0.1


def say(text: str) -> None:
    print(text, flush=True)


class Report:
    def changed(self, part: PartStatus) -> None:
        say(f"{part.name} {part.state} {part.pid} {part.last_end}")

    def stopping(self, why: str) -> None:
        say(f"stopping {why}")


def part(item: dict) -> Part:
    return Part(
        name=item["name"],
        title=item["name"].title(),
        command=tuple(item["command"]),
        environment={"PATH": "/usr/bin:/bin"},
        check=Check(f"http://127.0.0.1:{item['port']}/"),
        after=tuple(item.get("after", ())),
        stops=Stops[item.get("stops", "AFTER_WORK")],
        restarts=Restarts(base=0.1, stable=item.get("stable", 30)),
        silence_limit=item.get("silence_limit", 60),
        start_limit=item.get("start_limit", 60),
        afterwards=Path(item["removes"]).unlink if "removes" in item else None,
    )


async def main() -> None:
    left = await end_leftovers(folder)
    say(f"leftovers {len(left)}")
    await supervisor.Supervisor(
        [part(item) for item in table["parts"]],
        runtime=folder,
        log_folder=folder / "logs",
        report=Report(),
        on_ready=lambda: say("ready"),
    ).run()


try:
    asyncio.run(main())
except PublicError as error:
    say(f"failed {error.message} {error.extra}")
    sys.exit(2)
say("done")
