from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_extension.contents.objects import keys
from lab_extension.contents.objects.faults import BadName

ODD_BUT_GOOD = [
    "a b",
    "a+b",
    "100%",
    "%41",
    "a#b",
    "a?b&c=d",
    "~x",
    "'q'",
    '"q"',
    "<x>",
    "*",
    ".dot",
    "..two",
    "end.",
    "a..b/c",
    "日本/😀",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "n" * 255,
    "/".join(["x" * 255] * 4),
]


@pytest.mark.parametrize("name", ODD_BUT_GOOD)
def test_keeps_odd_names_byte_for_byte(name: str) -> None:
    assert keys.key_of(f"/{name}/") == name
    assert keys.new_key(name) == name
    assert keys.regular(name)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("a/../b", "'..'"),
        ("..", "'..'"),
        ("./a", "'.'"),
        ("a//b", "two slashes"),
        ("a\0b", "code 0"),
        ("a\nb", "code 10"),
        ("a\x7fb", "code 127"),
        ("a\udc80", "Unicode"),
        ("n" * 1025, "1 bytes too long"),
        ("é" * 513, "2 bytes too long"),
    ],
)
def test_says_why_a_name_cannot_be(path: str, says: str) -> None:
    with pytest.raises(BadName, match=says) as caught:
        keys.key_of(path)
    assert caught.value.status == 400
    assert caught.value.mend
    assert caught.value.message.isprintable()


def test_the_prefix_counts_towards_the_longest_key() -> None:
    assert keys.key_of("n" * 1022, prefix="p/")
    with pytest.raises(BadName, match="1 bytes too long"):
        keys.key_of("n" * 1023, prefix="p/")


def test_a_backslash_can_be_read_and_not_made() -> None:
    assert keys.key_of("a\\b") == "a\\b"
    with pytest.raises(BadName, match="backslash"):
        keys.new_key("a\\b")


@pytest.mark.parametrize("name", ["a.versions", ".versions", "b/a.versions"])
def test_folders_that_a_store_would_hide_are_not_made(name: str) -> None:
    assert keys.new_key(name) == name  # a file may be called so
    for make in (lambda: keys.new_key(f"{name}/x.csv"), lambda: keys.new_folder(name)):
        with pytest.raises(BadName, match=r"old versions of files") as caught:
            make()
        assert caught.value.mend
    assert keys.key_of(f"{name}/x.csv") == f"{name}/x.csv"  # and what is there can be read


def test_a_folder_has_room_for_its_marker() -> None:
    assert keys.new_folder("a/b/") == "a/b"
    assert keys.new_folder("") == ""
    with pytest.raises(BadName, match="too long"):
        keys.new_folder("n" * 1020)


@pytest.mark.parametrize("raw", ["a/", "a//b", "/a", "", "a/./b", "..", "a\x01", "a\ufffd", "\t"])
def test_knows_keys_that_are_no_files(raw: str) -> None:
    assert not keys.regular(raw)


@pytest.mark.parametrize(
    ("key", "marker"),
    [("a/", True), ("a/.s3keep", True), (".s3keep", True), ("a", False), ("a/x.s3keep", False)],
)
def test_knows_both_markers_of_folders(key: str, marker: bool) -> None:
    assert keys.is_marker(key) is marker


@pytest.mark.parametrize(
    ("path", "hidden"), [(".a", True), ("a/.b/c", True), ("a.b/c", False), ("", False)]
)
def test_hides_what_begins_with_a_dot(path: str, hidden: bool) -> None:
    assert keys.hidden(path) is hidden


@given(st.text(max_size=300))
def test_every_path_is_a_regular_key_or_a_clear_refusal(path: str) -> None:
    try:
        key = keys.key_of(path)
    except BadName:
        return
    assert key == "" or keys.regular(key) or "\ufffd" in key
    assert keys.key_of(key) == key
    assert keys.join(keys.parent(key), keys.name_of(key)) == key
