from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.bundles.magics import Magic, magics, without_magics


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("if x:\n    !ls 'don t\n    y = 1", "if x:\n    pass\n    y = 1"),
        ("!pip install a \\\n   b\nx = 1", "pass\n\nx = 1"),
        ("files = !ls *.csv", "pass"),
        ("out = %timeit -o f(x)", "pass"),
        ("df.head?", "pass"),
        ("?df", "pass"),
        ("x = 7 \\\n % 3", "x = 7 \\\n % 3"),
        ("x = (7\n% 3)", "x = (7\n% 3)"),
        ("s = '''\n%time\n!ls\n'''", "s = '''\n%time\n!ls\n'''"),
        ('s = "%d" % 3', 's = "%d" % 3'),
        ("a != b", "a != b"),
        ("x = a != b", "x = a != b"),
        ("%%time\nx = 1", "pass\nx = 1"),
        ("%%bash\nls (", "pass\n"),
        ("%%html\n<b>", "pass\n"),
        ("# it's\n%time x", "# it's\npass"),
    ],
)
def test_magics_are_replaced_line_by_line(source: str, expected: str) -> None:
    assert without_magics(source) == expected


def test_what_magics_say() -> None:
    source = "%pip install a\nx = !ls \\\n  -l\n"
    assert magics(source) == [Magic(1, "%", "pip install a"), Magic(2, "!", "ls -l")]
    assert magics("%%bash\npip install b\n")[1] == Magic(2, "!", "pip install b")


def test_a_bracket_that_is_never_closed_hides_no_magic() -> None:
    assert [m.text for m in magics("f(\n" * 2000 + "!ls")] == ["ls"]


@given(st.text(alphabet="ab=%!?'\"\\\n#()[] ", max_size=60))
def test_lines_are_kept_and_nothing_raises(source: str) -> None:
    assert without_magics(source).count("\n") == source.count("\n")


@given(st.sampled_from(["x = 1", "f(1,\n  2)", "s = '''\n%a\n'''", "if x:\n    y = '%d' % 3"]))
def test_plain_python_is_left_alone(source: str) -> None:
    assert ast.dump(ast.parse(without_magics(source))) == ast.dump(ast.parse(source))
