"""Parameters in Python."""

from __future__ import annotations

import ast
import io
import keyword
import math
import tokenize
from collections.abc import Mapping
from typing import Any

from hub_ext.bundles.languages import finite
from hub_ext.bundles.magics import without_magics
from hub_ext.bundles.spec import Parameter, ParameterType

_ANNOTATIONS: dict[str, ParameterType] = {
    "int": "int",
    "float": "float",
    "str": "str",
    "bool": "bool",
    "list": "list",
    "List": "list",
    "tuple": "list",
    "Tuple": "list",
    "Sequence": "list",
    "dict": "dict",
    "Dict": "dict",
    "Mapping": "dict",
}


class _NotJson(Exception):
    """The expression has no value that JSON could carry."""


def is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def declared(source: str) -> list[Parameter]:
    """The simple assignments at the top level of the cell, in their order.

    A later assignment to the same name wins, in the place of the first. A
    source that is not Python declares nothing: `checks` reports it.
    """
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        annotation: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value, annotation = statement.target, statement.value, statement.annotation
        else:
            continue
        if not isinstance(target, ast.Name) or target.id.startswith("_"):
            continue
        help_text = comments.get(statement.end_lineno or statement.lineno, "")
        found[target.id] = _parameter(target.id, value, annotation, help_text)
    return list(found.values())


def _parameter(
    name: str, expression: ast.expr, annotation: ast.expr | None, help_text: str
) -> Parameter:
    wanted = _annotated(annotation)
    try:
        value = _value(expression)
    except _NotJson:
        # The default is computed: shown as such, and any run may still set it.
        shape: ParameterType = wanted or "json"
        text = help_text or f"computed: {ast.unparse(expression)}"[:200]
        return Parameter(name=name, type=shape, help=text)
    return Parameter(
        name=name,
        type=_type(value, wanted),
        default=finite(value) if isinstance(value, float) else value,
        help=help_text,
    )


def _type(value: Any, wanted: ParameterType | None) -> ParameterType:
    natural: ParameterType = "json"
    if isinstance(value, bool):
        natural = "bool"
    elif isinstance(value, int):
        natural = "int"
    elif isinstance(value, float):
        natural = "float"
    elif isinstance(value, str):
        natural = "str"
    elif isinstance(value, list):
        natural = "list"
    elif isinstance(value, dict):
        natural = "dict"
    if wanted == natural or (wanted == "float" and natural == "int"):
        return wanted
    # Annotation and value disagree (``x: int = None``): believe neither.
    return "json" if wanted else natural


def _annotated(annotation: ast.expr | None) -> ParameterType | None:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Attribute):
        return _ANNOTATIONS.get(annotation.attr)
    if isinstance(annotation, ast.Name):
        return _ANNOTATIONS.get(annotation.id)
    return "json" if annotation is not None else None


def _value(node: ast.expr) -> Any:
    """The JSON value of a literal; tuples become lists."""
    match node:
        case ast.Constant(value=None | bool() | int() | str() as value):
            return value
        case ast.Constant(value=float() as value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_inner(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return dict(zip(map(_key, keys), map(_inner, values), strict=True))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _value(operand)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise _NotJson
            return -number if isinstance(sign, ast.USub) else number
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as text)]):
            try:
                return float(text)
            except ValueError:
                raise _NotJson from None
        case ast.Attribute(value=ast.Name(id="math" | "np" | "numpy"), attr="nan" | "inf" as name):
            return float(name)
    raise _NotJson


def _inner(node: ast.expr) -> Any:
    value = _value(node)
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotJson
    return value


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _NotJson


def _comments(source: str) -> dict[int, str]:
    """Trailing comments by line."""
    found: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(without_magics(source)).readline):
            if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip():
                found[token.start[0]] = token.string.lstrip("#").strip()
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass
    return found


def assignments(values: Mapping[str, Any]) -> str:
    """Source that gives each name its value. Values are written as literals:
    whatever a text contains, it stays a text."""
    return "".join(f"{name} = {_literal(value)}\n" for name, value in values.items())


def _literal(value: Any) -> str:
    match value:
        case None | bool() | int():
            return repr(value)
        case float():
            if math.isfinite(value):
                return repr(value)
            return f'float("{finite(value)}")'
        case str():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_literal, value))}]"
        case dict():
            inner = ", ".join(f"{_literal(str(k))}: {_literal(v)}" for k, v in value.items())
            return f"{{{inner}}}"
    raise TypeError(f"{type(value).__name__} is no JSON value")
