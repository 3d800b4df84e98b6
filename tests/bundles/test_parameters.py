from __future__ import annotations

import ast
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.bundles.parameters import (
    VALUE_LIMIT,
    effective,
    infer,
    inject,
    parse_assignment,
    python_values,
    render,
    resolve,
)
from hub_ext.bundles.spec import Parameter
from hub_ext.errors import Invalid


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("year = 2024", ("year", "int", 2024, "")),
        ("year = 2024  # reference year", ("year", "int", 2024, "reference year")),
        ("rate: float = 1", ("rate", "float", 1, "")),
        ("rate = -0.5", ("rate", "float", -0.5, "")),
        ('rate = float("nan")', ("rate", "float", "nan", "")),
        ('rate = -float("inf")', ("rate", "float", "-inf", "")),
        ("rate = np.nan", ("rate", "float", "nan", "")),
        ("flag = True", ("flag", "bool", True, "")),
        ("region = 'Île-de-France'", ("region", "str", "Île-de-France", "")),
        ("text = 'a # b'  # c", ("text", "str", "a # b", "c")),
        ("items = (1, 'b')", ("items", "list", [1, "b"], "")),
        ("items: list[str] = []", ("items", "list", [], "")),
        ("table = {'a': [1]}", ("table", "dict", {"a": [1]}, "")),
        ("table: typing.Dict[str, int] = {}", ("table", "dict", {}, "")),
        ("nothing = None", ("nothing", "json", None, "")),
        ("year: int = None", ("year", "json", None, "")),
        ("year: int | None = 3", ("year", "json", 3, "")),
        ("day = date.today()", ("day", "json", None, "computed: date.today()")),
        ("day: str = str(now())  # today", ("day", "str", None, "today")),
        ("année = 1", ("année", "int", 1, "")),
        ("text = '''a\nb'''  # after", ("text", "str", "a\nb", "after")),
        ("%matplotlib inline\nyear = 1", ("year", "int", 1, "")),
    ],
)
def test_a_literal_assignment_is_a_parameter(
    notes: SimpleNamespace, source: str, expected: tuple[Any, ...]
) -> None:
    (found,) = infer(notes.notebook(notes.code(source, "parameters")))
    assert (found.name, found.type, found.default, found.help) == expected


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x, y = 1, 2",
        "a = b = 1",
        "x += 1",
        "_hidden = 1",
        "d['x'] = 1",
        "if x:\n  y = 1",
        "x =",
    ],
)
def test_other_statements_declare_nothing(notes: SimpleNamespace, source: str) -> None:
    assert infer(notes.notebook(notes.code(source, "parameters"))) == []


def test_only_the_first_tagged_code_cell_declares(notes: SimpleNamespace) -> None:
    cells = [
        "x = 0",
        {"cell_type": "markdown", "metadata": {"tags": ["parameters"]}, "source": "y = 1"},
        notes.code(["a = 1\n", "b = 2\n", "a = 'later'"], "parameters"),
        notes.code("z = 1", "parameters"),
    ]
    found = infer(notes.notebook(*cells))
    assert [(p.name, p.default) for p in found] == [("a", "later"), ("b", 2)]


def test_parameters_of_r(notes: SimpleNamespace) -> None:
    source = "\n".join(
        [
            "year <- 2024L  # reference year",
            "rate = -1.5e-3",
            'region <- "Bayern \\"süd\\""',
            "flag <- TRUE",
            "none <- NULL",
            "limit <- -Inf",
            "ages <- c(15, 64L)  # range",
            "start.date <- '2024-01-01'",
            "computed <- Sys.Date()",
            "x$y <- 3",
            "bad <- c(1, )",
            "sum <- 1 + 2",
        ]
    )
    made = notes.notebook(notes.code(source, "parameters"))
    made["metadata"]["kernelspec"]["language"] = "R"
    assert [(p.name, p.type, p.default, p.help) for p in infer(made)] == [
        ("year", "int", 2024, "reference year"),
        ("rate", "float", -0.0015, ""),
        ("region", "str", 'Bayern "süd"', ""),
        ("flag", "bool", True, ""),
        ("none", "json", None, ""),
        ("limit", "float", "-inf", ""),
        ("ages", "list", [15, 64], "range"),
        ("start.date", "str", "2024-01-01", ""),
    ]


def test_a_language_without_parameters_declares_none(notes: SimpleNamespace) -> None:
    made = notes.notebook(notes.code("x = 1", "parameters"))
    made["metadata"]["kernelspec"]["language"] = "julia"
    assert infer(made) == []


DECLARED = [
    Parameter(name="year", type="int", default=2024),
    Parameter(name="rate", type="float", default=0.5),
    Parameter(name="region", type="str", default="FR"),
    Parameter(name="flag", type="bool", default=False),
    Parameter(name="items", type="list", default=[]),
    Parameter(name="table", type="dict", default={}),
    Parameter(name="any", type="json"),
]


@pytest.mark.parametrize(
    ("name", "given_", "expected"),
    [
        ("year", 2025, 2025),
        ("year", "2025", 2025),
        ("year", " -7 ", -7),
        ("year", 2025.0, 2025),
        ("year", 10**30, 10**30),
        ("rate", 1, 1.0),
        ("rate", "1e-3", 0.001),
        ("rate", "NaN", "nan"),
        ("rate", float("-inf"), "-inf"),
        ("region", "", ""),
        ("region", "12", "12"),
        ("flag", "Yes", True),
        ("flag", "0", False),
        ("flag", True, True),
        ("items", '["a", 1]', ["a", 1]),
        ("items", "['a', (1, 2)]", ["a", [1, 2]]),
        ("table", '{"a": null}', {"a": None}),
        ("any", [1, {"a": None}], [1, {"a": None}]),
        ("any", "text", "text"),
    ],
)
def test_values_become_what_is_declared(name: str, given_: Any, expected: Any) -> None:
    result = resolve(DECLARED, {name: given_})[name]
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("name", "given_"),
    [
        ("year", "2024.5"),
        ("year", 1.5),
        ("year", True),
        ("year", None),
        ("year", "1_000"),
        ("year", "2024; import os"),
        ("year", float("nan")),
        ("rate", "half"),
        ("rate", "1_0.0"),
        ("rate", 10**400),
        ("region", 12),
        ("region", None),
        ("region", "\ud800"),
        ("flag", "maybe"),
        ("flag", 1),
        ("items", "[1"),
        ("items", "[NaN]"),
        ("items", '{"a": 1}'),
        ("items", "[__import__('os')]"),
        ("items", [float("nan")]),
        ("table", "[]"),
        ("any", {1, 2}),
    ],
)
def test_values_that_do_not_fit_are_refused_at_their_field(name: str, given_: Any) -> None:
    with pytest.raises(Invalid) as caught:
        resolve(DECLARED, {name: given_})
    assert caught.value.field == f"parameters.{name}"
    assert name in caught.value.message
    assert caught.value.mend
    json.dumps(caught.value.problem()).encode()


def test_a_value_that_is_data_is_refused() -> None:
    with pytest.raises(Invalid, match="characters"):
        resolve(DECLARED, {"region": "x" * VALUE_LIMIT})


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(Invalid) as caught:
        resolve(DECLARED, {"yaer": 1})
    assert caught.value.field == "parameters.yaer"
    assert "'year', 'rate'" in caught.value.message
    assert "'year'" in caught.value.mend
    assert caught.value.extra["known"][0] == "year"


def test_without_declaration_any_name_is_refused_with_the_way_to_declare() -> None:
    with pytest.raises(Invalid, match="declares none") as caught:
        resolve([], {"year": 1})
    assert "tag" in caught.value.mend.lower()


def test_later_maps_win_and_the_notebooks_order_is_kept() -> None:
    assert list(resolve(DECLARED, {"rate": 1, "year": 1}, {"year": 2}).items()) == [
        ("year", 2),
        ("rate", 1.0),
    ]
    assert effective(DECLARED, {"year": 2})["region"] == "FR"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year=2025", ("year", 2025)),
        ("region=a=b", ("region", "a=b")),
        ("region=", ("region", "")),
        ("any=5", ("any", 5)),
        ("any=free text", ("any", "free text")),
        ('any={"a": [1]}', ("any", {"a": [1]})),
    ],
)
def test_an_assignment_of_the_command_line(text: str, expected: tuple[str, Any]) -> None:
    assert parse_assignment(text, DECLARED) == expected


@pytest.mark.parametrize("text", ["year", "=1", "nope=1", "year=x"])
def test_a_wrong_assignment_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_assignment(text, DECLARED)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_names = st.from_regex(r"[a-zA-Zé_][a-zA-Z0-9_]{0,10}", fullmatch=True).map(lambda n: f"p{n}")


@given(st.dictionaries(_names, _json))
def test_rendered_python_has_the_values(values: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {}
    exec(render("python", values), namespace)
    for name, value in values.items():
        assert namespace[name] == value
        assert type(namespace[name]) is type(value)


@given(st.text(), _json)
def test_no_name_and_no_value_becomes_code(name: str, value: Any) -> None:
    try:
        source = render("python", {name: value})
    except Invalid:
        return
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Assign)
    assert ast.literal_eval(statement.value) == value


def test_floats_that_are_not_finite() -> None:
    declared = [Parameter(name=n, type="float") for n in ("a", "b", "c")]
    values = python_values(declared, resolve(declared, {"a": "nan", "b": "inf", "c": "-inf"}))
    namespace: dict[str, Any] = {}
    exec(render("python", values), namespace)
    assert math.isnan(namespace["a"])
    assert (namespace["b"], namespace["c"]) == (math.inf, -math.inf)
    assert render("R", values) == "a <- NaN\nb <- Inf\nc <- -Inf\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5L"),
        (2**31, "2147483648"),
        (0.1, "0.1"),
        (True, "TRUE"),
        (None, "NULL"),
        ('a"\\\n\x01é', '"a\\"\\\\\\n\\u0001é"'),
        ([1, 2], "c(1L, 2L)"),
        ([1, 2.5], "c(1L, 2.5)"),
        (["a", "b"], 'c("a", "b")'),
        ([], "list()"),
        ([1, "a"], 'list(1L, "a")'),
        ([True, None], "list(TRUE, NULL)"),
        ([[1], [2]], "list(c(1L), c(2L))"),
        ({"a b": 1, "": "x"}, 'setNames(list(1L, "x"), c("a b", ""))'),
        ({}, "setNames(list(), character(0))"),
    ],
)
def test_rendered_r(value: Any, expected: str) -> None:
    assert render("r", {"x": value}) == f"x <- {expected}\n"


@pytest.mark.parametrize(
    ("language", "values"),
    [
        ("python", {"a b": 1}),
        ("python", {"class": 1}),
        ("python", {"x=1\nimport os": 1}),
        ("r", {"TRUE": 1}),
        ("r", {"x y": 1}),
        ("r", {"x\n": 1}),
        ("r", {"x": "a\0b"}),
        ("julia", {"x": 1}),
        ("python", {"x": object()}),
    ],
)
def test_what_cannot_be_written_is_refused(language: str, values: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        render(language, values)


def test_the_injected_cell_follows_the_parameters_cell(notes: SimpleNamespace) -> None:
    source = notes.notebook("import x", notes.code("year = 1", "parameters"), "print(year)")
    made = inject(source, {"year": 2})
    assert [cell["source"] for cell in made["cells"]] == [
        "import x",
        "year = 1",
        "year = 2",
        "print(year)",
    ]
    assert made["cells"][2]["metadata"] == {"tags": ["injected-parameters"]}
    assert made["cells"][2]["id"] == "injected-parameters"
    assert len(source["cells"]) == 3
    again = inject(made, {"year": 3})
    assert [cell["source"] for cell in again["cells"]][2] == "year = 3"
    assert inject(again, {}) == source


def test_without_a_parameters_cell_it_comes_first(notes: SimpleNamespace) -> None:
    made = inject(notes.notebook("print(1)"), {"x": 1})
    assert made["cells"][0]["source"] == "x = 1"


def test_an_old_notebook_gets_no_id(notes: SimpleNamespace) -> None:
    old = notes.notebook(notes.code("x = 1", "parameters"))
    old["nbformat_minor"] = 4
    assert "id" not in inject(old, {"x": 2})["cells"][1]
