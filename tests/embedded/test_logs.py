"""Log files: within bounds, and readable from the end."""

from __future__ import annotations

import os
from pathlib import Path

from hub_ext.embedded import logs


def test_a_large_log_is_put_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "servers" / "ana.log"
    writer = logs.open_for_append(path)
    for number in range(1, 5):
        os.write(writer, f"{number}".encode() * 100)
        assert logs.bound(tmp_path, limit=50, kept=2) == [path]
    os.write(writer, b"after")
    os.close(writer)
    assert path.read_text() == "after"
    assert (path.parent / "ana.log.1").read_text() == "4" * 100
    assert (path.parent / "ana.log.2").read_text() == "3" * 100
    assert not (path.parent / "ana.log.3").exists()
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_small_log_stays(tmp_path: Path) -> None:
    (tmp_path / "hub.log").write_text("short")
    assert logs.bound(tmp_path) == []
    assert (tmp_path / "hub.log").read_text() == "short"


def test_the_tail_has_no_colours_and_no_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    path.write_text("one\n\n\x1b[32mtwo\x1b[39m\nthree\n")
    assert logs.tail(path, 2) == ["two", "three"]
    assert logs.tail(tmp_path / "none.log") == []


def test_the_tail_of_a_huge_file_is_read_from_its_end_only(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    path.write_text("x" * 100_000 + "\nlast\n")
    assert logs.tail(path, 5, reach=10)[-1] == "last"
