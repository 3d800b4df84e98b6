"""Whatever happens on both sides of a mirror, in any order: nothing that was written is lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import uuid
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import RunningStore

from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.store import Store, StoreSettings
from lab_extension.contents.roots.mirror import Mirror
from lab_extension.contents.roots.mirror_files import scan

PATHS = ["a.csv", "s/b.csv", "s/t/c d.csv"]
WRITE, DELETE, SYNC, BACK = "write", "delete", "sync", "back"

Sides = dict[str, str]

op = st.one_of(
    st.tuples(st.sampled_from(["here", "there"]), st.just(WRITE), st.sampled_from(PATHS)),
    st.tuples(st.sampled_from(["here", "there"]), st.just(DELETE), st.sampled_from(PATHS)),
    st.tuples(st.just("both"), st.sampled_from([SYNC, BACK]), st.just("")),
)


class World:
    """A mirror, its store, and what both sides were seen to agree on."""

    def __init__(self, running: RunningStore, folder: Path):
        prefix = f"projects/world-{uuid.uuid4().hex[:8]}"
        keys = StaticKeys(running.access_key, running.secret_key)
        self.store = Store(
            StoreSettings(running.endpoint, running.bucket, prefix, credentials=keys)
        )
        self.folder = folder
        self.mirror = self.started_again()
        self.agreed: Sides = {}
        self.numbers = itertools.count()

    def started_again(self) -> Mirror:
        return Mirror(
            "home",
            self.store,
            self.folder / "files",
            self.folder / "state",
            log=logging.getLogger(),
        )

    async def there(self) -> Sides:
        return {
            entry.key[2:]: bytes((await self.store.read(entry.key))[1]).decode()
            async for batch in self.store.walk("x")
            for entry in batch
        }

    def here(self) -> Sides:
        found, _ = scan(self.mirror.path("x"), most=100)
        return {path: (self.mirror.path("x") / path).read_text() for path in found}

    async def do(self, side: str, what: str, path: str) -> None:
        if side == "here":
            at = self.mirror.path(f"x/{path}")
            if what == DELETE:
                at.unlink(missing_ok=True)
            else:
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_text(f"here {next(self.numbers)}")
        elif side == "there":
            if what == DELETE:
                await self.store.delete([f"x/{path}"])
            else:
                await self.store.write(f"x/{path}", f"there {next(self.numbers)}".encode())
        else:
            await self.bring_together(what)

    async def bring_together(self, what: str) -> None:
        here, there = self.here(), await self.there()
        if what == SYNC:
            await self.mirror.sync("x", settled=True)
        else:
            await self.mirror.write_back("x", settled=True)
        after, after_there = self.here(), await self.there()
        for path in PATHS:
            mine, theirs, base = here.get(path), there.get(path), self.agreed.get(path)
            at = (path, what, mine, theirs, base)
            changed_here = mine is not None and mine != base
            changed_there = theirs != base
            if changed_here or what == BACK:
                assert after.get(path) == mine, at  # never overwritten, never removed
            else:
                assert after.get(path) == theirs, at
            if not changed_here or (changed_there and theirs is not None):
                assert after_there.get(path) == theirs, at
            elif theirs is not None or what == SYNC or base is None:
                # A conflict that was told waits for a look at the store before it ends.
                waits = what == BACK and path in self.mirror.told("x")
                assert after_there.get(path) == mine or waits, at
            if changed_here and changed_there and theirs is not None:
                assert path in self.mirror.told("x"), at
        self.agreed = {
            path: after[path] if after.get(path) == after_there.get(path) else self.agreed[path]
            for path in PATHS
            if (path in after and after.get(path) == after_there.get(path))
            or (path in self.agreed and (path in after or path in after_there))
        }


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ops=st.lists(op, min_size=3, max_size=14), restart=st.integers(0, 14))
def test_nothing_is_lost(
    seaweedfs: RunningStore, tmp_path: Path, ops: list[tuple[str, str, str]], restart: int
) -> None:
    async def play() -> None:
        folder = tmp_path / uuid.uuid4().hex
        world = World(seaweedfs, folder)
        try:
            for number, step in enumerate([*ops, ("both", SYNC, ""), ("both", SYNC, "")]):
                if number == restart:
                    world.mirror = world.started_again()
                await world.do(*step)
            there, here, told = await world.there(), world.here(), world.mirror.told("x")
            assert {path for path in PATHS if there.get(path) != here.get(path)} == set(told)
        finally:
            await world.store.close()
            shutil.rmtree(folder, ignore_errors=True)

    asyncio.run(play())
