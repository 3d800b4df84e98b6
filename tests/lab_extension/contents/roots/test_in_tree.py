"""The whole path, on a running Almanac: work, home and projects in a person's own server."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
from trees import Tree

from hub_ext.commands.demo.person import Person

pytestmark = [pytest.mark.tree]


def eventually(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


class Analyst(Person):
    """Signed in, at work in a server of their own."""

    def __init__(self, tree: Tree, name: str = "", password: str = ""):
        super().__init__(tree.url)
        self.sign_in(name or tree.user, password or tree.password)
        self.start_server()

    def contents(self, method: str, path: str, /, **body: Any) -> Any:
        answer = self.write(method, f"{self.server}api/contents/{path}", json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def put(self, path: str, text: str) -> None:
        self.contents("PUT", path, type="file", format="text", content=text)

    def text(self, path: str) -> str | None:
        answer = self.http.get(
            f"{self.server}api/contents/{path}", params={"type": "file", "format": "text"}
        )
        return answer.json()["content"] if answer.is_success else None

    def save(self, path: str, *sources: str, tags: tuple[str, ...] = ()) -> None:
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
                for source in sources
            ],
            metadata={"kernelspec": kernel},
        )
        self.contents("PUT", path, type="notebook", format="json", content=notebook)

    def open(self, path: str) -> str:
        """Start the notebook's kernel, as JupyterLab does; its id."""
        answer = self.write(
            "POST",
            f"{self.server}api/sessions",
            json={"path": path, "name": "", "type": "notebook", "kernel": {"name": "python3"}},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["kernel"]["id"])

    def run(self, kernel: str, source: str) -> str:
        """What the source prints; an error fails the test."""
        return asyncio.run(self._run(kernel, source))

    async def _run(self, kernel: str, source: str) -> str:
        cookies = "; ".join(
            f"{cookie.name}={cookie.value}"
            for cookie in self.http.cookies.jar
            if self.server.startswith(cookie.path)
        )
        url = f"{self.url.replace('http', 'ws', 1)}{self.server}api/kernels/{kernel}/channels"
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": uuid.uuid4().hex,
            "username": "",
            "version": "5.3",
            "msg_type": "execute_request",
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "channel": "shell",
            "content": {"code": source, "silent": False, "store_history": False},
            "buffers": [],
        }
        printed = ""
        async with asyncio.timeout(90):
            socket = await websocket_connect(
                HTTPRequest(url, headers={"Cookie": cookies, "Origin": self.url})
            )
            await socket.write_message(json.dumps(message))
            while True:
                answer = json.loads(await socket.read_message() or "{}")
                if answer.get("parent_header", {}).get("msg_id") != header["msg_id"]:
                    continue
                content = answer["content"]
                if answer["msg_type"] == "stream":
                    printed += content["text"]
                assert answer["msg_type"] != "error", content
                if answer["msg_type"] == "status" and content["execution_state"] == "idle":
                    socket.close()
                    return printed


@pytest.fixture(scope="module")
def ana(tree: Tree) -> Iterator[Analyst]:
    person = Analyst(tree)
    for root in ("work", "home", "projects/macro"):
        person.contents("PUT", f"{root}/in-tree", type="directory")
    yield person
    for root in ("work", "home", "projects/macro"):
        person.write("DELETE", f"{person.server}api/contents/{root}/in-tree")
    person.http.close()


def test_the_server_shows_three_folders_and_opens_work(ana: Analyst) -> None:
    top = ana.contents("GET", "")
    assert [entry["path"] for entry in top["content"]] == ["work", "home", "projects"]
    assert "examples" in [entry["name"] for entry in ana.contents("GET", "work")["content"]]
    below = ana.contents("GET", "projects")
    assert [entry["path"] for entry in below["content"]] == ["projects/macro"]
    page = ana.page(f"{ana.server}lab")
    assert '"preferredPath": "work"' in page
    hidden = ana.http.get(f"{ana.server}files/.almanac/hub-token")
    assert hidden.status_code == 404
    for path in (".almanac/hub-token", "work/../.almanac/hub-token"):
        assert ana.http.get(f"{ana.server}api/contents/{path}").status_code == 404


@pytest.mark.parametrize("root", ["work", "home", "projects/macro"])
def test_a_notebook_finds_what_lies_beside_it_and_keeps_what_it_writes(
    ana: Analyst, root: str
) -> None:
    folder = f"{root}/in-tree"
    ana.put(f"{folder}/x.csv", "1,2")
    ana.put(f"{folder}/helper.py", "def half(n): return n // 2")
    ana.save(f"{folder}/report.ipynb", "print(1)")
    kernel = ana.open(f"{folder}/report.ipynb")
    printed = ana.run(
        kernel,
        "import helper, os\n"
        "print(open('x.csv').read(), helper.half(8), sorted(os.listdir())[-1])\n"
        "open('out.csv', 'w').write('made')",
    )
    assert printed.split()[:2] == ["1,2", "4"]
    eventually(lambda: ana.text(f"{folder}/out.csv") == "made")
    ana.put(f"{folder}/later.csv", "later")
    read = "import pathlib\nprint(pathlib.Path('later.csv').exists())"
    eventually(lambda: ana.run(kernel, read).strip() == "True")
    assert ana.run(kernel, "print(open('later.csv').read())").strip() == "later"
    ana.run(kernel, "open('last.csv', 'w').write('last')")
    sessions = ana.http.get(f"{ana.server}api/sessions").json()
    for session in sessions:
        ana.write("DELETE", f"{ana.server}api/sessions/{session['id']}")
    eventually(lambda: ana.text(f"{folder}/last.csv") == "last")


def test_files_move_between_disk_and_object_storage(ana: Analyst) -> None:
    data = base64.b64encode(bytes(range(256)) * 40).decode()
    ana.contents("PUT", "work/in-tree/a", type="directory")
    ana.contents("PUT", "work/in-tree/a/x.bin", type="file", format="base64", content=data)
    for old, new in (("work", "home"), ("home", "projects/macro"), ("projects/macro", "work")):
        moved = ana.contents("PATCH", f"{old}/in-tree/a", path=f"{new}/in-tree/a")
        assert moved["path"] == f"{new}/in-tree/a"
        gone = ana.http.get(f"{ana.server}api/contents/{old}/in-tree/a")
        assert gone.status_code == 404
        file = ana.http.get(f"{ana.server}files/{new}/in-tree/a/x.bin")
        assert file.content == bytes(range(256)) * 40


def test_terminals_open_in_work_or_in_the_folder_that_is_on_disk(ana: Analyst, tree: Tree) -> None:
    home = tree.state / "homes" / tree.user
    for given, wanted in (
        ({}, home / "work"),
        ({"cwd": "work/in-tree"}, home / "work" / "in-tree"),
        ({"cwd": "home/in-tree"}, home / "work"),
    ):
        made = ana.write("POST", f"{ana.server}api/terminals", json=given)
        assert made.is_success, made.text
        name = made.json()["name"]
        try:
            assert asyncio.run(_folder_of_terminal(ana, name)) == str(wanted)
        finally:
            ana.write("DELETE", f"{ana.server}api/terminals/{name}")


async def _folder_of_terminal(ana: Analyst, name: str) -> str:
    cookies = "; ".join(
        f"{cookie.name}={cookie.value}"
        for cookie in ana.http.cookies.jar
        if ana.server.startswith(cookie.path)
    )
    url = f"{ana.url.replace('http', 'ws', 1)}{ana.server}terminals/websocket/{name}"
    seen = ""
    async with asyncio.timeout(60):
        socket = await websocket_connect(
            HTTPRequest(url, headers={"Cookie": cookies, "Origin": ana.url})
        )
        await socket.write_message(json.dumps(["stdin", 'echo "at<$(pwd -P)>"\r']))
        while True:
            kind, *said = json.loads(await socket.read_message() or '["", ""]')
            seen += "".join(said) if kind == "stdout" else ""
            for part in seen.split("at<")[1:]:
                if ">" in part and not part.startswith("$("):
                    socket.close()
                    return part.partition(">")[0].replace("\r", "").replace("\n", "")


@pytest.mark.parametrize(
    ("root", "project"), [("work", None), ("home", None), ("projects/macro", "macro")]
)
def test_notebooks_of_every_root_go_into_production(
    ana: Analyst, root: str, project: str | None
) -> None:
    path = f"{root}/in-tree/go.ipynb"
    ana.save(path, "print('it runs')")
    asked = ana.http.get(f"{ana.server}almanac/api/notebook", params={"path": path})
    assert asked.status_code == 200, asked.text
    described = asked.json()
    assert described["path"] == path
    assert described["name"] == "go"
    assert described["project"] == project
    job = ana.productionize(
        {"path": path, "name": f"In tree {root}", "project": project}, submission=uuid.uuid4().hex
    )
    assert job["notebook_path"] == path
    assert job["project"] == (project or f"user-{ana.name}")
    again = ana.http.get(f"{ana.server}almanac/api/notebook", params={"path": path}).json()
    assert again["job"]["id"] == job["id"]
    # What is saved a moment before is what goes in.
    ana.save(path, "year = 2024", tags=("parameters",))
    changed = ana.http.get(f"{ana.server}almanac/api/notebook", params={"path": path}).json()
    assert [parameter["name"] for parameter in changed["parameters"]] == ["year"]


def test_a_colleague_works_in_the_same_project_and_in_no_other_home(
    ana: Analyst, tree: Tree
) -> None:
    password = "long enough for a test"
    tree.run("users", "remove", "bo", "--yes")
    added = tree.run("users", "add", "bo", "--password-stdin", input=f"{password}\n")
    assert added.returncode == 0, added.stderr
    ana.put("home/in-tree/mine.csv", "ana's")
    ana.put("projects/macro/in-tree/ours.csv", "ours")
    bo = Analyst(tree, "bo", password)
    try:
        assert bo.contents("GET", "home")["content"] == []
        assert bo.text("projects/macro/in-tree/ours.csv") == "ours"
        bo.save("projects/macro/in-tree/bo.ipynb", "1")
        kernel = bo.open("projects/macro/in-tree/bo.ipynb")
        assert bo.run(kernel, "print(open('ours.csv').read())").strip() == "ours"
        # Not even the seconds before the server's end are lost.
        bo.run(kernel, "open('by-bo.csv', 'w').write('written last')")
        bo.stop_server()
        eventually(lambda: not bo.server_runs())
        assert ana.text("projects/macro/in-tree/by-bo.csv") == "written last"
    finally:
        bo.http.close()
        tree.run("users", "remove", "bo", "--yes")
