"""``make bench-storage``: object storage in Jupyter Server, ours beside s3contents and the disk.

The same work through the same HTTP API of real servers over one real store,
in turns. Prints a table and writes one JSON object a measure and peer to
``build/bench/storage.jsonl``. The exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.storage.bench import Benchmark
from tests.benchmarks.storage.figures import rows, table
from tests.benchmarks.storage.servers import ROOT
from tests.benchmarks.storage.sizes import QUICK, Sizes, memory_work, work

SIDES = ("ours", "s3contents", "disk")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-storage", description=__doc__)
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="interpreter of the servers"
    )
    parser.add_argument("--rounds", type=int, default=5, help="counted turns of each side (5)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="measures whose name holds NAME"
    )
    parser.add_argument(
        "--sides", default=",".join(SIDES), help="which contents managers, with commas"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; no bar is judged"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the measures")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "bench" / "storage.jsonl", metavar="FILE"
    )
    return parser.parse_args()


def main() -> int:
    options = _arguments()
    if options.list:
        for item in (*work(Sizes()), *memory_work(Sizes())):
            print(f"{item.name:20} {item.title}")
        print(f"{'far-NAME':20} the same with latency added to each request to the store")
        return 0
    sides = [side for side in options.sides.split(",") if side]
    if unknown := set(sides) - set(SIDES):
        sys.exit(f"bench-storage: no such side: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="almanac-bench-") as folder:
        benchmark = Benchmark(
            options.python,
            Path(folder),
            QUICK if options.quick else Sizes(),
            options.rounds,
            sides,
            options.only,
            progress,
        )
        try:
            benchmark.run()
        finally:
            everything = benchmark.results
            peers = [side for side in sides if side != "ours"]
            found = [row for samples in everything for row in rows(samples, peers or [""])]
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(
                "".join(json.dumps(row.document(), ensure_ascii=False) + "\n" for row in found)
            )
    print(table(everything, peers))
    print(
        f"\n{options.rounds} rounds after a warm-up; medians, ± half the range. "
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SeaweedFS on the same machine; "
        f"{time.strftime('%Y-%m-%d')}. Figures: {options.output}"
    )
    if options.quick or "ours" not in sides:
        return 0
    missed = [row for row in found if not row.holds]
    for row in missed:
        print(f"MISSED: {row.measure}: {row.bar or 'no figure'} ({row.peer_name or 'ours'})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
