"""Files of the object store as a browser, pandas and a download tool are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.lab_extension.conftest import Lab, running_lab
from tests.support.object_labs import ObjectLab, object_lab
from tests.support.stores import RunningStore

TEN = b"0123456789"
WORDS = b"nobody else's business"
NAMES = ["a b.csv", "a+b.csv", "50%25.csv", "#1.csv", "prix é.csv", "数据.csv", "a;b='c'.csv"]


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, kernel_python: Path, seaweedfs: RunningStore
) -> Iterator[ObjectLab]:
    folder = tmp_path_factory.mktemp("files")
    with object_lab(folder, kernel_python, seaweedfs, "home/files") as running:
        yield running


def test_a_file_comes_as_it_is(lab: ObjectLab) -> None:
    lab.put("whole/a.csv", TEN)
    answer = lab.file("whole/a.csv")
    assert (answer.status_code, answer.content) == (200, TEN)
    assert answer.headers["content-length"] == "10"
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-disposition" not in answer.headers
    assert answer.headers["etag"].startswith('"')


def test_a_page_that_somebody_stored_cannot_act_as_the_user(lab: ObjectLab) -> None:
    lab.put("page.html", b"<script>parent.evil()</script>")
    answer = lab.file("page.html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert answer.headers["content-type"] == "text/html"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain; charset=UTF-8"),
        ("a.ipynb", "application/x-ipynb+json"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a.csv.bz2", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_media_type_is_the_names(name: str, media_type: str, lab: ObjectLab) -> None:
    # What the store was told is not believed: it would let a .txt be a page.
    lab.put(f"types/{name}", b"x", "text/html")
    assert lab.file(f"types/{name}").headers["content-type"] == media_type


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_had_and_saved_under(name: str, lab: ObjectLab) -> None:
    lab.put(f"names/{name}", name.encode())
    answer = lab.file(f"names/{name}", params={"download": "1"})
    assert (answer.status_code, answer.content) == (200, name.encode())
    given = answer.headers["content-disposition"]
    assert given.startswith("attachment; filename=")
    encoded = given.partition("filename*=UTF-8''")[2]
    assert httpx.URL(f"http://x/{encoded}").path == f"/{name}"


def test_a_notebook_is_always_saved(lab: ObjectLab) -> None:
    lab.put("a.ipynb", b"{}")
    assert "attachment" in lab.file("a.ipynb").headers["content-disposition"]


def test_an_empty_file_is_a_file(lab: ObjectLab) -> None:
    lab.put("empty.csv", b"")
    answer = lab.file("empty.csv")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "0"


def test_a_head_says_what_a_get_would(lab: ObjectLab) -> None:
    lab.put("head/a.csv", TEN)
    got, head = lab.file("head/a.csv"), lab.file("head/a.csv", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert head.headers[name] == got.headers[name]
    assert lab.file("head/b.csv", "HEAD").status_code == 404


@pytest.mark.parametrize(
    ("span", "content", "said"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=0-999", TEN, "bytes 0-9/10"),
    ],
)
def test_a_part_can_be_had(span: str, content: bytes, said: str, lab: ObjectLab) -> None:
    lab.put("part/a.bin", TEN)
    answer = lab.file("part/a.bin", headers={"Range": span})
    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == said
    assert answer.headers["content-length"] == str(len(content))


def test_a_part_that_is_not_there_is_refused(lab: ObjectLab) -> None:
    lab.put("part/b.bin", TEN)
    answer = lab.file("part/b.bin", headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == "bytes */10"


def test_what_the_browser_has_is_not_sent_again(lab: ObjectLab) -> None:
    lab.put("known/a.csv", b"one")
    first = lab.file("known/a.csv")
    known = {"If-None-Match": first.headers["etag"]}
    again = lab.file("known/a.csv", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    since = lab.file("known/a.csv", headers={"If-Modified-Since": first.headers["last-modified"]})
    assert since.status_code == 304
    lab.put("known/a.csv", b"two!")
    changed = lab.file("known/a.csv", headers=known)
    assert (changed.status_code, changed.content) == (200, b"two!")
    resumed = {"Range": "bytes=1-", "If-Range": first.headers["etag"]}
    assert lab.file("known/a.csv", headers=resumed).content == b"two!"


def test_a_missing_file_and_a_folder_have_readable_pages(lab: ObjectLab) -> None:
    lab.put("folder/a.csv", TEN)
    missing = lab.file("folder/b.csv")
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("text/html")
    assert "folder/b.csv" in missing.text
    folder = lab.file("folder")
    assert folder.status_code == 400
    assert "is a folder" in folder.text
    for answer in (missing, folder):
        assert "etag" not in answer.headers
        assert "attachment" not in answer.headers.get("content-disposition", "")


@pytest.mark.parametrize("path", [".secret", "a/.b/c.csv", "..", "../x", "a/../../x", "a\x01b"])
def test_what_is_hidden_or_no_name_is_not_shown(path: str, lab: ObjectLab) -> None:
    if "." in path and ".." not in path:
        lab.put(path, WORDS)
    raw = quote_all(path)
    answer = lab.client.get(f"files/{raw}", params={"download": "1"})
    assert answer.status_code in (400, 404)
    assert WORDS not in answer.content


def quote_all(path: str) -> str:
    return "".join(f"%{byte:02X}" if byte not in b"/" else "/" for byte in path.encode())


def test_only_who_is_signed_in_is_answered(lab: ObjectLab) -> None:
    lab.put("private.csv", WORDS)
    for method in ("GET", "HEAD"):
        url = f"{lab.lab.url}files/private.csv"
        answer = httpx.request(method, url)
        assert answer.status_code in (302, 403)
        assert WORDS not in answer.content


def test_another_site_cannot_include_a_file(lab: ObjectLab) -> None:
    lab.put("private.csv", WORDS)
    with httpx.Client(base_url=lab.lab.url) as browser:
        browser.get("api/status", params={"token": lab.lab.token}).raise_for_status()
        home = browser.get("tree", follow_redirects=False)
        assert home.status_code < 500
        assert browser.cookies
        elsewhere = browser.get("files/private.csv", headers={"Referer": "https://evil.example"})
        assert elsewhere.status_code == 403
        assert WORDS not in elsewhere.content
        here = browser.get("files/private.csv", headers={"Referer": lab.lab.url})
        assert here.content == WORDS


def test_an_earlier_version_is_downloaded_under_its_path(lab: ObjectLab) -> None:
    lab.put("versions/a.csv", b"first")
    lab.put("versions/a.csv", b"second version")
    items = lab.ask("versions", path="versions/a.csv").json()["items"]
    assert [item["size"] for item in items] == [14, 5]
    old = lab.file(items[1]["path"])
    assert (old.status_code, old.content) == (200, b"first")
    assert old.headers["content-length"] == "5"
    part = lab.file(items[1]["path"], headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"ir")
    head = lab.file(items[1]["path"], "HEAD")
    assert (head.status_code, head.headers["content-length"]) == (200, "5")
    saved = lab.file(items[1]["path"], params={"download": "1"})
    assert 'filename="a.csv"' in saved.headers["content-disposition"]
    assert lab.file(items[0]["path"]).content == b"second version"
    assert lab.file(".versions/no-such-version/versions/a.csv").status_code in (400, 404)


@pytest.fixture(scope="module", params=[False, True], ids=["", "hidden too"])
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernel_python: Path
) -> Iterator[Lab]:
    """A server whose folder ``work`` is on its disk, as the platform starts it."""
    folder = tmp_path_factory.mktemp("disk")
    config = folder / "config" / "jupyter_server_config.json"
    config.parent.mkdir()
    manager = "lab_extension.contents.RootsContentsManager"
    hidden = {"allow_hidden": request.param}
    config.write_text(
        json.dumps({"ServerApp": {"contents_manager_class": manager}, "ContentsManager": hidden})
    )
    with running_lab(folder, kernel_python, ALMANAC_STORE_BUCKET="") as lab:
        for place in ("work/a.txt", "work/.b/c.txt", "outside.txt", ".almanac/hub-token"):
            path = lab.root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(WORDS)
        yield lab


def test_files_on_disk_are_served_as_jupyter_does(disk: Lab) -> None:
    url = f"{disk.url}files/work/a.txt"
    answer = disk.api.get(url)
    assert (answer.status_code, answer.content) == (200, WORDS)
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "sandbox" in answer.headers["content-security-policy"]
    part = disk.api.get(url, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, WORDS[1:4])
    head = disk.api.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(WORDS)))
    saved = disk.api.get(url, params={"download": "1"})
    assert "a.txt" in saved.headers["content-disposition"]
    assert disk.api.get(f"{disk.url}files/work/none.txt").status_code == 404
    assert httpx.get(url).status_code in (302, 403)


@pytest.mark.parametrize(
    "path",
    [
        "outside.txt",
        ".almanac/hub-token",
        "work/../outside.txt",
        "work/../.almanac/hub-token",
        "projects/../outside.txt",
        "work/none/../../outside.txt",
        "home/../outside.txt",
        "",
        "projects",
        "work",
        "work/",
    ],
)
def test_nothing_else_of_the_disk_is(path: str, disk: Lab) -> None:
    answer = disk.api.get(f"{disk.url}files/{quote_all(path)}")
    assert answer.status_code in (400, 403, 404)
    assert WORDS not in answer.content


def test_hidden_files_on_disk_are_shown_where_they_may_be(disk: Lab) -> None:
    hidden = "true" in (disk.root.parent / "config/jupyter_server_config.json").read_text()
    answer = disk.api.get(f"{disk.url}files/work/.b/c.txt")
    assert answer.status_code == (200 if hidden else 404)
