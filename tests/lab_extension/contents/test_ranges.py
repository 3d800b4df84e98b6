"""What a request for a file is answered with, as a table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab_extension.contents.ranges import Answer, answer, attachment

MODIFIED = datetime(2031, 3, 3, 6, 0, 0, 250_000, tzinfo=UTC)
DATE = "Mon, 03 Mar 2031 06:00:00 GMT"
EARLIER = "Mon, 03 Mar 2031 05:59:59 GMT"
WHOLE = Answer(200, 0, 10)
OUTSIDE = Answer(416)


def ask(**headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(given, size=10, etag="abc", modified=MODIFIED)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", WHOLE),
        ("bytes=0-3", Answer(206, 0, 4)),
        ("bytes=9-9", Answer(206, 9, 10)),
        ("bytes=4-", Answer(206, 4, 10)),
        ("bytes=0-", Answer(206, 0, 10)),
        ("bytes=4-99999", Answer(206, 4, 10)),
        ("bytes=-3", Answer(206, 7, 10)),
        ("bytes=-99", Answer(206, 0, 10)),
        (" Bytes = 1 - 2 ", Answer(206, 1, 3)),
        ("bytes=10-", OUTSIDE),
        ("bytes=10-20", OUTSIDE),
        ("bytes=-0", OUTSIDE),
        # What cannot be understood is as if it were not there.
        ("bytes=5-4", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=0-1,4-5", WHOLE),
        ("lines=1-2", WHOLE),
        ("bytes=--1", WHOLE),
        ("bytes=٣-", WHOLE),
        ("bytes=" + "9" * 5000 + "-", WHOLE),
    ],
)
def test_a_range_is_understood_or_ignored(header: str, expected: Answer) -> None:
    assert ask(Range=header) == expected


def test_of_an_empty_file_there_is_no_part() -> None:
    def empty(header: str) -> Answer:
        return answer({"Range": header}, size=0, etag=None, modified=MODIFIED)

    assert empty("") == Answer(200, 0, 0)
    assert empty("bytes=0-") == OUTSIDE
    assert empty("bytes=-5") == OUTSIDE


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('"abc"', 304),
        ('W/"abc"', 304),
        ('"x", "abc"', 304),
        ("*", 304),
        ('"x"', 200),
        ("abc", 200),
        ("", 200),
    ],
)
def test_a_known_tag_means_not_modified(tags: str, status: int) -> None:
    assert ask(If_None_Match=tags).status == status


def test_a_date_counts_where_no_tag_is_given() -> None:
    assert ask(If_Modified_Since=DATE).status == 304
    assert ask(If_Modified_Since=EARLIER).status == 200
    assert ask(If_Modified_Since="the other day").status == 200
    assert ask(If_Modified_Since=DATE, If_None_Match='"x"').status == 200


def test_what_nobody_knows_the_tag_of_is_never_unchanged() -> None:
    given = {"If-None-Match": '"None"'}
    assert answer(given, size=10, etag=None, modified=MODIFIED).status == 200


def test_a_tag_that_must_match_is_compared_strongly() -> None:
    assert ask(If_Match='"abc"').status == 200
    assert ask(If_Match="*").status == 200
    assert ask(If_Match='W/"abc"') == Answer(412)
    assert ask(If_Match='"x"') == Answer(412)


@pytest.mark.parametrize(
    ("condition", "status"),
    [('"abc"', 206), ('"x"', 200), ('W/"abc"', 200), (DATE, 206), (EARLIER, 200), ("?", 200)],
)
def test_a_part_is_of_the_file_that_the_client_has_begun(condition: str, status: int) -> None:
    assert ask(Range="bytes=4-", If_Range=condition).status == status


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", "attachment; filename=\"a.csv\"; filename*=UTF-8''a.csv"),
        ("a b+c.csv", "attachment; filename=\"a b+c.csv\"; filename*=UTF-8''a%20b%2Bc.csv"),
        ("é.csv", "attachment; filename=\"_.csv\"; filename*=UTF-8''%C3%A9.csv"),
        ('a"\\%.csv', "attachment; filename=\"a___.csv\"; filename*=UTF-8''a%22%5C%25.csv"),
        ("a\r\nb: c", "attachment; filename=\"a__b: c\"; filename*=UTF-8''a%0D%0Ab%3A%20c"),
    ],
)
def test_a_name_for_saving_is_one_header_whatever_is_in_it(name: str, header: str) -> None:
    assert attachment(name) == header
