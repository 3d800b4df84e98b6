"""Starts the store and the servers, lets them work in turns, and gathers the figures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.benchmarks.storage.data import DiskPlace, ObjectPlace, Place
from tests.benchmarks.storage.figures import NOT_SLOWER, Samples
from tests.benchmarks.storage.memory import peak_above_idle
from tests.benchmarks.storage.rounds import BUDGET, Figures, interleaved
from tests.benchmarks.storage.servers import far_away, server
from tests.benchmarks.storage.sizes import LATENCY, MEMORY_BAR, Sizes, memory_work, work
from tests.benchmarks.storage.work import Download, Failed, ManyClients, Side, Upload, Work
from tests.support.stores import RunningStore, running_store

MEMORY_ROUNDS = 2
SLOW_REQUESTS = "slowest 5 % of requests"
Progress = Callable[[str], None]


@dataclass
class Benchmark:
    """What to measure, and how.

    Attributes:
        python: the interpreter that the Jupyter Servers run in.
        folder: for everything; it is left empty.
        sides: of ``ours``, ``s3contents`` and ``disk``.
        only: names of work, or parts of them; none means all.
        results: figures so far, also after an interruption.
    """

    python: Path
    folder: Path
    sizes: Sizes
    rounds: int
    sides: Sequence[str]
    only: Sequence[str]
    progress: Progress
    budget: float = BUDGET
    results: list[Samples] = field(default_factory=list)

    def run(self) -> None:
        wanted = [item for item in work(self.sizes) if self._chosen(item.name)]
        far = [item for item in work(self.sizes) if item.far and self._chosen(f"far-{item.name}")]
        held = [item for item in memory_work(self.sizes) if self._chosen(item.name)]
        with running_store("seaweedfs", self.folder / "store") as store:
            places = {side: self._place(side, store) for side in self.sides}
            try:
                for side, place in places.items():
                    self._fill(side, place, wanted, far, held)
                if wanted:
                    with self._servers(self.sides, store, places) as sides:
                        for item in wanted:
                            self._measure(item, sides)
                distant = [side for side in self.sides if side != "disk"]
                if far and distant:
                    with (
                        far_away(store, LATENCY) as endpoint,
                        self._servers(distant, store, places, endpoint) as sides,
                    ):
                        for item in far:
                            self._measure(item, sides, far=True)
                if held and "ours" in self.sides:
                    with self._servers(["ours"], store, places) as sides:
                        for item in held:
                            self._measure_memory(item, sides["ours"])
            finally:
                for place in places.values():
                    place.clear()

    def _chosen(self, name: str) -> bool:
        return not self.only or any(part in name for part in self.only)

    def _place(self, side: str, store: RunningStore) -> Place:
        if side == "disk":
            return DiskPlace(self.folder / "disk")
        return ObjectPlace(store, f"bench/{side}")

    def _fill(
        self,
        side: str,
        place: Place,
        near: Sequence[Work],
        far: Sequence[Work],
        held: Sequence[Work],
    ) -> None:
        began = time.monotonic()
        wanted = {_folder(item, far=False): item for item in (*near, *held)}
        if side != "disk":
            wanted |= {_folder(item, far=True): item for item in far}
        if side != "ours":
            wanted = {name: item for name, item in wanted.items() if item not in held}
        for folder, item in wanted.items():
            place.write(item.files(place, folder, self.rounds + 1))
        self.progress(f"{side}: files written in {time.monotonic() - began:.0f} s")

    @contextlib.contextmanager
    def _servers(
        self,
        names: Sequence[str],
        store: RunningStore,
        places: dict[str, Place],
        endpoint: str | None = None,
    ) -> Iterator[dict[str, Side]]:
        with contextlib.ExitStack() as stack:
            sides = {}
            for name in names:
                where = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
                running = stack.enter_context(
                    server(
                        name,
                        where,
                        self.python,
                        store=None if name == "disk" else store,
                        prefix=f"bench/{name}",
                        endpoint=endpoint,
                        root=self.folder / "disk",
                    )
                )
                client = stack.enter_context(httpx.Client(**running.options))
                sides[name] = Side(name, running, places[name], client)
            yield sides

    def _measure(self, item: Work, sides: dict[str, Side], *, far: bool = False) -> None:
        folder = _folder(item, far=far)
        title = item.title + (f", +{LATENCY * 1000:g} ms a request" if far else "")

        def run(name: str, turn: int) -> Figures:
            side = sides[name]
            figures = {}
            if item.loop:
                side.send("POST", "/bench/loop/start")
            figures[""] = item.run(side, folder, turn)
            if item.loop:
                figures |= side.send("POST", "/bench/loop/stop").json()
            if isinstance(item, ManyClients):
                figures["slow"] = item.slow(name)
            shown = " ".join(f"{key} {value:.4g}" for key, value in figures.items())
            self.progress(f"{title}: {name} {shown}" + ("" if turn else " (warm-up)"))
            return figures

        began = time.monotonic()
        turns, failed = interleaved(list(sides), self.rounds, run, self.budget)
        # The multiples are promised where the store is near; far away nothing may be slower.
        times = Samples(title, "s", bars={"s3contents": NOT_SLOWER if far else item.bar})
        times.notes += [f"{title}: {side} fails: {why}" for side, why in failed.items()]
        made = [times, *_further(item, title, far=far)]
        for samples, key in zip(made, ("", *_keys(item)), strict=True):
            for side, taken in turns.items():
                for figures in taken:
                    samples.add(side, figures[key])
        self.results += made
        self.progress(f"{title}: done in {time.monotonic() - began:.0f} s")

    def _measure_memory(self, item: Download | Upload, side: Side) -> None:
        samples = Samples(item.title, "MB", bars={"": MEMORY_BAR}, worst=True)
        speed = Samples(f"{item.title}: how fast", "MB/s")
        # What the first request of its kind loads stays, and is no cost of the size.
        small = type(item)(f"{item.name}-first", "", size=4 << 20)
        side.place.write(small.files(side.place, small.name, 1))
        try:
            small.run(side, small.name, 0)
            for turn in range(MEMORY_ROUNDS):
                with peak_above_idle(side.server.pid) as peak:
                    seconds = item.run(side, item.name, turn)
                    samples.add("ours", peak())
                speed.add("ours", item.size / 1e6 / seconds)
                self.progress(f"{item.title}: {peak():.1f} MB above idle, {seconds:.1f} s")
        except Failed as error:
            samples.values.clear()
            samples.notes.append(f"{item.title}: ours failed: {error}")
        samples.notes.append(
            f"{item.title}: not tried with s3contents, which holds all of it several times over"
        )
        self.results += [samples, speed]


def _folder(item: Work, *, far: bool) -> str:
    return f"far-{item.name}" if far and item.changes else item.name


def _keys(item: Work) -> list[str]:
    """Of the figures that the work gives beside its time; as `_further` orders them."""
    return (["p50", "p99", "max"] if item.loop else []) + (
        ["slow"] if isinstance(item, ManyClients) else []
    )


def _further(item: Work, title: str, *, far: bool) -> list[Samples]:
    made = []
    if item.loop:
        bars = {"": item.loop_bar} if item.loop_bar else {}
        made += [
            Samples(f"{title}: event loop, median delay", "ms"),
            Samples(f"{title}: event loop, 99th percentile", "ms", bars=bars),
            Samples(f"{title}: event loop, longest delay", "ms", worst=True),
        ]
    if isinstance(item, ManyClients):
        made.append(Samples(f"{title}: 95 % of requests within", "s"))
    return made
