"""What a mirror and the store have to tell each other: a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_extension.contents.roots import mirror_files as files
from lab_extension.contents.roots.mirror_plan import (
    Act,
    Agreed,
    Here,
    There,
    act,
    act_unseen,
    choose,
    fetched,
    note,
    spoken_size,
    unfit,
    written_back,
)

OLD, NEW = There("old", 3), There("new", 4)
HERE, EDITED = Here(3, 100), Here(3, 200)
AGREED = Agreed("old", 3, 100)


@pytest.mark.parametrize(
    ("there", "here", "agreed", "wanted"),
    [
        (None, None, None, Act.NOTHING),
        (None, None, AGREED, Act.FORGET),
        (OLD, None, None, Act.FETCH),
        # Deleting here deletes nothing there: it comes back.
        (OLD, None, AGREED, Act.FETCH),
        (OLD, HERE, AGREED, Act.NOTHING),
        (NEW, HERE, AGREED, Act.FETCH),
        (None, HERE, AGREED, Act.REMOVE),
        (OLD, EDITED, AGREED, Act.REPLACE),
        (NEW, EDITED, AGREED, Act.COMPARE),
        (None, EDITED, AGREED, Act.CREATE),
        (None, HERE, None, Act.CREATE),
        (OLD, HERE, None, Act.COMPARE),
    ],
)
def test_what_is_to_be_done(
    there: There | None, here: Here | None, agreed: Agreed | None, wanted: Act
) -> None:
    assert act(there, here, agreed) is wanted


@pytest.mark.parametrize(
    ("here", "agreed", "wanted"),
    [
        (None, AGREED, Act.NOTHING),
        (HERE, AGREED, Act.NOTHING),
        (EDITED, AGREED, Act.REPLACE),
        (HERE, None, Act.CREATE),
    ],
)
def test_without_asking_the_store_only_what_changed_here_matters(
    here: Here | None, agreed: Agreed | None, wanted: Act
) -> None:
    assert act_unseen(here, agreed) is wanted


def test_what_lies_near_and_is_small_comes_first_and_the_notebook_always() -> None:
    there = {
        "big.csv": There("a", 900),
        "small.csv": There("b", 50),
        "sub/far.csv": There("c", 10),
        "report.ipynb": There("d", 5000),
    }
    chosen = choose(there, first="report.ipynb", most_bytes=5060, most_files=10)
    assert chosen.paths == {"report.ipynb", "small.csv", "sub/far.csv"}
    assert chosen.left_out == {"big.csv": "all together are larger than 5.06 kB"}
    few = choose(there, first="report.ipynb", most_bytes=10**9, most_files=2)
    assert few.paths == {"report.ipynb", "small.csv"}
    assert few.left_out["sub/far.csv"] == "there are more than 2 files"


@pytest.mark.parametrize("name", ["a/../b", "a//b", "./x", "x/" + "é" * 128])
def test_names_that_no_disk_has_are_left_out(name: str) -> None:
    assert unfit(name)
    assert name in choose({name: OLD}, most_bytes=10, most_files=10).left_out


def test_a_file_with_the_name_of_a_folder_is_left_out() -> None:
    there = {"a": OLD, "a/b": OLD}
    assert choose(there, most_bytes=10, most_files=10).paths == {"a/b"}


@pytest.mark.parametrize(
    ("path", "is_fetched", "is_written_back"),
    [
        ("x.csv", True, True),
        ("sub/helper.py", True, True),
        (".env", True, False),
        ("x.csv.tmp", True, False),
        ("renv.lock", True, True),
        ("~$x.xlsx", True, False),
        ("__pycache__/helper.pyc", False, False),
        (".git/config", False, False),
        (".ipynb_checkpoints/x-checkpoint.ipynb", False, False),
        (".s3keep", False, False),
        (".almanac-mirror.txt", False, False),
        (".almanac-part-0123", False, False),
    ],
)
def test_which_files_go_there_and_back(path: str, is_fetched: bool, is_written_back: bool) -> None:
    assert fetched(path) is is_fetched
    assert written_back(path) is is_written_back


def test_sizes_are_spoken() -> None:
    assert [spoken_size(size) for size in (7, 5_060, 500_000_000, 7_000_000_000_000)] == [
        "7 bytes",
        "5.06 kB",
        "500 MB",
        "7e+03 GB",
    ]


def test_the_note_tells_what_is_missing_and_ends() -> None:
    text = note("home/a", {f"{number}.csv": "too large" for number in range(300)})
    assert "home/a" in text
    assert "- 0.csv: too large" in text
    assert "- and 100 more" in text
    assert "Not the same" not in note("home/a", {})


def test_a_scan_sees_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub" / "__pycache__").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("a.csv", ".env", "sub/b.csv", "sub/__pycache__/c.pyc", ".git/config"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a.csv")
    found, whole = files.scan(tmp_path, most=10)
    assert set(found) == {"a.csv", ".env", "sub/b.csv"}
    assert whole
    assert files.scan(tmp_path, most=2)[1] is False
    assert files.scan(tmp_path / "none", most=2) == ({}, True)


def test_nothing_is_put_over_what_changed_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"

    def arrived(text: str) -> Path:
        temporary = files.temporary_beside(target)
        temporary.write_text(text)
        return temporary

    first = files.put_in_place(arrived("one"), target, None)
    assert first is not None
    assert files.put_in_place(arrived("two"), target, None) is None
    assert files.put_in_place(arrived("three"), target, first) is not None
    assert target.read_text() == "three"
    target.write_text("mine, and longer")
    assert files.put_in_place(arrived("four"), target, first) is None
    assert files.remove(target, Agreed("e", first.size, first.mtime_ns)) is False
    assert target.read_text() == "mine, and longer"


def test_agreements_outlive_the_server_and_a_broken_file_is_no_agreement(tmp_path: Path) -> None:
    file = tmp_path / "state" / "home.json"
    agreements = files.Agreements(file)
    agreements.set("a/x.csv", AGREED)
    agreements.set("b.csv", AGREED)
    agreements.save()
    again = files.Agreements(file)
    assert again.below("a") == {"x.csv": AGREED}
    assert set(again.below("")) == {"a/x.csv", "b.csv"}
    again.set("b.csv", None)
    again.save()
    assert set(files.Agreements(file).all()) == {"a/x.csv"}
    file.write_text('{"x": [1]}')
    assert files.Agreements(file).all() == {}
