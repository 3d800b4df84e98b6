"""A person's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_ext.spawners.homes import home_of, prepare, server_arguments


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    folder = tmp_path / "config" / "examples"
    folder.mkdir(parents=True)
    (folder / "first.ipynb").write_text("{}")
    (folder / "data.txt").write_text("not a notebook")
    return folder


def test_the_first_time_brings_the_examples(tmp_path: Path, examples: Path) -> None:
    work = prepare(tmp_path / "ana", examples)
    assert work == tmp_path / "ana" / "work"
    assert [path.name for path in (work / "examples").iterdir()] == ["first.ipynb"]


def test_what_somebody_changed_or_threw_away_stays_so(tmp_path: Path, examples: Path) -> None:
    work = prepare(tmp_path / "ana", examples)
    (work / "examples" / "first.ipynb").write_text("mine")
    (examples / "second.ipynb").write_text("{}")
    prepare(tmp_path / "ana", examples)
    assert (work / "examples" / "first.ipynb").read_text() == "mine"
    assert not (work / "examples" / "second.ipynb").exists()
    (work / "examples" / "first.ipynb").unlink()
    prepare(tmp_path / "ana", examples)
    assert not (work / "examples" / "first.ipynb").exists()


def test_without_examples_there_is_an_empty_folder(tmp_path: Path) -> None:
    assert list(prepare(tmp_path / "ana").iterdir()) == []
    assert list(prepare(tmp_path / "bo", tmp_path / "none").iterdir()) == []


def test_two_people_never_share_a_folder(tmp_path: Path) -> None:
    names = ["ana", "Ana", "a.na", "a-na", "../ana", "ana@example.org"]
    homes = [home_of(tmp_path, name) for name in names]
    assert len(set(homes)) == len(names)
    assert {home.parent for home in homes} == {tmp_path}


def test_a_server_shows_the_roots_unless_its_operator_chose_otherwise() -> None:
    assert server_arguments([]) == [
        "--ServerApp.contents_manager_class=lab_extension.contents.RootsContentsManager",
        "--TerminalsExtensionApp.terminal_manager_class=lab_extension.terminals.TerminalManager",
    ]
    own = "--ServerApp.contents_manager_class=site.Files"
    assert not any("contents_manager_class" in added for added in server_arguments([own]))
