"""Versions, deleted files, links and sizes on a running Almanac, with a person's own keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from trees import Tree

from hub_ext.commands.demo.person import Person
from tests.lab_extension.conftest import eventually

pytestmark = [pytest.mark.tree]

FOLDER = "in-tree-api"
ROOTS = ["home", "projects/macro"]


class Analyst(Person):
    """Signed in, with a server of their own."""

    def __init__(self, tree: Tree):
        super().__init__(tree.url)
        self.sign_in(tree.user, tree.password)
        self.start_server()

    def contents(self, method: str, path: str, /, **body: Any) -> httpx.Response:
        return self.write(method, f"{self.server}api/contents/{path}", json=body or None)

    def put(self, path: str, text: str) -> None:
        answer = self.contents("PUT", path, type="file", format="text", content=text)
        assert answer.is_success, answer.text

    def text(self, path: str) -> str:
        answer = self.http.get(f"{self.server}files/{path}", headers={"Referer": f"{self.url}/"})
        assert answer.is_success, answer.text
        return answer.text

    def ask(self, name: str, **query: Any) -> Any:
        answer = self.http.get(f"{self.server}almanac/api/storage/{name}", params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def tell(self, name: str, **body: Any) -> Any:
        answer = self.write("POST", f"{self.server}almanac/api/storage/{name}", json=body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def ana(tree: Tree) -> Iterator[Analyst]:
    person = Analyst(tree)
    for root in ROOTS:
        person.contents("PUT", f"{root}/{FOLDER}", type="directory")
    yield person
    for root in ROOTS:
        person.contents("DELETE", f"{root}/{FOLDER}")
    person.http.close()


@pytest.mark.parametrize("root", ROOTS)
def test_what_was_written_over_or_deleted_comes_back(root: str, ana: Analyst) -> None:
    path = f"{root}/{FOLDER}/a.csv"
    for text in ("one", "second"):
        ana.put(path, text)
    assert ana.ask("info", path=path)["versions"]
    items = ana.ask("versions", path=path)["items"]
    assert [item["size"] for item in items] == [6, 3]
    assert ana.text(items[1]["path"]) == "one"
    assert ana.tell("restore", path=path, version=items[1]["version"])["size"] == 3
    assert ana.text(path) == "one"

    assert ana.contents("DELETE", path).status_code == 204
    (gone,) = ana.ask("deleted", path=f"{root}/{FOLDER}")["items"]
    assert gone["path"] == path
    assert datetime.fromisoformat(gone["recoverable_until"]) > datetime.now(UTC)
    wanted = [{"path": path, "version": gone["version"]}]
    assert ana.tell("undelete", items=wanted) == {"restored": [path]}
    assert ana.text(path) == "one"


@pytest.mark.parametrize("root", ROOTS)
def test_a_link_opens_for_anybody_for_days(root: str, ana: Analyst) -> None:
    path = f"{root}/{FOLDER}/for all é.csv"
    ana.put(path, "shared")
    choices = ana.ask("info", path=path)["share"]["choices"]
    link = ana.tell("share", path=path, seconds=choices[-1])
    assert httpx.get(link["url"]).text == "shared"
    left = datetime.fromisoformat(link["expires"]) - datetime.now(UTC)
    assert left > timedelta(days=6)


def test_sizes_are_told_of_home_and_projects(ana: Analyst) -> None:
    ana.put(f"home/{FOLDER}/size.txt", "x" * 1000)

    def counted() -> Any:
        roots = ana.ask("usage")["roots"]
        return roots if all(root["as_of"] for root in roots) else None

    roots = {root["root"]: root for root in eventually(counted)}
    assert set(roots) == set(ROOTS)
    assert all(root["problem"] is None for root in roots.values())


def test_credentials_are_not_given_through_the_proxy(ana: Analyst, tree: Tree) -> None:
    token = (tree.state / "homes" / tree.user / ".almanac" / "hub-token").read_text()
    answer = httpx.get(
        f"{tree.url}{ana.server}almanac/api/credentials", headers={"Authorization": token}
    )
    assert answer.status_code == 403
    assert "AccessKeyId" not in answer.text
