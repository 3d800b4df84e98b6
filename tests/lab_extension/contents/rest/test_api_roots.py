"""The same questions on a server as the platform starts it: work, home and projects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from fastapi.responses import JSONResponse
from obstore.store import S3Store

from hub_ext.names import Right
from hub_ext.storage.credentials import CredentialsBroker
from tests.lab_extension.conftest import TOKEN, Lab, StandIn, eventually, running_lab
from tests.support.stores import RunningStore

HOME, PRICES, OTHERS = "home/ana/", "projects/prices/", "projects/others/"
RIGHTS = [Right.READ, Right.SUBMIT]


def me(rights: list[Right] = RIGHTS, share_seconds: int = 7 * 24 * 3600) -> JSONResponse:
    """What the job service says of ana, who is in ``prices`` and, it says, in ``others``."""
    project = {"writable": True, "quota_bytes": None, "used_bytes": None, "roles": ["member"]}
    return JSONResponse(
        {
            "name": "ana",
            "kind": "user",
            "rights": [str(right) for right in rights],
            "projects": [
                {"slug": "user-ana", "title": "ana", "personal": True, **project},
                {"slug": "prices", "title": "Prices", "personal": False, **project}
                | {"quota_bytes": 10**9},
                {"slug": "others", "title": "Others", "personal": False, **project},
            ],
            "storage": {
                "bucket": "almanac",
                "share_seconds": share_seconds,
                "keep_deleted_days": 30,
            },
        }
    )


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory,
    kernel_python: Path,
    seaweedfs: RunningStore,
    standing_service: StandIn,
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("roots")
    config = folder / "config" / "jupyter_server_config.json"
    config.parent.mkdir()
    manager = "lab_extension.contents.RootsContentsManager"
    config.write_text(json.dumps({"ServerApp": {"contents_manager_class": manager}}))
    with running_lab(
        folder,
        kernel_python,
        ALMANAC_JOBS_URL=standing_service.url,
        JUPYTERHUB_API_TOKEN=TOKEN,
        ALMANAC_STORE_BUCKET=seaweedfs.bucket,
        AWS_ENDPOINT_URL_S3=seaweedfs.endpoint,
        AWS_REGION=seaweedfs.region,
    ) as lab:
        yield lab


@pytest.fixture
def lab(standing: Lab, service: StandIn, seaweedfs: RunningStore) -> Lab:
    service.refuse["me"] = me()
    broker = CredentialsBroker(
        seaweedfs.endpoint, seaweedfs.bucket, seaweedfs.region, **seaweedfs.keys
    )
    # Of the store's own making: they do not reach the others, whatever is asked.
    service.refuse["credentials"] = JSONResponse(
        broker(read=[HOME, PRICES], write=[HOME, PRICES], delete=[], name="ana")
    )
    return standing


@pytest.fixture
def bucket(seaweedfs: RunningStore) -> S3Store:
    return S3Store(
        seaweedfs.bucket,
        endpoint=seaweedfs.endpoint,
        region=seaweedfs.region,
        access_key_id=seaweedfs.access_key,
        secret_access_key=seaweedfs.secret_key,
        client_options={"allow_http": True},
    )


def ask(lab: Lab, name: str, **query: Any) -> httpx.Response:
    return lab.api.get(f"storage/{name}", params=query)


def tell(lab: Lab, name: str, **body: Any) -> httpx.Response:
    return lab.api.post(f"storage/{name}", json=body)


def test_each_root_is_named_and_has_its_place(lab: Lab) -> None:
    home = ask(lab, "info", path="home/a/b.csv").json()
    assert (home["kind"], home["root"], home["uri"]) == (
        "object",
        "home",
        "s3://almanac/home/ana/a/b.csv",
    )
    project = ask(lab, "info", path="projects/prices/a.csv").json()
    assert (project["root"], project["uri"]) == (
        "projects/prices",
        "s3://almanac/projects/prices/a.csv",
    )
    for path in ("work", "work/a.csv", "", "projects"):
        disk = ask(lab, "info", path=path).json()
        assert (disk["kind"], disk["uri"]) == ("disk", None)
        assert not disk["share"]["allowed"]


def test_a_path_that_is_on_disk_has_no_versions(lab: Lab) -> None:
    (lab.root / "work/a.csv").write_text("a")
    for name in ("versions", "deleted", "code"):
        answer = ask(lab, name, path="work/a.csv")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-object-storage")
        assert answer.json()["mend"]


def test_versions_open_under_their_root(lab: Lab, bucket: S3Store) -> None:
    for text in (b"one", b"second"):
        obstore.put(bucket, f"{PRICES}sub/v 1.csv", text)
    path = "projects/prices/sub/v 1.csv"
    new, old = ask(lab, "versions", path=path).json()["items"]
    assert old["path"].startswith("projects/prices/.versions/")
    url = httpx.URL(lab.url).copy_with(path=f"/files/{old['path']}")
    assert lab.api.get(url).content == b"one"
    restored = tell(lab, "restore", path=path, version=old["version"])
    assert restored.status_code == 200, restored.text
    assert (restored.json()["path"], restored.json()["size"]) == (path, 3)
    assert new["latest"]


def test_deleted_files_are_named_by_whole_paths_and_come_back(lab: Lab, bucket: S3Store) -> None:
    obstore.put(bucket, f"{HOME}bin/x.csv", b"x")
    obstore.delete(bucket, f"{HOME}bin/x.csv")
    for folder in ("home", "home/bin"):
        found = ask(lab, "deleted", path=folder).json()["items"]
        assert [item["path"] for item in found] == ["home/bin/x.csv"]
    (item,) = found
    kept = datetime.fromisoformat(item["recoverable_until"]) - datetime.now(UTC)
    assert timedelta(days=29) < kept < timedelta(days=30)
    wanted = [{"path": item["path"], "version": item["version"]}]
    assert tell(lab, "undelete", items=wanted).json() == {"restored": ["home/bin/x.csv"]}
    assert bytes(obstore.get(bucket, f"{HOME}bin/x.csv").bytes()) == b"x"


def test_sizes_of_all_roots_are_told(lab: Lab, bucket: S3Store) -> None:
    obstore.put(bucket, f"{PRICES}size.bin", b"x" * 5000)

    def counted() -> dict[str, Any] | None:
        roots = {root["root"]: root for root in ask(lab, "usage").json()["roots"]}
        done = {"home", "projects/prices"} <= roots.keys() and all(
            not root["counting"] for root in roots.values()
        )
        return roots if done else None

    roots = eventually(counted)
    assert roots["projects/prices"]["size"] >= 5000
    assert roots["projects/prices"]["title"] == "Prices"
    assert roots["projects/prices"]["limit"] == 10**9
    # A store that refuses one of them says so there, and the others are told.
    assert roots["projects/others"]["problem"]["status"] == 403
    assert roots["home"]["problem"] is None


def test_what_is_another_persons_is_refused_by_the_store(lab: Lab, bucket: S3Store) -> None:
    obstore.put(bucket, f"{OTHERS}a.csv", b"not for ana")
    path = "projects/others/a.csv"
    version = "3f2504e04f8911d39a0c0305e82c3301"
    answers = [
        ask(lab, "versions", path=path),
        ask(lab, "deleted", path="projects/others"),
        tell(lab, "restore", path=path, version=version),
        tell(lab, "undelete", items=[{"path": path, "version": version}]),
        lab.api.get(f"{lab.url}files/{path}"),
    ]
    for answer in answers:
        assert answer.status_code in (403, 404), answer.text
        assert b"not for ana" not in answer.content
    assert bytes(obstore.get(bucket, f"{OTHERS}a.csv").bytes()) == b"not for ana"


@pytest.mark.parametrize("path", ["home", "home/", "projects/prices"])
def test_a_root_is_a_folder(path: str, lab: Lab) -> None:
    page = lab.api.get(f"{lab.url}files/{path}")
    assert page.status_code == 400, page.text
    assert "is a folder" in page.text
    for answer in (
        ask(lab, "versions", path=path),
        tell(lab, "share", path=path, seconds=300),
        tell(lab, "restore", path=path, version="v"),
        tell(lab, "undelete", items=[{"path": path, "version": "v"}]),
    ):
        assert answer.status_code in (404, 409, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["projects/nobody/a.csv", "home/../projects/x", "elsewhere/a"])
def test_what_is_no_root_is_not_there(path: str, lab: Lab) -> None:
    for name in ("info", "versions", "deleted", "code"):
        answer = ask(lab, name, path=path)
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_who_may_only_read_changes_nothing(lab: Lab, service: StandIn, bucket: S3Store) -> None:
    obstore.put(bucket, f"{HOME}ro.csv", b"one")
    obstore.put(bucket, f"{HOME}ro.csv", b"two")
    old = ask(lab, "versions", path="home/ro.csv").json()["items"][1]
    service.refuse["me"] = me([Right.READ])
    eventually(lambda: not ask(lab, "info", path="home/ro.csv").json()["writable"])
    for answer in (
        tell(lab, "restore", path="home/ro.csv", version=old["version"]),
        tell(lab, "undelete", items=[{"path": "home/ro.csv", "version": old["version"]}]),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "read-only")
    assert bytes(obstore.get(bucket, f"{HOME}ro.csv").bytes()) == b"two"
    service.refuse["me"] = me()
    eventually(lambda: ask(lab, "info", path="home/ro.csv").json()["writable"])


def test_the_platform_makes_the_links(lab: Lab, service: StandIn, bucket: S3Store) -> None:
    obstore.put(bucket, f"{HOME}shared.csv", b"one")
    expires = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    service.refuse["share"] = JSONResponse(
        {"url": "https://x", "expires": expires, "reach": "network"}
    )
    assert ask(lab, "info", path="home/shared.csv").json()["share"]["choices"][-1] == 604800
    made = tell(lab, "share", path="home/shared.csv", seconds=604800)
    assert made.json()["url"] == "https://x"
    asked = next(json.loads(body) for _, path, _, body in service.seen if path == "share")
    assert asked["key"] == "home/ana/shared.csv"
    service.problem("share", 404, "not-found", title="There is no object.")
    refused = tell(lab, "share", path="home/shared.csv", seconds=604800)
    assert (refused.status_code, refused.json()["title"]) == (404, "There is no object.")
