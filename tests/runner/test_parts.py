"""The runner's parts by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.runner import events, leash, results
from hub_ext.runner.events import EventLog
from hub_ext.runner.execute import shorten, words
from hub_ext.runner.kernel import environment
from hub_ext.runner.outputs import append_stream, overwrite
from hub_ext.runner.results import NotebookFile, html


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_streams_are_gathered_and_keep_their_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e")
    for name, text in (("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")):
        log.stream(0, name, text)
    log.add("cell.finished", cell=0)
    log.close()
    found = [(e["seq"], e["type"], e["data"].get("text")) for e in lines(tmp_path / "e")]  # type: ignore[attr-defined]
    assert found == [
        (1, "stream", "ab"),
        (2, "stream", "c"),
        (3, "stream", "d"),
        (4, "cell.finished", None),
    ]


def test_numbers_go_on_in_a_file_that_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        log = EventLog(tmp_path / "e")
        log.add("x")
        log.close()
    assert [e["seq"] for e in lines(tmp_path / "e")] == [1, 2]


def test_streams_are_bounded_for_a_cell_and_for_a_run(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e")
    for cell in range(50):
        for _ in range(30):
            log.stream(cell, "stdout", "x" * 10_000)
    log.close()
    sizes: dict[int, int] = {}
    for event in lines(tmp_path / "e"):
        data = event["data"]
        sizes[data["cell"]] = sizes.get(data["cell"], 0) + len(data["text"])  # type: ignore[index]
    assert max(sizes.values()) < events.CELL_LIMIT + 100
    assert sum(sizes.values()) < events.RUN_LIMIT + 5000
    assert (tmp_path / "e").read_text().count("more output") == len(sizes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\rb", "b"),
        ("x\na\rb\rc\n", "x\nc\n"),
        ("a\r\nb", "a\r\nb"),
        ("a\r", "a\r"),
        ("plain", "plain"),
    ],
)
def test_lines_that_are_written_over(text: str, expected: str) -> None:
    assert overwrite(text) == expected


@given(st.text(alphabet="ab\r\n", max_size=30), st.integers(0, 30))
def test_pieces_give_what_the_whole_gives(text: str, at: int) -> None:
    whole: list[object] = []
    pieces: list[object] = []
    append_stream(whole, "stdout", text, nbformat.v4.new_output)
    for piece in (text[:at], text[at:]):
        append_stream(pieces, "stdout", piece, nbformat.v4.new_output)
    assert whole == pieces


def test_the_notebook_is_saved_seldom_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(results.time, "monotonic", lambda: clock[0])
    notebook = nbformat.v4.new_notebook()
    file = NotebookFile(tmp_path / "n.ipynb", notebook)

    def saved() -> int:
        return len(json.loads((tmp_path / "n.ipynb").read_text())["cells"])

    def cell(**options: bool) -> int:
        notebook.cells.append(nbformat.v4.new_code_cell("x"))
        file.save(**options)
        return saved()

    assert cell() == 1
    assert cell() == 1
    clock[0] += results.INTERVAL
    assert cell() == 3
    assert cell(now=True) == 4


def test_the_page_needs_nothing_from_anywhere() -> None:
    notebook = nbformat.v4.new_notebook()
    mermaid = nbformat.v4.new_output("display_data", {"text/vnd.mermaid": "graph TD; A-->B"})
    error = nbformat.v4.new_output(
        "error", ename="E", evalue="<b>", traceback=["\x1b[31mred\x1b[0m"]
    )
    cell = nbformat.v4.new_code_cell("%time x", outputs=[mermaid, error])
    notebook.cells = [nbformat.v4.new_markdown_cell("$x^2$\n```mermaid\ngraph\n```"), cell]
    page = html(notebook, "gdp <é>")
    assert "gdp &lt;é&gt;" in page
    assert '<span class="ansi-red-fg">red' in page
    assert "\x1b" not in page
    assert not re.search(r"<script", page)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", page)
    (policy,) = re.findall(r"<meta[^>]*Content-Security-Policy[^>]*>", page)
    assert "default-src data:" in policy
    assert "http:" not in policy
    assert "https:" not in policy


def test_the_kernels_variables() -> None:
    inherited = {"LANG": "de_DE.UTF-8", "no_proxy": "x", "SECRET": "s", "HOME": "/root"}
    env = environment(
        {"HOME": "/other", "A": "1"}, inherited, python=Path("/e/bin/python"), home=Path("/h")
    )
    assert env["LANG"] == "de_DE.UTF-8"
    assert env["no_proxy"] == "x"
    assert env["HOME"] == "/other"
    assert env["A"] == "1"
    assert env["PATH"].startswith("/e/bin:")
    assert "SECRET" not in env


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (0.5, "0.5 seconds"),
        (60, "1 minute"),
        (5400, "90 minutes"),
        (86400, "24 hours"),
    ],
)
def test_limits_in_words(seconds: float, expected: str) -> None:
    assert words(seconds) == expected


@given(st.lists(st.text(max_size=200), max_size=40), st.integers(1, 500))
def test_a_shortened_traceback_keeps_both_ends(text: list[str], limit: int) -> None:
    short = shorten(text, limit)
    if short != text:
        assert sum(map(len, short)) <= limit + 10
        assert "[…]" in short


def leashed(*command: str) -> subprocess.CompletedProcess[str]:
    """The command on a leash whose other end is a process of Python."""
    script = (
        "import os, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-I', '-S', sys.argv[1], str(os.getpid()),"
        " *sys.argv[2:]])\n"
        "sys.exit(done.returncode if done.returncode >= 0 else 100 - done.returncode)"
    )
    return subprocess.run(
        [sys.executable, "-c", script, leash.__file__, *command],
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -SEGV $$"), 111),
        (("sh", "-c", "kill -KILL $$"), 109),
        (("/no/such/command",), 127),
    ],
)
def test_the_leash_ends_as_its_command_does(command: tuple[str, ...], status: int) -> None:
    assert leashed(*command).returncode == status


def test_the_leash_ends_what_its_command_left_behind() -> None:
    # The reader of the pipe sees its end only once every holder is gone.
    done = leashed("sh", "-c", "setsid sh -c 'sleep 300 & trap \"\" TERM; sleep 300' & sleep 0.2")
    assert done.returncode == 0


def test_a_leash_without_a_holder_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", leash.__file__, "1", "echo", "started"],
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, b"")
