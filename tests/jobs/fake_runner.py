"""A runner that keeps the contract of the attempt folder and executes nothing.

What it does stands in ``parameters.do`` of the attempt: ``succeed``, ``fail``,
``hang`` (until SIGTERM), ``ignore`` (SIGTERM), ``vanish`` (no exit.json),
``wait`` (until the file ``go`` appears in the folder).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    folder = Path(sys.argv[1])
    attempt = json.loads((folder / "attempt.json").read_text())
    do = attempt["parameters"].get("do", "succeed")
    print("doing", do, flush=True)
    (folder / "runner.json").write_text(json.dumps({"pid": os.getpid(), "start_time": time.time()}))
    with (folder / "starts").open("a") as file:
        file.write("started\n")
    results = folder / "results"
    results.mkdir(exist_ok=True)
    seq = 0

    def event(kind: str, **data: object) -> None:
        nonlocal seq
        seq += 1
        line = {"seq": seq, "time": "2026-03-02T06:00:00Z", "type": kind, "data": data}
        with (folder / "events.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def end(code: int, status: str, message: str = "", failure: object = None) -> int:
        (results / "notebook.ipynb").write_text('{"cells": []}')
        (results / "notebook.html").write_text("<p>executed</p>")
        event("attempt.finished", status=status)
        document = {
            "exit_code": code,
            "status": status,
            "message": message,
            "failure": failure,
            "progress": {"cell": 1, "cells": 2},
        }
        (folder / ".exit").write_text(json.dumps(document))
        (folder / ".exit").rename(folder / "exit.json")
        return code

    def stopped(*_: object) -> None:
        if do == "ignore":
            return
        sys.exit(end(143, "cancelled", "It was stopped."))

    signal.signal(signal.SIGTERM, stopped)
    event("attempt.started")
    event("cell.started", cell=0, code_cell=1, of=2)
    event("cell.finished", cell=0)
    if do == "vanish":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "children":
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (folder / "child").write_text(str(child.pid))
    if do in ("hang", "ignore", "children"):
        (folder / "ready").touch()
        while True:
            time.sleep(0.05)
    if do == "wait":
        (folder / "ready").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    if do == "fail":
        failure = {"cell": 1, "ename": "ValueError", "evalue": "no data", "traceback": ["line"]}
        return end(1, "failed", "Cell 2 raised ValueError: no data", failure)
    return end(0, "succeeded")


if __name__ == "__main__":
    sys.exit(main())
