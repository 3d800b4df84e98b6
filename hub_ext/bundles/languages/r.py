"""Parameters in R.

R has no parser here, so that only what is plainly an assignment of a literal
is read: ``name <- literal`` or ``name = literal`` on a line of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hub_ext.bundles.languages import finite
from hub_ext.bundles.spec import Parameter, ParameterType

_NAME = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*\Z")
_RESERVED = frozenset(
    {"if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE"}
    | {"NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_character_", "NA_complex_"}
)
_LINE = re.compile(r"\s*(?P<name>[^\W\d][\w.]*|\.[^\W\d][\w.]*)\s*(?:<-|=(?!=))\s*(?P<rest>.*)\Z")
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<integer>-?\d+L\b)
    | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\b)
    | (?P<word>-?Inf\b|(?:TRUE|FALSE|NULL|NaN)\b)
    | (?P<open>c\()
    | (?P<close>\))
    | (?P<comma>,)
    | (?P<comment>\#.*)
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_WORDS: dict[str, Any] = {
    "TRUE": True,
    "FALSE": False,
    "NULL": None,
    "NaN": math.nan,
    "Inf": math.inf,
    "-Inf": -math.inf,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`"}


class _NotLiteral(Exception):
    pass


def is_name(text: str) -> bool:
    return bool(_NAME.match(text)) and text not in _RESERVED


def declared(source: str) -> list[Parameter]:
    """The assignments of literals, one a line, in their order; the rest is left out."""
    found: dict[str, Parameter] = {}
    for line in source.splitlines():
        match = _LINE.match(line)
        if match is None or not is_name(match["name"]) or match["name"].startswith("."):
            continue
        try:
            value, help_text = _literal_and_comment(match["rest"])
        except _NotLiteral:
            continue
        found[match["name"]] = Parameter(
            name=match["name"],
            type=_type(value),
            default=finite(value) if isinstance(value, float) else value,
            help=help_text,
        )
    return list(found.values())


def _type(value: Any) -> ParameterType:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "str"
        case list():
            return "list"
    return "json"


def _literal_and_comment(text: str) -> tuple[Any, str]:
    tokens = []
    at = 0
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            raise _NotLiteral
        kind, piece, at = token.lastgroup or "", token.group(token.lastgroup or 0), token.end()
        if kind in ("comment", "end"):
            break
        tokens.append((kind, piece))
    comment = piece.lstrip("#").strip()
    if len(tokens) == 1:
        return _scalar(*tokens[0]), comment
    if len(tokens) < 2 or tokens[0][0] != "open" or tokens[-1][0] != "close":
        raise _NotLiteral
    inner = tokens[1:-1]
    if any(kind != "comma" for kind, _ in inner[1::2]) or (inner and len(inner) % 2 == 0):
        raise _NotLiteral
    values = [_scalar(*token) for token in inner[::2]]
    if any(value is None or value != value or value in (math.inf, -math.inf) for value in values):
        raise _NotLiteral
    return values, comment


def _scalar(kind: str, text: str) -> Any:
    if kind == "integer":
        return int(text[:-1])
    if kind == "number":
        number = float(text)
        # R writes whole numbers without an L, and means them whole.
        return int(text) if re.fullmatch(r"-?\d{1,15}", text) else number
    if kind == "word":
        return _WORDS[text]
    if kind == "string":
        return re.sub(r"\\(.)", _unescape, text[1:-1])
    raise _NotLiteral


def _unescape(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise _NotLiteral
    return _ESCAPES[match[1]]


def assignments(values: Mapping[str, Any]) -> str:
    """Source that gives each name its value; lists of one kind become vectors."""
    return "".join(f"{name} <- {_literal(value)}\n" for name, value in values.items())


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            # R's integers have 32 bits; what is larger is a double there.
            return f"{value}L" if abs(value) < 2**31 else f"{value}"
        case float():
            if not math.isfinite(value):
                return {"nan": "NaN", "inf": "Inf", "-inf": "-Inf"}[str(finite(value))]
            return repr(value)
        case str():
            return _string(value)
        case list() | tuple():
            inner = ", ".join(map(_literal, value))
            kinds = {float if isinstance(item, int | float) and not isinstance(item, bool)
                     else type(item) for item in value}  # fmt: skip
            vector = len(kinds) == 1 and kinds <= {float, str, bool}
            return f"{'c' if vector else 'list'}({inner})"
        case dict():
            names = f"c({', '.join(map(_string, value))})" if value else "character(0)"
            inner = ", ".join(map(_literal, value.values()))
            return f"setNames(list({inner}), {names})"
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _string(value: str) -> str:
    """A string of R; a NUL cannot be in one.

    Raises:
        ValueError: there is one.
    """
    if "\0" in value:
        raise ValueError("a text in R cannot hold a NUL character")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return '"' + "".join(c if c.isprintable() else _code(c) for c in escaped) + '"'


def _code(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
