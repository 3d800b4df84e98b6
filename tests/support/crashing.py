"""A process that does one thing with an `S3ContentsManager`, and ends within it.

    {"store": {…}, "die_at": "move: copied", "calls": [["rename", "a", "b"]]}

is what it is told on its standard input.

It ends without any clean-up, with status 9, when the named step is reached for
the time that ``nth`` says (the first, if it is not given).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from contents import manager_of

from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.store import Store, StoreSettings


async def main(told: dict[str, Any]) -> None:
    where = told["store"]
    store = Store(
        StoreSettings(
            where["endpoint"],
            where["bucket"],
            where["prefix"],
            credentials=StaticKeys(where["access_key"], where["secret_key"]),
        )
    )
    manager = manager_of(store)
    left = told.get("nth", 1)

    def step(name: str) -> None:
        nonlocal left
        if name == told["die_at"]:
            left -= 1
            if not left:
                os._exit(9)

    manager.step = step  # type: ignore[method-assign]
    for method, *arguments in told["calls"]:
        await getattr(manager, method)(*arguments)


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
