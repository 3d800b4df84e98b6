"""A mirror folder and a real object store: what comes, what goes, and what is never lost."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stores import RunningStore

from hub_ext.errors import PublicError
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.faults import StoreDown
from lab_extension.contents.objects.store import Store, StoreSettings
from lab_extension.contents.roots import mirror_files
from lab_extension.contents.roots.keeper import Keeper
from lab_extension.contents.roots.mirror import Mirror
from lab_extension.contents.roots.mirror_plan import NOTE, Limits

LOG = logging.getLogger("mirror")


@pytest.fixture
def store(seaweedfs: RunningStore, place: str) -> Store:
    return Store(
        StoreSettings(
            endpoint_url=seaweedfs.endpoint,
            bucket=seaweedfs.bucket,
            prefix=place,
            region=seaweedfs.region,
            credentials=StaticKeys(seaweedfs.access_key, seaweedfs.secret_key),
        )
    )


Make = Callable[..., Mirror]


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Make:
    """A mirror of ``home``; made again, it is that of a server that was started again."""

    def made(**options: object) -> Mirror:
        return Mirror(
            "home", store, tmp_path / "files", tmp_path / "state.json", log=LOG, **options
        )

    return made


@pytest.fixture
def mirror(make: Make) -> Mirror:
    return make()


async def text(store: Store, key: str) -> str:
    _, data, _ = await store.read(key)
    return bytes(data).decode()


async def test_a_folder_arrives_with_its_subfolders_and_nothing_from_beside_it(
    store: Store, mirror: Mirror
) -> None:
    for key in ("a/x.csv", "a/sub/deep/y.csv", "a/helper.py", "b/z.csv", "a b/no.csv"):
        await store.write(key, key.encode())
    await store.make_folder("a/empty")
    await mirror.sync("a")
    top = mirror.path("a")
    assert sorted(path.relative_to(top).as_posix() for path in top.rglob("*")) == [
        NOTE,
        "empty",
        "helper.py",
        "sub",
        "sub/deep",
        "sub/deep/y.csv",
        "x.csv",
    ]
    assert (top / "sub/deep/y.csv").read_text() == "a/sub/deep/y.csv"
    assert mirror.told("a") == {}
    assert not mirror.path("b").exists()


async def test_only_what_changed_is_fetched_again_and_what_vanished_goes(
    store: Store, mirror: Mirror
) -> None:
    for name in ("same.csv", "changed.csv", "gone.csv"):
        await store.write(f"a/{name}", b"one")
    await mirror.sync("a")
    top = mirror.path("a")
    before = (top / "same.csv").stat()
    await store.write("a/changed.csv", b"two")
    await store.delete(["a/gone.csv"])
    await mirror.sync("a")
    after = (top / "same.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (top / "changed.csv").read_text() == "two"
    assert not (top / "gone.csv").exists()


async def test_what_a_notebook_writes_goes_to_the_store(store: Store, mirror: Mirror) -> None:
    await store.write("a/x.csv", b"one")
    await mirror.sync("a")
    top = mirror.path("a")
    (top / "out").mkdir()
    (top / "out" / "table.csv").write_text("new")
    (top / "x.csv").write_text("edited")
    for name in (".hidden", "x.tmp", "__pycache__/h.pyc"):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text("no")
    await mirror.write_back("a", settled=True)
    assert await text(store, "a/out/table.csv") == "new"
    assert await text(store, "a/x.csv") == "edited"
    listed = [entry.key async for batch in store.walk("a") for entry in batch]
    assert sorted(listed) == ["a/out/table.csv", "a/x.csv"]
    await mirror.sync("a")
    assert (top / ".hidden").read_text() == "no"
    assert (top / "x.csv").read_text() == "edited"


async def test_what_is_being_written_waits(store: Store, mirror: Mirror) -> None:
    await mirror.sync("a")
    file = mirror.path("a/x.csv")
    file.write_text("half")
    await mirror.write_back("a")
    assert not await store.folder_exists("a")
    long_ago = time.time_ns() - 10**10
    os.utime(file, ns=(long_ago, long_ago))
    await mirror.write_back("a")
    assert await text(store, "a/x.csv") == "half"


async def test_a_conflict_keeps_both_and_is_told_until_it_is_solved(
    store: Store, mirror: Mirror
) -> None:
    await store.write("a/x.csv", b"one")
    await mirror.sync("a")
    file = mirror.path("a/x.csv")
    file.write_text("mine")
    await store.write("a/x.csv", b"theirs")
    for again in range(2):
        await mirror.write_back("a", settled=True)
        assert await text(store, "a/x.csv") == "theirs", again
        assert file.read_text() == "mine"
        assert "changed here and in object storage" in mirror.told("a")["x.csv"]
        await mirror.sync("a", settled=True)
        assert file.read_text() == "mine"
    assert "x.csv: changed here" in mirror.path(f"a/{NOTE}").read_text()
    file.rename(file.with_name("mine.csv"))
    await mirror.sync("a", settled=True)
    assert file.read_text() == "theirs"
    assert await text(store, "a/mine.csv") == "mine"
    assert mirror.told("a") == {}


async def test_a_conflict_ends_when_the_other_one_is_deleted(store: Store, mirror: Mirror) -> None:
    await mirror.sync("a")
    file = mirror.path("a/x.csv")
    file.write_text("mine")
    await store.write("a/x.csv", b"theirs")
    await mirror.sync("a", settled=True)
    assert "x.csv" in mirror.told("a")
    await store.delete(["a/x.csv"])
    await mirror.sync("a", settled=True)
    assert await text(store, "a/x.csv") == "mine"
    assert mirror.told("a") == {}


async def test_the_same_content_on_both_sides_is_no_conflict(
    store: Store, make: Make, tmp_path: Path
) -> None:
    await store.write("a/x.csv", b"same")
    await make().sync("a")
    (tmp_path / "state.json").unlink()
    mirror = make()
    await mirror.sync("a", settled=True)
    assert mirror.told("a") == {}
    await store.write("a/x.csv", b"newer")
    await mirror.sync("a")
    assert mirror.path("a/x.csv").read_text() == "newer"


async def test_a_file_that_is_only_touched_is_not_sent(store: Store, mirror: Mirror) -> None:
    await store.write("a/x.csv", b"same")
    before = await store.head("a/x.csv")
    await mirror.sync("a")
    os.utime(mirror.path("a/x.csv"), ns=(1, 1))
    await mirror.write_back("a", settled=True)
    assert (await store.head("a/x.csv")).version == before.version
    assert (await store.head("a/x.csv")).modified == before.modified
    mirror.path("a/x.csv").write_text("SAME")
    await mirror.write_back("a", settled=True)
    assert await text(store, "a/x.csv") == "SAME"


async def test_a_deletion_here_deletes_nothing_there(store: Store, mirror: Mirror) -> None:
    await store.write("a/x.csv", b"one")
    await mirror.sync("a")
    mirror.path("a/x.csv").unlink()
    await mirror.write_back("a", settled=True)
    assert await text(store, "a/x.csv") == "one"
    await mirror.sync("a")
    assert mirror.path("a/x.csv").read_text() == "one"


async def test_what_is_edited_here_outlives_its_deletion_there(
    store: Store, mirror: Mirror
) -> None:
    await store.write("a/x.csv", b"one")
    await mirror.sync("a")
    mirror.path("a/x.csv").write_text("mine")
    await store.delete(["a/x.csv"])
    await mirror.sync("a", settled=True)
    assert mirror.path("a/x.csv").read_text() == "mine"
    assert await text(store, "a/x.csv") == "mine"


async def test_the_open_notebook_is_jupyterlabs_to_save(store: Store, mirror: Mirror) -> None:
    await store.write("a/n.ipynb", b"{}")
    mirror.notebooks.add("a/n.ipynb")
    await mirror.sync("a", first="n.ipynb")
    mirror.path("a/n.ipynb").write_text('{"by": "code"}')
    await mirror.write_back("a", settled=True)
    assert await text(store, "a/n.ipynb") == "{}"
    assert "saved by JupyterLab" in mirror.told("a")["n.ipynb"]


async def test_the_notebook_that_is_meant_is_the_one_that_was_saved(
    store: Store, mirror: Mirror
) -> None:
    await store.write("a/n.ipynb", b"{}")
    await mirror.sync("a", first="n.ipynb")
    file = mirror.path("a/n.ipynb")
    for saved, written in (("{}", "by code"), ("saved", "by code, again")):
        await store.write("a/n.ipynb", saved.encode())
        file.write_text(written)
        await mirror.sync("a", first="n.ipynb", settled=True)
        assert file.read_text() == saved
        assert await text(store, "a/n.ipynb") == saved
    aside = sorted(path.read_text() for path in file.parent.glob(".n.ipynb.*"))
    assert aside == ["by code", "by code, again"]
    assert [entry.key async for batch in store.walk("a") for entry in batch] == ["a/n.ipynb"]


async def test_where_one_may_only_read_nothing_is_written_and_nothing_lost(
    store: Store, make: Make
) -> None:
    await store.write("a/x.csv", b"one")
    mirror = make(writable=False)
    await mirror.sync("a")
    mirror.path("a/new.csv").write_text("mine")
    await mirror.sync("a", settled=True)
    assert [entry.key async for batch in store.walk("a") for entry in batch] == ["a/x.csv"]
    assert mirror.path("a/new.csv").read_text() == "mine"
    assert "only read" in mirror.told("a")["new.csv"]


async def test_what_is_too_much_is_left_out_and_said(
    store: Store, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write("a/n.ipynb", b"n" * 300)
    await store.write("a/small.csv", b"s" * 50)
    await store.write("a/large.csv", b"l" * 200)
    mirror = make(limits=Limits(bytes=400, files=10))
    await mirror.sync("a", first="n.ipynb")
    assert sorted(path.name for path in mirror.path("a").glob("[!.]*")) == [
        "n.ipynb",
        "small.csv",
    ]
    assert "large.csv: all together are larger than 400 bytes" in caplog.text
    assert "large.csv" in mirror.path(f"a/{NOTE}").read_text()
    mirror.path("a/huge.bin").write_bytes(b"h" * 500)
    await mirror.write_back("a", settled=True)
    assert "stays on this disk" in mirror.told("a")["huge.bin"]
    assert "large.csv" in mirror.told("a")


async def test_an_old_copy_of_what_is_now_too_large_does_not_stay(store: Store, make: Make) -> None:
    await store.write("a/x.csv", b"one")
    mirror = make(limits=Limits(bytes=10, files=10))
    await mirror.sync("a")
    await store.write("a/x.csv", b"x" * 100)
    await mirror.sync("a")
    assert not mirror.path("a/x.csv").exists()


async def test_with_more_files_than_are_looked_at_nothing_is_removed(
    store: Store, make: Make
) -> None:
    mirror = make(limits=Limits(files=1))
    await store.write("a/s/x.csv", b"one")
    await mirror.sync("a")
    await asyncio.gather(*(store.write(f"a/{number:03}.csv", b"one") for number in range(30)))
    await mirror.sync("a")
    assert mirror.path("a/s/x.csv").read_text() == "one"


async def test_large_files_come_and_go_in_parts(store: Store, mirror: Mirror) -> None:
    data = os.urandom(1 << 20) * 21
    await store.write("a/in.bin", data)
    await mirror.sync("a")
    assert mirror.path("a/in.bin").read_bytes() == data
    mirror.path("a/out.bin").write_bytes(data)
    await mirror.write_back("a", settled=True)
    entry = await store.head("a/out.bin")
    assert entry.size == len(data)
    _, there, _ = await store.read("a/out.bin")
    assert bytes(there) == data
    assert await store.pending_uploads("a") == []


async def test_what_a_killed_server_left_is_found_by_the_next(store: Store, make: Make) -> None:
    await store.write("a/b/x.csv", b"one")
    await make().sync("a/b")
    make().path("a/b/late.csv").write_text("late")
    make().path("a/b/made.ipynb").write_text("{}")
    after = make()
    await after.recover()
    assert await text(store, "a/b/late.csv") == "late"
    listed = [entry.key async for batch in store.walk("a") for entry in batch]
    assert sorted(listed) == ["a/b/late.csv", "a/b/x.csv"]
    await after.sync("a/b", settled=True)
    assert await text(store, "a/b/made.ipynb") == "{}"


class Killed(BaseException):
    """The server ends here, whatever it is doing."""


async def test_what_was_fetched_by_a_killed_server_is_not_sent_again(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x", "y"):
        await store.write(f"a/{name}.csv", b"one")
    monkeypatch.setattr(mirror_files, "_NOW_AND_THEN", 0)
    killed = make()

    async def end(*arguments: object) -> None:
        raise Killed

    monkeypatch.setattr(killed, "_send_all", end)
    with pytest.raises(Killed):
        await killed.sync("a")
    await store.delete(["a/x.csv"])  # by somebody else, before there is a server again
    after = make()
    await after.recover()
    await after.sync("a")
    assert [entry.key async for batch in store.walk("a") for entry in batch] == ["a/y.csv"]
    assert not after.path("a/x.csv").exists()


async def test_a_store_that_is_down_leaves_the_folder_as_it_was(
    seaweedfs: RunningStore, place: str, mirror: Mirror, store: Store, tmp_path: Path
) -> None:
    await store.write("a/x.csv", b"one")
    await mirror.sync("a")
    mirror.path("a/new.csv").write_text("mine")
    down = StoreSettings(
        "http://127.0.0.1:9", seaweedfs.bucket, place, credentials=StaticKeys("a", "b")
    )
    mirror.use(Store(down), writable=True)
    with pytest.raises(PublicError):
        await mirror.sync("a")
    await mirror.write_back("a", settled=True)
    assert "stays on this disk for now" in mirror.told("a")["new.csv"]
    assert mirror.path("a/x.csv").read_text() == "one"
    mirror.use(store, writable=True)
    await mirror.write_back("a", settled=True)
    assert await text(store, "a/new.csv") == "mine"


async def test_a_file_whose_name_no_object_can_have_holds_up_no_other(
    store: Store, mirror: Mirror
) -> None:
    await store.write("a/n.ipynb", b"{}")
    await mirror.sync("a")
    odd = os.fsdecode(b"caf\xe9.csv")
    for name in (odd, "two\nlines.csv", "old.versions/x.csv", "good.csv"):
        mirror.path("a/old.versions").mkdir(exist_ok=True)
        (mirror.path("a") / name).write_text("x")
    for _ in range(2):
        await mirror.sync("a", first="n.ipynb", settled=True)
        assert set(mirror.told("a")) == {odd, "two\nlines.csv", "old.versions/x.csv"}
    assert await text(store, "a/good.csv") == "x"
    assert (mirror.path("a") / odd).exists()
    assert mirror.path("a/old.versions/x.csv").exists()
    told = mirror.path(f"a/{NOTE}").read_text()
    assert "- caf\\xdce9.csv: stays on this disk for now" in told
    assert "- two\\x0alines.csv: stays on this disk for now" in told


async def test_a_renamed_folder_takes_the_place_of_what_was_left(
    store: Store, mirror: Mirror
) -> None:
    await store.write("a/x.csv", b"a")
    await store.write("b/sub/y.csv", b"b")
    await mirror.sync("a")
    await mirror.sync("b")
    async with mirror.still():
        assert not await mirror.moved("a", "b", clear=False)
        assert await mirror.moved("a", "b")
    assert [path.name for path in mirror.path("b").iterdir() if path.name != NOTE] == ["x.csv"]
    await mirror.sync("c")
    mirror.path("c/unsent.csv").write_text("mine")
    async with mirror.still():
        assert not await mirror.moved("b", "c")
    assert mirror.path("c/unsent.csv").read_text() == "mine"
    assert mirror.path("b/x.csv").exists()


async def test_names_out_of_the_folder_never_leave_it(
    seaweedfs: RunningStore, place: str, mirror: Mirror, tmp_path: Path
) -> None:
    for key in ("a/%2e%2e/%2e%2e/evil", "a/x//y", "a/good.csv"):
        seaweedfs.send("PUT", f"{seaweedfs.bucket}/{place}{key}", b"x")
    await mirror.sync("a")
    assert mirror.path("a/good.csv").exists()
    inside = mirror.path("a")
    assert [path for path in tmp_path.rglob("evil*") if not path.is_relative_to(inside)] == []


# -- while kernels run ------------------------------------------------------------


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_running_notebook_and_the_store_see_each_other(
    store: Store, mirror: Mirror
) -> None:
    used = {"home/a"}

    async def in_use() -> set[str]:
        return used

    keeper = Keeper(in_use, log=LOG, every=0.05, fully=60)
    await mirror.sync("a")
    keeper.enter(mirror, "a")
    file = mirror.path("a/out.csv")
    file.write_text("out")
    long_ago = time.time_ns() - 10**10
    os.utime(file, ns=(long_ago, long_ago))
    await until(lambda: mirror._agreements.all().get("a/out.csv"))
    assert await text(store, "a/out.csv") == "out"
    await store.write("a/uploaded.csv", b"up")
    keeper.changed("home/a/uploaded.csv")
    await until(mirror.path("a/uploaded.csv").exists)
    mirror.path("a/last.csv").write_text("last")
    used.clear()
    await until(lambda: not keeper._live)
    assert await text(store, "a/last.csv") == "last"
    await keeper.close()


async def test_saving_the_open_notebook_is_no_reason_to_look(store: Store, mirror: Mirror) -> None:
    async def in_use() -> set[str]:
        return {"home/a"}

    keeper = Keeper(in_use, log=LOG, every=60)
    mirror.notebooks.add("a/n.ipynb")
    keeper.enter(mirror, "a")
    keeper.changed("home/a/n.ipynb")
    keeper.changed("home/b/x.csv")
    assert not keeper._live["home/a"].wanted
    keeper.changed("home/a/x.csv")
    assert keeper._live["home/a"].wanted
    await keeper.close()


async def test_a_folder_that_fails_holds_up_no_other(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_use() -> set[str]:
        return {"home/a", "home/b"}

    write_back = mirror.write_back

    async def failing(folder: str, **how: bool) -> None:
        if folder == "a":
            raise ValueError("not foreseen")
        await write_back(folder, **how)

    monkeypatch.setattr(mirror, "write_back", failing)
    keeper = Keeper(in_use, log=LOG, every=60)
    for folder in ("a", "b"):
        await mirror.sync(folder)
        keeper.enter(mirror, folder)
    mirror.path("b/out.csv").write_text("out")
    await keeper.close()
    assert await text(store, "b/out.csv") == "out"


async def test_the_end_of_the_server_writes_back_what_there_is(
    store: Store, mirror: Mirror
) -> None:
    async def in_use() -> set[str]:
        return {"home/a"}

    keeper = Keeper(in_use, log=LOG, every=60)
    await mirror.sync("a")
    keeper.enter(mirror, "a")
    mirror.path("a/out.csv").write_text("out")
    await keeper.close()
    assert await text(store, "a/out.csv") == "out"


async def test_a_failing_round_does_not_end_the_rounds(
    store: Store, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    async def in_use() -> set[str]:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise StoreDown("The object store does not answer.")
        return {"home/a"}

    keeper = Keeper(in_use, log=LOG, every=0.02)
    keeper.enter(mirror, "a")
    await until(lambda: failures > 2)
    assert "were not looked at" in caplog.text
    await keeper.close()
