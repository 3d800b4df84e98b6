"""Several roots: what each does the same, what is above them, and the ways between them."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_server.base.handlers import AuthenticatedFileHandler
from stores import RunningStore
from tornado.web import HTTPError

from hub_ext.errors import Unavailable
from lab_extension.contents import moves
from lab_extension.contents.roots.crossing import Journal
from lab_extension.contents.roots.manager import RootsContentsManager, split
from lab_extension.contents.roots.managers import whole_message
from lab_extension.contents.roots.places import Places, places_of

SUBMIT = "custom:almanac:submit"


class Service:
    """The job service's ``me`` and ``credentials``, with the store's own keys."""

    def __init__(self, store: RunningStore, slug: str):
        self.store = store
        self.slug = slug
        self.rights = ["custom:almanac:read", SUBMIT]
        self.projects: list[dict[str, Any]] = [
            {"slug": f"user-{slug}", "title": "", "personal": True, "writable": True},
            {"slug": f"p-{slug}", "title": "Prices", "personal": False, "writable": True},
        ]
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.down = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def get(self, path: str, **query: str) -> Any:
        self.asked.append((path, query))
        await self.slow.wait()
        if self.down:
            raise Unavailable("The job service cannot be reached.")
        if path == "credentials":
            return {
                "AccessKeyId": self.store.access_key,
                "SecretAccessKey": self.store.secret_key,
                "Expiration": "2100-01-01T00:00:00Z",
            }
        return {"name": self.slug, "rights": self.rights, "projects": self.projects}


@pytest.fixture
def service(seaweedfs: RunningStore, place: str) -> Service:
    return Service(seaweedfs, place.strip("/").rpartition("/")[2])


Make = Callable[..., RootsContentsManager]


@pytest.fixture
async def make(service: Service, seaweedfs: RunningStore, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[RootsContentsManager] = []

    def manager(**options: Any) -> RootsContentsManager:
        one = RootsContentsManager(
            root_dir=str(tmp_path / "ana"),
            bucket=seaweedfs.bucket,
            endpoint_url=seaweedfs.endpoint,
            username=service.slug,
            **options,
        )
        one.service = service
        one.places = Places(service, service.slug, log=one.log)
        one.work.delete_to_trash = False
        made.append(one)
        return one

    (tmp_path / "ana").mkdir()
    yield manager
    for one in made:
        await one.close()


@pytest.fixture
def roots(make: Make) -> RootsContentsManager:
    return make()


@pytest.fixture
def project(service: Service) -> str:
    return f"projects/p-{service.slug}"


@pytest.fixture(params=["work", "home", "projects"])
def root(request: pytest.FixtureRequest, project: str) -> str:
    return project if request.param == "projects" else str(request.param)


async def refused(awaitable: Any) -> HTTPError:
    with pytest.raises(HTTPError) as raised:
        await awaitable
    return raised.value


async def put(roots: RootsContentsManager, path: str, content: str = "x") -> dict[str, Any]:
    return await roots.save({"type": "file", "format": "text", "content": content}, path)


async def text(roots: RootsContentsManager, path: str) -> str:
    return str((await roots.get(path, type="file", format="text"))["content"])


def notebook() -> dict[str, Any]:
    return {"type": "notebook", "content": nbformat.v4.new_notebook()}


# -- the same in every root ---------------------------------------------------------


async def test_models_name_files_by_whole_paths(roots: RootsContentsManager, root: str) -> None:
    made = await roots.save({"type": "directory"}, f"{root}/a")
    assert (made["path"], made["name"], made["type"]) == (f"{root}/a", "a", "directory")
    saved = await put(roots, f"{root}/a/x y.csv", "1,2")
    assert (saved["path"], saved["name"]) == (f"{root}/a/x y.csv", "x y.csv")
    read = await roots.get(f"/{root}/a/x y.csv/", require_hash=True)
    assert (read["path"], read["content"], read["writable"]) == (f"{root}/a/x y.csv", "1,2", True)
    assert read["hash"]
    folder = await roots.get(f"{root}/a")
    assert [(entry["path"], entry["name"]) for entry in folder["content"]] == [
        (f"{root}/a/x y.csv", "x y.csv")
    ]
    top = await roots.get(root)
    assert [entry["path"] for entry in top["content"]] == [f"{root}/a"]
    assert await roots.dir_exists(f"{root}/a")
    assert not await roots.file_exists(f"{root}/a")
    assert await roots.file_exists(f"{root}/a/x y.csv")
    assert await roots.exists(root)
    assert not await roots.exists(f"{root}/b")


async def test_notebooks_are_saved_trusted_and_checkpointed(
    roots: RootsContentsManager, root: str
) -> None:
    path = f"{root}/n.ipynb"
    model = await roots.new(notebook(), path)
    assert (model["path"], model["type"]) == (path, "notebook")
    first = await roots.create_checkpoint(path)
    assert [point["id"] for point in await roots.list_checkpoints(path)] == [first["id"]]
    changed = notebook()
    changed["content"].cells.append(nbformat.v4.new_code_cell("1 + 1"))
    await roots.save(changed, path)
    await roots.restore_checkpoint(first["id"], path)
    assert (await roots.get(path))["content"].cells == []
    await roots.trust_notebook(path)
    await roots.delete_checkpoint(first["id"], path)
    assert await roots.list_checkpoints(path) == []


async def test_new_things_get_names_that_are_free(roots: RootsContentsManager, root: str) -> None:
    names = [(await roots.new_untitled(root, type="notebook"))["path"] for _ in range(2)]
    assert names == [f"{root}/Untitled.ipynb", f"{root}/Untitled1.ipynb"]
    folders = [(await roots.new_untitled(root, type="directory"))["path"] for _ in range(2)]
    assert folders == [f"{root}/Untitled Folder", f"{root}/Untitled Folder 1"]
    copies = [(await roots.copy(names[0], root))["path"] for _ in range(2)]
    assert copies == [f"{root}/Untitled-Copy1.ipynb", f"{root}/Untitled-Copy2.ipynb"]


async def test_renaming_and_deleting(roots: RootsContentsManager, root: str) -> None:
    await put(roots, f"{root}/x.csv", "1")
    model = await roots.update({"path": f"{root}/y.csv"}, f"{root}/x.csv")
    assert model["path"] == f"{root}/y.csv"
    assert not await roots.file_exists(f"{root}/x.csv")
    await put(roots, f"{root}/x.csv", "2")
    error = await refused(roots.rename(f"{root}/x.csv", f"{root}/y.csv"))
    assert error.status_code == 409
    assert f"{root}/y.csv" in error.log_message
    await roots.delete(f"{root}/y.csv")
    assert not await roots.file_exists(f"{root}/y.csv")


async def test_uploads_in_pieces(roots: RootsContentsManager, root: str) -> None:
    data = os.urandom(3_000)
    for chunk, piece in ((1, data[:1000]), (2, data[1000:2000]), (-1, data[2000:])):
        content = base64.b64encode(piece).decode()
        model = {"type": "file", "format": "base64", "content": content, "chunk": chunk}
        answer = await roots.save(model, f"{root}/up.bin")
    assert answer["path"] == f"{root}/up.bin"
    read = await roots.get(f"{root}/up.bin", format="base64")
    assert base64.b64decode(read["content"]) == data


@pytest.mark.parametrize("name", ["x.csv", "a/b c.csv", "report", "50%d.csv"])
async def test_errors_name_the_whole_path(
    roots: RootsContentsManager, root: str, name: str
) -> None:
    error = await refused(roots.get(f"{root}/{name}"))
    assert error.status_code == 404
    assert f"{root}/{name}" in error.log_message


async def test_no_word_of_a_message_is_taken_for_a_path(roots: RootsContentsManager) -> None:
    error = await refused(roots.get("home/x.csv", type="file", format="text"))
    assert error.log_message == "No such file or directory: home/x.csv"
    error = await refused(roots.restore_checkpoint("checkpoint", "home/x.csv"))
    assert error.log_message == "Checkpoint does not exist: home/x.csv@checkpoint"


async def test_what_is_hidden_is_hidden(roots: RootsContentsManager, root: str) -> None:
    assert await roots.is_hidden(f"{root}/.secret/x")
    assert not await roots.is_hidden(f"{root}/x")
    error = await refused(put(roots, f"{root}/.secret"))
    assert error.status_code in (400, 404)  # as each has it


async def test_events_name_the_whole_path(roots: RootsContentsManager, root: str) -> None:
    seen: list[tuple[str, str]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append((data["action"], data["path"]))

    roots.event_logger.add_listener(schema_id=roots.event_schema_id, listener=listen)
    await put(roots, f"{root}/x.csv")
    await roots.rename(f"{root}/x.csv", f"{root}/y.csv")
    await roots.delete(f"{root}/y.csv")
    async with asyncio.timeout(10):
        while ("delete", f"{root}/y.csv") not in seen:
            await asyncio.sleep(0.01)
    assert ("save", f"{root}/x.csv") in seen
    assert ("rename", f"{root}/y.csv") in seen
    assert {path.partition("/")[0] for _, path in seen} == {root.partition("/")[0]}


async def test_the_second_of_two_savers_is_told(roots: RootsContentsManager, project: str) -> None:
    for root in ("home", project):
        first = await put(roots, f"{root}/x.csv", "1")
        model = {"type": "file", "format": "text", "content": "2", "base_hash": first["hash"]}
        second = await roots.save(dict(model), f"{root}/x.csv")
        assert second["hash"] != first["hash"]
        error = await refused(roots.save(dict(model), f"{root}/x.csv"))
        assert (error.status_code, error.reason) == (409, "changed")
        assert f"{root}/x.csv" in error.log_message
        assert await text(roots, f"{root}/x.csv") == "2"


async def test_hooks_see_the_whole(roots: RootsContentsManager, root: str) -> None:
    seen = []

    def before(model: Any, path: str, contents_manager: Any) -> None:
        seen.append((path, contents_manager))
        model["content"] = model["content"].upper()

    roots.register_pre_save_hook(before)
    await put(roots, f"{root}/x.csv", "abc")
    assert seen == [(f"{root}/x.csv", roots)]
    assert await text(roots, f"{root}/x.csv") == "ABC"


# -- above the roots ------------------------------------------------------------------


async def test_the_folders_above_show_the_roots(
    roots: RootsContentsManager, project: str, service: Service
) -> None:
    await roots.get(project)
    top = await roots.get("")
    assert [(entry["path"], entry["type"], entry["writable"]) for entry in top["content"]] == [
        ("work", "directory", True),
        ("home", "directory", True),
        ("projects", "directory", False),
    ]
    assert top["writable"] is False
    below = await roots.get("projects")
    assert [entry["path"] for entry in below["content"]] == [project]
    assert below["content"][0]["name"] == f"p-{service.slug}"
    # What Jupyter's handlers require of a model.
    assert all(model["created"] and model["last_modified"] for model in (top, below))


@pytest.mark.parametrize("path", ["", "projects", "work", "home"])
async def test_the_folders_above_and_the_roots_stay(roots: RootsContentsManager, path: str) -> None:
    assert await roots.dir_exists(path)
    for attempt in (
        roots.delete(path),
        roots.rename(path, "work/elsewhere"),
        roots.save({"type": "directory"}, path),
    ):
        error = await refused(attempt)
        assert error.status_code in (400, 403)
        assert "Choose" in error.log_message


@pytest.mark.parametrize("path", ["", "projects"])
async def test_nothing_is_made_above_the_roots(roots: RootsContentsManager, path: str) -> None:
    await put(roots, "work/x.csv")
    for attempt in (
        roots.new_untitled(path, type="notebook"),
        put(roots, f"{path}/x.csv".strip("/")),
        roots.copy("work/x.csv", path),
        roots.rename("work/x.csv", f"{path}/y.csv".strip("/")),
    ):
        error = await refused(attempt)
        assert error.status_code in (403, 404), error.log_message
    assert await text(roots, "work/x.csv") == "x"


@pytest.mark.parametrize(
    "path", ["work/../.ssh/id", "../x", "home/../../x", "projects/../work/x", ".almanac/x", "etc"]
)
async def test_no_path_leads_out(roots: RootsContentsManager, path: str) -> None:
    assert (await refused(roots.get(path))).status_code == 404
    for exists in (roots.file_exists, roots.dir_exists):
        assert not await exists(path)
    assert (await refused(put(roots, path))).status_code in (403, 404)


async def test_percent_signs_are_said_as_they_are(roots: RootsContentsManager) -> None:
    for attempt in (
        roots.get("100%s/x.csv"),
        roots.get("work/100%s"),
        roots.get("home/100%s"),
        roots.rename("work/100%s", "home/x.csv"),
        roots.copy("work/100%s", "work"),
    ):
        error = await refused(attempt)
        assert "100%s" in error.log_message
        assert "%%" not in error.log_message


def test_paths_are_split_by_their_root() -> None:
    assert split("/projects/a/b/c.csv") == ("projects/a", "b/c.csv")
    assert split("home//a") == ("home", "a")
    assert split("") == ("", "")


@pytest.mark.parametrize(
    ("message", "given", "whole"),
    [
        (
            "No such file or directory: a/x.csv",
            ["a/x.csv"],
            "No such file or directory: home/a/x.csv",
        ),
        ("'a b.csv' is not here", ["a b.csv"], "'home/a b.csv' is not here"),
        ("a is a file", ["a"], "home: a is a file"),
        ("no folder a/b for x.csv", ["a/b/x.csv"], "no folder home/a/b for x.csv"),
        ("x.csv.bak differs from x.csv", ["x.csv"], "x.csv.bak differs from home/x.csv"),
        ("home/x.csv is there", ["x.csv"], "home/x.csv is there"),
        ("", ["x"], ""),
    ],
)
def test_messages_become_whole(message: str, given: list[str], whole: str) -> None:
    assert whole_message(message, "home", given) == whole


# -- which roots there are ----------------------------------------------------------------


async def test_a_service_that_is_slow_holds_up_no_listing(
    roots: RootsContentsManager, service: Service
) -> None:
    service.slow.clear()
    async with asyncio.timeout(5):
        top = await roots.get("")
    assert [entry["name"] for entry in top["content"]] == ["work", "home", "projects"]
    service.slow.set()


async def test_a_service_that_is_down_leaves_what_was_known(
    roots: RootsContentsManager, service: Service, project: str
) -> None:
    service.down = True
    assert (await refused(roots.get(project))).status_code == 503
    service.down = False
    roots.places = Places(service, service.slug, log=roots.log)
    await put(roots, f"{project}/x.csv")
    service.down = True
    roots.places._asked = None
    await roots.get("projects")
    await asyncio.sleep(0)
    assert await text(roots, f"{project}/x.csv") == "x"
    assert len((await roots.get("projects"))["content"]) == 1


async def test_who_leaves_a_project_sees_it_no_more(
    roots: RootsContentsManager, service: Service, project: str
) -> None:
    await put(roots, f"{project}/x.csv")
    del service.projects[1]
    roots.places._asked = None
    await roots.places.hear(patience=5)
    error = await refused(roots.get(f"{project}/x.csv"))
    assert error.status_code == 404
    assert (await roots.get("projects"))["content"] == []


async def test_keys_are_asked_for_one_project_at_a_time(
    roots: RootsContentsManager, service: Service, project: str
) -> None:
    await roots.get("home")
    await roots.get(project)
    asked = [query for path, query in service.asked if path == "credentials"]
    assert asked == [{"project": f"user-{service.slug}"}, {"project": f"p-{service.slug}"}]


async def test_where_one_may_only_read_everything_says_so(
    roots: RootsContentsManager, service: Service, project: str
) -> None:
    await put(roots, f"{project}/a/x.csv", "1")
    service.rights.remove(SUBMIT)
    roots.places._asked = None
    await roots.places.hear(patience=5)
    listed = await roots.get(f"{project}/a")
    assert listed["writable"] is False
    assert [entry["writable"] for entry in listed["content"]] == [False]
    assert (await roots.get(f"{project}/a/x.csv"))["writable"] is False
    assert [entry["writable"] for entry in (await roots.get("projects"))["content"]] == [False]
    located = await roots.locate(f"{project}/a/x.csv")
    assert located is not None
    assert not located.writable
    for attempt in (
        put(roots, f"{project}/a/x.csv", "2"),
        roots.new_untitled(f"{project}/a", type="file"),
        roots.rename(f"{project}/a/x.csv", f"{project}/y.csv"),
        roots.rename(f"{project}/a/x.csv", "work/y.csv"),
        roots.delete(f"{project}/a/x.csv"),
        roots.copy(f"{project}/a/x.csv", f"{project}/a"),
    ):
        error = await refused(attempt)
        assert error.status_code == 403
        assert "ask who runs this Almanac" in error.log_message
    assert (await roots.copy(f"{project}/a/x.csv", "work"))["path"] == "work/x.csv"


async def test_a_full_project_can_be_emptied_and_not_filled(
    roots: RootsContentsManager, service: Service, project: str
) -> None:
    await put(roots, f"{project}/x.csv", "1")
    service.projects[1] |= {"writable": False, "quota_bytes": 10**9}
    roots.places._asked = None
    await roots.places.hear(patience=5)
    for attempt in (
        put(roots, f"{project}/y.csv"),
        roots.copy(f"{project}/x.csv", project),
        roots.rename(f"{project}/x.csv", f"{project}/y.csv"),
    ):
        error = await refused(attempt)
        assert error.status_code == 507
        assert f"{project} is full" in error.log_message
    assert (await roots.get(project))["writable"] is True
    await roots.delete(f"{project}/x.csv")
    service.projects[1]["writable"] = True
    roots.places._asked = None
    await roots.places.hear(patience=5)
    assert (await put(roots, f"{project}/y.csv"))["path"] == f"{project}/y.csv"


def test_what_the_service_says_becomes_places() -> None:
    me = {
        "rights": [SUBMIT],
        "projects": [
            {"slug": "user-ana", "personal": True, "writable": True, "quota_bytes": 5},
            {"slug": "prices", "title": "Prices", "personal": False, "writable": False},
        ],
    }
    places = places_of(me)
    assert set(places) == {"home", "projects/prices"}
    assert places["home"].prefix == "home/ana"
    assert places["home"].limit == 5
    assert places["projects/prices"].full
    assert not places_of(me | {"rights": []})["projects/prices"].writable


async def test_without_a_bucket_there_is_work_alone(make: Make) -> None:
    roots = make()
    roots.bucket = ""
    assert [entry["name"] for entry in (await roots.get(""))["content"]] == ["work"]
    assert (await refused(roots.get("home"))).status_code == 404


async def test_where_things_are_is_told(roots: RootsContentsManager, service: Service) -> None:
    assert await roots.locate("work/x.csv") is None
    assert await roots.locate("projects") is None
    located = await roots.locate("home/a/x.csv")
    assert located is not None
    assert (located.key, located.root, located.writable) == ("a/x.csv", "home", True)
    assert located.store.uri(located.key) == f"s3://almanac/home/{service.slug}/a/x.csv"
    await roots.places.hear(patience=5)
    assert [root.root for root in await roots.storage_roots()] == [
        "home",
        f"projects/p-{service.slug}",
    ]
    assert issubclass(roots.files_handler_class, AuthenticatedFileHandler)


# -- from one root to another ----------------------------------------------------------------

WAYS = [("work", "home"), ("home", "work"), ("home", "projects"), ("projects", "home")]


@pytest.fixture(params=WAYS, ids=["-to-".join(way) for way in WAYS])
def way(request: pytest.FixtureRequest, project: str) -> tuple[str, str]:
    source, target = request.param
    return (
        project if source == "projects" else source,
        project if target == "projects" else target,
    )


async def test_a_file_is_copied_to_another_root(
    roots: RootsContentsManager, way: tuple[str, str]
) -> None:
    source, target = way
    await put(roots, f"{source}/x.csv", "one")
    copies = [(await roots.copy(f"{source}/x.csv", target)) for _ in range(2)]
    assert [model["path"] for model in copies] == [f"{target}/x.csv", f"{target}/x-Copy1.csv"]
    assert [await text(roots, model["path"]) for model in copies] == ["one", "one"]
    assert await text(roots, f"{source}/x.csv") == "one"


async def test_a_file_is_moved_to_another_root(
    roots: RootsContentsManager, way: tuple[str, str]
) -> None:
    source, target = way
    await roots.new(notebook(), f"{source}/n.ipynb")
    await roots.create_checkpoint(f"{source}/n.ipynb")
    model = await roots.update({"path": f"{target}/n.ipynb"}, f"{source}/n.ipynb")
    assert model["path"] == f"{target}/n.ipynb"
    assert not await roots.file_exists(f"{source}/n.ipynb")
    assert await roots.list_checkpoints(f"{source}/n.ipynb") == []
    assert (await roots.get(f"{target}/n.ipynb"))["content"].cells == []


async def test_a_folder_is_moved_and_copied_to_another_root(
    roots: RootsContentsManager, way: tuple[str, str]
) -> None:
    source, target = way
    await roots.save({"type": "directory"}, f"{source}/a")
    await roots.save({"type": "directory"}, f"{source}/a/empty")
    await roots.save({"type": "directory"}, f"{source}/a/sub")
    for number in range(12):
        await put(roots, f"{source}/a/sub/{number}.csv", str(number))
    copied = await roots.copy(f"{source}/a", target)
    assert copied["path"] == f"{target}/a"
    await roots.rename(f"{source}/a", f"{target}/b")
    assert not await roots.dir_exists(f"{source}/a")
    for made in ("a", "b"):
        below = await roots.get(f"{target}/{made}")
        assert sorted(entry["name"] for entry in below["content"]) == ["empty", "sub"]
        assert len((await roots.get(f"{target}/{made}/sub"))["content"]) == 12
        assert await text(roots, f"{target}/{made}/sub/7.csv") == "7"


async def test_nothing_is_written_over_on_the_way(
    roots: RootsContentsManager, way: tuple[str, str]
) -> None:
    source, target = way
    await put(roots, f"{source}/x.csv", "one")
    await put(roots, f"{target}/x.csv", "two")
    error = await refused(roots.rename(f"{source}/x.csv", f"{target}/x.csv"))
    assert error.status_code == 409
    assert f"{target}/x.csv" in error.log_message
    assert await text(roots, f"{source}/x.csv") == "one"
    assert await text(roots, f"{target}/x.csv") == "two"
    missing = await refused(roots.rename(f"{source}/none.csv", f"{target}/y.csv"))
    assert missing.status_code == 404
    assert f"{source}/none.csv" in missing.log_message
    nowhere = await refused(roots.rename(f"{source}/x.csv", f"{target}/no/such/x.csv"))
    assert nowhere.status_code == 404


async def test_old_versions_are_copied_and_never_moved(
    roots: RootsContentsManager, project: str
) -> None:
    await put(roots, "home/x.csv", "old")
    await put(roots, "home/x.csv", "new")
    located = await roots.locate("home/x.csv")
    assert located is not None
    old = (await located.store.versions("x.csv"))[-1].version
    path = f"home/.versions/{old}/x.csv"
    for target in ("work", project, "home"):
        made = await roots.copy(path, target)
        assert await text(roots, made["path"]) == "old"
    for attempt in (roots.rename(path, "work/y.csv"), roots.rename("work/x.csv", path)):
        error = await refused(attempt)
        assert error.status_code in (400, 403)
        assert "old version" in error.log_message
    assert await text(roots, "work/x.csv") == "old"


async def test_a_copy_that_does_not_fit_leaves_nothing(
    roots: RootsContentsManager, service: Service
) -> None:
    service.projects[0]["quota_bytes"] = 10
    await roots.places.hear(patience=5)
    await roots.save({"type": "directory"}, "work/a")
    await put(roots, "work/a/x.csv", "x" * 100)
    for attempt in (roots.copy("work/a", "home"), roots.rename("work/a", "home/a")):
        error = await refused(attempt)
        assert error.status_code == 507, error.log_message
    assert await text(roots, "work/a/x.csv") == "x" * 100
    assert not await roots.dir_exists("home/a")


async def test_large_files_cross_in_parts(roots: RootsContentsManager, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 20 + b"end"
    (tmp_path / "ana/work/large.bin").write_bytes(data)
    await roots.rename("work/large.bin", "home/large.bin")
    assert not (tmp_path / "ana/work/large.bin").exists()
    assert (await roots.get("home/large.bin", content=False))["size"] == len(data)
    await roots.rename("home/large.bin", "work/back.bin")
    assert (tmp_path / "ana/work/back.bin").read_bytes() == data


async def test_links_are_not_carried_into_object_storage(
    roots: RootsContentsManager, tmp_path: Path
) -> None:
    work = tmp_path / "ana/work"
    (work / "a").mkdir()
    (work / "a/x.csv").write_text("1")
    (work / "a/up").symlink_to(tmp_path)
    error = await refused(roots.rename("work/a", "home/a"))
    assert error.status_code == 400
    assert "work/a/up is a link to a folder" in error.log_message
    assert (work / "a/x.csv").exists()
    assert not await roots.dir_exists("home/a")


class Killed(BaseException):
    """The server ends here, whatever it is doing."""


@pytest.mark.parametrize("after", ["copied", "removed"])
async def test_a_killed_move_loses_nothing_and_is_taken_up_again(
    make: Make, way: tuple[str, str], after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = way
    roots = make()
    await roots.save({"type": "directory"}, f"{source}/a")
    for number in range(5):
        await put(roots, f"{source}/a/{number}.csv", str(number))

    def die(self: Journal, *shown: str) -> None:
        raise Killed

    from lab_extension.contents.roots import crossing

    move = crossing.move

    def step(name: str) -> None:
        if name == after:
            raise Killed

    async def killed(*args: Any, **options: Any) -> None:
        await move(*args, **options, step=step)

    monkeypatch.setattr(Journal, "end", die)
    monkeypatch.setattr(crossing, "move", killed)
    with pytest.raises(Killed):
        await roots.rename(f"{source}/a", f"{target}/a")
    monkeypatch.undo()
    held = [
        await text(roots, f"{root}/a/{number}.csv") for number in range(5) for root in (target,)
    ]
    assert held == ["0", "1", "2", "3", "4"]
    again = make()
    await again.rename(f"{source}/a", f"{target}/a")
    assert not await again.dir_exists(f"{source}/a")
    assert len((await again.get(f"{target}/a"))["content"]) == 5
    # And that is over: what is there now is somebody's.
    await again.save({"type": "directory"}, f"{source}/a")
    error = await refused(again.rename(f"{source}/a", f"{target}/a"))
    assert error.status_code == 409


# -- kernels -----------------------------------------------------------------------------------


async def test_kernels_start_where_their_files_are(
    roots: RootsContentsManager, project: str, tmp_path: Path
) -> None:
    (tmp_path / "ana/work/sub").mkdir()
    await put(roots, "home/a b/x.csv", "one")
    await roots.new(notebook(), "home/a b/n.ipynb")
    await roots.new(notebook(), f"{project}/n.ipynb")
    paths = {
        "work/sub/n.ipynb": "work/sub",
        "work/sub": "work/sub",
        "": "work",
        "projects": "work",
        "elsewhere/n.ipynb": "work",
        "home/a b/n.ipynb": ".almanac/files/home/a b",
        "home/a b/console-1": ".almanac/files/home/a b",
        "home/a b": ".almanac/files/home/a b",
        "home/.versions/v1/a b/n.ipynb": ".almanac/files/home/a b",
        f"{project}/n.ipynb": f".almanac/files/{project}",
    }
    for path, wanted in paths.items():
        assert await roots.get_kernel_path(path) == wanted, path
    assert (tmp_path / "ana/.almanac/files/home/a b/x.csv").read_text() == "one"
    assert await roots.on_disk("home/a b/n.ipynb") == (
        tmp_path / "ana/.almanac/files/home/a b/n.ipynb"
    )
    assert await roots.resolve_path(str(tmp_path / "ana/.almanac/files/home/a b/x.csv")) == (
        "home/a b/x.csv"
    )
    assert await roots.resolve_path(str(tmp_path / "ana/work/sub")) == "work/sub"
    assert await roots.resolve_path("/etc/passwd") is None


async def test_a_kernel_goes_on_in_a_folder_that_gets_another_name(
    make: Make, tmp_path: Path
) -> None:
    roots = make(mirror_interval=0.05)
    await roots.save({"type": "directory"}, "home/a")
    await roots.new(notebook(), "home/a/n.ipynb")
    await put(roots, "home/a/x.csv", "one")
    await roots.get_kernel_path("home/a/n.ipynb")
    mirrored = tmp_path / "ana/.almanac/files/home"
    inode = (mirrored / "a").stat().st_ino
    await roots.rename("home/a", "home/b")
    assert (mirrored / "b").stat().st_ino == inode
    (mirrored / "b/out.csv").write_text("out")
    await put(roots, "home/b/y.csv", "two")
    async with asyncio.timeout(30):
        while not ((mirrored / "b/y.csv").exists() and await roots.file_exists("home/b/out.csv")):
            await asyncio.sleep(0.1)
    assert (mirrored / "b/x.csv").read_text() == "one"
    assert not (mirrored / "a").exists()
    assert not await roots.dir_exists("home/a")


async def test_what_a_notebook_writes_while_its_folder_is_renamed_stays(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = make(mirror_interval=60)
    await put(roots, "home/a/x.csv", "first")
    await roots.get_kernel_path("home/a/n.ipynb")
    home, _ = await roots._root("home/a")
    mirrored = tmp_path / "ana/.almanac/files/home"
    sent: list[asyncio.Task[None]] = []
    remove = moves.remove

    async def write_first(*arguments: Any) -> None:
        # All is copied and looked at; nothing of it is removed yet.
        (mirrored / "a/x.csv").write_text("second")
        (mirrored / "a/y.csv").write_text("new")
        sent.append(asyncio.create_task(home.mirror.write_back("a", settled=True)))
        await asyncio.wait(sent, timeout=1)
        await remove(*arguments)

    monkeypatch.setattr(moves, "remove", write_first)
    await roots.rename("home/a", "home/b")
    await asyncio.gather(*sent)
    await home.mirror.sync("b", settled=True)
    for name, content in (("x.csv", "second"), ("y.csv", "new")):
        assert await text(roots, f"home/b/{name}") == content
        assert (mirrored / "b" / name).read_text() == content
    assert not await roots.dir_exists("home/a")


async def test_what_a_notebook_writes_while_its_folder_leaves_the_root_stays(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = make(mirror_interval=60)
    await put(roots, "home/a/x.csv", "first")
    await roots.get_kernel_path("home/a/n.ipynb")
    home, _ = await roots._root("home/a")
    written = tmp_path / "ana/.almanac/files/home/a/x.csv"
    sent: list[asyncio.Task[None]] = []
    delete = home.store.delete

    async def write_first(gone: list[str]) -> None:
        # What is removed has been looked at for the last time.
        written.write_text("second")
        sent.append(asyncio.create_task(home.mirror.write_back("a", settled=True)))
        await asyncio.wait(sent, timeout=1)
        await delete(gone)

    monkeypatch.setattr(home.store, "delete", write_first)
    await roots.rename("home/a", "work/a")
    monkeypatch.undo()
    await asyncio.gather(*sent)
    await home.mirror.sync("a", settled=True)
    assert await text(roots, "work/a/x.csv") == "first"
    assert await text(roots, "home/a/x.csv") == written.read_text() == "second"


async def test_a_kernel_starts_although_the_store_is_down(make: Make, tmp_path: Path) -> None:
    roots = make()
    roots.endpoint_url = "http://127.0.0.1:9"
    roots.mirror_patience = 0.2
    assert await roots.get_kernel_path("home/a/n.ipynb") == ".almanac/files/home/a"
    assert (tmp_path / "ana/.almanac/files/home/a").is_dir()


async def test_what_is_saved_beside_a_running_notebook_arrives_at_once(
    make: Make, tmp_path: Path
) -> None:
    roots = make(mirror_interval=0.05)
    await roots.new(notebook(), "home/a.ipynb")
    await roots.get_kernel_path("home/a.ipynb")
    await put(roots, "home/x.csv", "one")
    arrived = tmp_path / "ana/.almanac/files/home/x.csv"
    async with asyncio.timeout(20):
        while not arrived.exists():
            await asyncio.sleep(0.02)
    assert arrived.read_text() == "one"
