"""What the file browser is answered about object storage, by a real server on a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab_extension.conftest import Lab, eventually
from tests.support.object_labs import ObjectLab, object_lab
from tests.support.stores import RunningStore

READS = ["info", "code", "versions", "deleted"]


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, kernel_python: Path, seaweedfs: RunningStore
) -> Iterator[ObjectLab]:
    folder = tmp_path_factory.mktemp("api")
    with object_lab(folder, kernel_python, seaweedfs, "home/api") as running:
        yield running


def problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    """The problem document, which says what is wrong."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["title"]
    if code:
        assert document["code"] == code
    return document


def versions(lab: ObjectLab, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = lab.ask("versions", path=path).json()["items"]
    return items


def test_a_file_is_where_it_is_said_to_be(lab: ObjectLab) -> None:
    lab.put("info/a.csv")
    found = lab.ask("info", path="info/a.csv").json()
    assert found["kind"] == "object"
    assert found["uri"] == f"s3://{lab.store.bucket}/home/api/info/a.csv"
    assert (found["root"], found["writable"], found["versions"]) == ("", True, True)
    share = found["share"]
    assert share["allowed"]
    assert share["default"] in share["choices"]
    assert "127.0.0.1" in share["note"]


def test_a_servers_own_disk_is_no_object_storage(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab()
    for name in (*READS, "usage"):
        answer = lab.api.get(f"storage/{name}", params={"path": "a.csv"})
        assert "object storage" in problem(answer, 404, "not-object-storage")["title"]
    answer = lab.api.post("storage/share", json={"path": "a.csv", "seconds": 300})
    problem(answer, 404, "not-object-storage")


def test_code_that_reads_a_file_names_it(lab: ObjectLab) -> None:
    pytest.importorskip("lab_extension.contents.rest.snippets")
    lab.put("code/prix 'é.csv")
    items = lab.ask("code", path="code/prix 'é.csv").json()["items"]
    assert {"id", "label", "language", "code"} <= set(items[0])
    assert {item["language"] for item in items} >= {"python"}


def test_a_share_link_opens_the_file_without_a_sign_in(lab: ObjectLab) -> None:
    lab.put("share/a b+é.csv", b"shared")
    answer = lab.tell("share", path="share/a b+é.csv", seconds=3600)
    assert answer.status_code == 200, answer.text
    link = answer.json()
    assert httpx.get(link["url"]).content == b"shared"
    left = (datetime.fromisoformat(link["expires"]) - datetime.now(UTC)).total_seconds()
    assert 3500 < left <= 3600
    assert link["url"] not in lab.lab.log.read_text()


def test_an_earlier_version_can_be_shared(lab: ObjectLab) -> None:
    lab.put("share/v.csv", b"first")
    lab.put("share/v.csv", b"second")
    old = versions(lab, "share/v.csv")[1]["path"]
    link = lab.tell("share", path=old, seconds=300).json()
    assert httpx.get(link["url"]).content == b"first"


def test_a_link_to_nothing_to_a_folder_or_for_too_long_is_refused(lab: ObjectLab) -> None:
    lab.put("share/folder/a.csv")
    problem(lab.tell("share", path="share/none.csv", seconds=300), 404, "not-found")
    problem(lab.tell("share", path="share/folder", seconds=300), 422)
    for seconds in (0, 8 * 24 * 3600):
        document = problem(lab.tell("share", path="share/folder/a.csv", seconds=seconds), 422)
        assert document["field"] == "seconds"


def test_versions_are_listed_opened_and_restored(lab: ObjectLab) -> None:
    for text in (b"one", b"two!", b"three"):
        lab.put("history/a b.csv", text)
    items = versions(lab, "history/a b.csv")
    assert [item["size"] for item in items] == [5, 4, 3]
    assert [item["latest"] for item in items] == [True, False, False]
    opened = lab.client.get(f"api/contents/{httpx.URL('http://x/' + items[2]['path']).path[1:]}")
    assert opened.json()["content"] == "one"
    assert opened.json()["writable"] is False

    model = lab.tell("restore", path="history/a b.csv", version=items[2]["version"])
    assert model.status_code == 200, model.text
    assert (model.json()["path"], model.json()["content"]) == ("history/a b.csv", None)
    assert lab.read("history/a b.csv") == b"one"
    # Nothing is lost by it.
    assert [item["size"] for item in versions(lab, "history/a b.csv")] == [3, 5, 4, 3]


def test_an_old_version_stays_as_it_is(lab: ObjectLab) -> None:
    lab.put("history/old.csv", b"one")
    (item,) = versions(lab, "history/old.csv")
    answer = lab.tell("restore", path=item["path"], version=item["version"])
    assert "old version" in problem(answer, 403, "read-only")["title"]


def test_a_long_history_comes_in_pages(lab: ObjectLab) -> None:
    for number in range(5):
        lab.put("pages/a.csv", b"x" * (number + 1))
    sizes: list[int] = []
    after = ""
    while after is not None:
        page = lab.ask("versions", path="pages/a.csv", limit=2, after=after).json()
        assert len(page["items"]) <= 2
        sizes += [item["size"] for item in page["items"]]
        after = page["next"]
    assert sizes == [5, 4, 3, 2, 1]
    problem(lab.ask("versions", path="pages/a.csv", after="no-such"), 422)
    for limit in ("0", "-1", "x", "1001", "٣"):
        assert (
            problem(lab.ask("versions", path="pages/a.csv", limit=limit), 422)["field"] == "limit"
        )


def test_what_is_not_there_has_no_versions(lab: ObjectLab) -> None:
    problem(lab.ask("versions", path="nothing.csv"), 404)
    lab.put("some/folder/a.csv")
    problem(lab.ask("versions", path="some/folder"), 422)


def test_a_version_that_is_none_cannot_be_restored(lab: ObjectLab) -> None:
    lab.put("none/a.csv", b"one")
    document = problem(lab.tell("restore", path="none/a.csv", version="no-such"), 404)
    assert document["field"] == "version"
    lab.remove("none/a.csv")
    mark = next(item for item in versions(lab, "none/a.csv") if item["deleted"])
    assert mark["path"] is None
    problem(lab.tell("restore", path="none/a.csv", version=mark["version"]), 422)
    old = next(item for item in versions(lab, "none/a.csv") if not item["deleted"])
    assert lab.tell("restore", path="none/a.csv", version=old["version"]).status_code == 200
    assert lab.read("none/a.csv") == b"one"


def test_deleted_files_are_listed_and_come_back(lab: ObjectLab) -> None:
    for name in ("a.csv", "sub/b.csv", ".hidden/c.csv", "stays.csv"):
        lab.put(f"bin/{name}", name.encode())
    for name in ("a.csv", "sub/b.csv", ".hidden/c.csv"):
        lab.remove(f"bin/{name}")
    found = lab.ask("deleted", path="bin").json()
    items = found["items"]
    assert found["versions"]
    assert {item["path"] for item in items} == {"bin/a.csv", "bin/sub/b.csv"}
    assert {item["name"] for item in items} == {"a.csv", "b.csv"}
    assert {item["size"] for item in items} == {5, 9}
    for item in items:
        age = datetime.now(UTC) - datetime.fromisoformat(item["deleted_at"])
        assert age.total_seconds() < 300

    wanted = [{"path": item["path"], "version": item["version"]} for item in items]
    answer = lab.tell("undelete", items=wanted)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["restored"]) == {"bin/a.csv", "bin/sub/b.csv"}
    assert lab.read("bin/a.csv") == b"a.csv"
    assert lab.read("bin/sub/b.csv") == b"sub/b.csv"
    assert lab.ask("deleted", path="bin").json()["items"] == []


def test_deleted_files_come_in_pages(lab: ObjectLab) -> None:
    for number in range(5):
        lab.put(f"many/{number}.csv")
        lab.remove(f"many/{number}.csv")
    seen: list[str] = []
    after = ""
    while after is not None:
        page = lab.ask("deleted", path="many", limit=2, after=after).json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        after = page["next"]
    assert sorted(seen) == [f"{number}.csv" for number in range(5)]


def test_what_is_there_again_is_never_written_over(lab: ObjectLab) -> None:
    for name in ("a.csv", "b.csv", "c"):
        lab.put(f"again/{name}", b"old")
        lab.remove(f"again/{name}")
    items = [
        {"path": item["path"], "version": item["version"]}
        for item in lab.ask("deleted", path="again").json()["items"]
    ]
    lab.put("again/a.csv", b"new")
    lab.put("again/c/x.csv", b"in a folder of that name")
    document = problem(lab.tell("undelete", items=items), 409)
    assert set(document["paths"]) == {"again/a.csv", "again/c"}
    assert lab.read("again/a.csv") == b"new"
    with pytest.raises(FileNotFoundError):
        lab.read("again/b.csv")
    b = [item for item in items if item["path"] == "again/b.csv"]
    problem(lab.tell("undelete", items=b * 2), 409)
    assert lab.tell("undelete", items=b).json() == {"restored": ["again/b.csv"]}


def test_a_version_that_is_gone_cannot_come_back(lab: ObjectLab) -> None:
    lab.put("gone/a.csv")
    lab.remove("gone/a.csv")
    mark = versions(lab, "gone/a.csv")[0]
    assert mark["deleted"]
    for version in ("no-such", mark["version"]):
        item = {"path": "gone/a.csv", "version": version}
        assert problem(lab.tell("undelete", items=[item]), 404)["restored"] == []


def test_sizes_are_told_after_a_moment(lab: ObjectLab) -> None:
    lab.put("usage/a.csv", b"x" * 1000)

    def counted() -> Any:
        (root,) = lab.ask("usage").json()["roots"]
        return root if root["as_of"] else None

    root = eventually(counted)
    assert root["size"] >= 1000
    assert root["objects"] >= 1
    assert (root["root"], root["limit"], root["writable"]) == ("", None, True)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "a/../../b", "a\x00b", ".hidden/a.csv", "x" * 5000]
)
def test_a_path_that_is_none_is_refused_by_every_endpoint(path: str, lab: ObjectLab) -> None:
    for name in READS:
        answer = lab.ask(name, path=path)
        assert answer.status_code in (400, 404), answer.text
        problem(answer, answer.status_code)
    for name, body in (
        ("share", {"path": path, "seconds": 300}),
        ("restore", {"path": path, "version": "v"}),
        ("undelete", {"items": [{"path": path, "version": "v"}]}),
    ):
        answer = lab.tell(name, **body)
        assert answer.status_code in (400, 404), answer.text
        problem(answer, answer.status_code)


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("share", b"", "path"),
        ("share", b"{", None),
        ("share", b"[]", None),
        ("share", b'{"path": "a", "seconds": "300"}', "seconds"),
        ("share", b'{"path": "a", "seconds": 1e400}', "seconds"),
        ("share", b'{"path": "a", "seconds": 300, "more": 1}', "more"),
        ("restore", b'{"path": "a", "version": ""}', "version"),
        ("restore", b'{"path": 1, "version": "v"}', "path"),
        ("undelete", b'{"items": []}', "items"),
        ("undelete", b'{"items": [{"path": "a"}]}', "items.0.version"),
        ("share", b'{"path": "\xff", "seconds": 300}', None),
    ],
)
def test_a_request_that_makes_no_sense_is_told_what_is_wrong(
    name: str, body: bytes, field: str | None, lab: ObjectLab
) -> None:
    answer = lab.client.post(f"almanac/api/storage/{name}", content=body)
    assert problem(answer, 422).get("field") == field


def test_too_much_at_once_is_refused(lab: ObjectLab) -> None:
    item = {"path": "a", "version": "v"}
    problem(lab.tell("undelete", items=[item] * 1001), 422)
    problem(lab.tell("undelete", items=[{"path": "x" * 5_000_000, "version": "v"}]), 422)


def test_the_folder_at_the_top_is_a_folder(lab: ObjectLab) -> None:
    assert "is a folder" in lab.file("").text
    assert lab.ask("info", path="").json()["uri"] == f"s3://{lab.store.bucket}/home/api"
    for answer in (
        lab.tell("share", path="", seconds=300),
        lab.tell("restore", path="/", version="v"),
        lab.tell("undelete", items=[{"path": "", "version": "v"}]),
    ):
        assert answer.status_code in (404, 409, 422), answer.text
        problem(answer, answer.status_code)


def test_a_path_is_asked_for(lab: ObjectLab) -> None:
    for name in ("code", "versions"):
        assert problem(lab.ask(name), 422)["field"] == "path"


def test_writes_need_the_pages_own_token(lab: ObjectLab) -> None:
    lab.put("xsrf.csv")
    with httpx.Client(base_url=lab.lab.url) as browser:
        browser.get("api/status", params={"token": lab.lab.token}).raise_for_status()
        browser.get("tree")
        assert browser.cookies
        for name in ("share", "restore", "undelete"):
            assert browser.post(f"almanac/api/storage/{name}", json={}).status_code == 403


def test_only_who_is_signed_in_is_answered(lab: ObjectLab) -> None:
    for name in (*READS, "usage"):
        answer = httpx.get(f"{lab.lab.url}almanac/api/storage/{name}", params={"path": "a"})
        assert answer.status_code == 403


def test_links_can_be_switched_off(
    tmp_path: Path, kernel_python: Path, seaweedfs: RunningStore, place: str
) -> None:
    with object_lab(
        tmp_path / "lab",
        kernel_python,
        seaweedfs,
        place,
        settings={"Sharing": {"allowed": False}},
    ) as lab:
        lab.put("a.csv")
        assert lab.ask("info", path="a.csv").json()["share"]["allowed"] is False
        problem(lab.tell("share", path="a.csv", seconds=300), 403, "sharing-off")


def test_what_there_is_no_room_for_does_not_come_back(
    tmp_path: Path, kernel_python: Path, seaweedfs: RunningStore, place: str
) -> None:
    traits = {"quota_bytes": 100}
    with object_lab(tmp_path / "lab", kernel_python, seaweedfs, place, traits=traits) as lab:
        lab.put("a.csv", b"x" * 90)
        lab.put("a.csv", b"x" * 20)
        lab.put("b.csv", b"x" * 85)
        lab.remove("b.csv")
        (gone,) = lab.ask("deleted").json()["items"]
        wanted = {"path": "b.csv", "version": gone["version"]}
        assert problem(lab.tell("undelete", items=[wanted]), 507)["limit"] == 100
        # In the place of what is there now there is.
        old = versions(lab, "a.csv")[1]
        assert lab.tell("restore", path="a.csv", version=old["version"]).status_code == 200
        (root,) = lab.ask("usage").json()["roots"]
        assert root["limit"] == 100


def test_a_bucket_without_versions_says_so(
    tmp_path: Path, kernel_python: Path, seaweedfs: RunningStore
) -> None:
    bucket = seaweedfs.new_bucket()
    with object_lab(
        tmp_path / "lab", kernel_python, seaweedfs, "home/x", traits={"bucket": bucket}
    ) as lab:
        lab.put("a.csv", b"only")
        assert lab.ask("info", path="a.csv").json()["versions"] is False
        found = lab.ask("versions", path="a.csv").json()
        assert (found["versions"], found["next"]) == (False, None)
        assert lab.ask("deleted").json() == {"items": [], "versions": False, "next": None}


def test_a_store_that_is_down_is_said_to_be(
    tmp_path: Path, kernel_python: Path, seaweedfs: RunningStore
) -> None:
    traits = {"endpoint_url": "http://127.0.0.1:9"}
    with object_lab(tmp_path / "lab", kernel_python, seaweedfs, "home/x", traits=traits) as lab:
        for name in ("versions", "deleted"):
            problem(lab.ask(name, path="a.csv"), 503)
        problem(lab.tell("share", path="a.csv", seconds=300), 503)
        page = lab.file("a.csv")
        assert page.status_code == 503
        assert "127.0.0.1:9" in page.text
        usage = lab.ask("usage")
        assert usage.status_code == 200
        eventually(lambda: lab.ask("usage").json()["roots"][0]["problem"])


def test_it_is_the_same_on_every_kind_of_store(
    tmp_path: Path, kernel_python: Path, any_store: RunningStore, place: str
) -> None:
    with object_lab(tmp_path / "lab", kernel_python, any_store, place) as lab:
        for text in (b"one", b"second"):
            lab.put("a é.csv", text)
        part = lab.file("a é.csv", headers={"Range": "bytes=-3"})
        assert (part.status_code, part.content) == (206, b"ond")
        same = lab.file("a é.csv", headers={"If-None-Match": part.headers["etag"]})
        assert same.status_code == 304
        link = lab.tell("share", path="a é.csv", seconds=300).json()
        assert httpx.get(link["url"]).content == b"second"
        if not lab.ask("info", path="a é.csv").json()["versions"]:
            assert not any_store.versioned
            return
        old = versions(lab, "a é.csv")[1]
        assert lab.file(old["path"]).content == b"one"
        assert lab.tell("restore", path="a é.csv", version=old["version"]).status_code == 200
        assert lab.read("a é.csv") == b"one"
        lab.remove("a é.csv")
        (gone,) = lab.ask("deleted").json()["items"]
        wanted = [{"path": gone["path"], "version": gone["version"]}]
        assert lab.tell("undelete", items=wanted).json() == {"restored": ["a é.csv"]}
        assert lab.read("a é.csv") == b"one"
