"""Parameters: what a notebook declares, what a run is given, what the kernel gets.

The author tags one cell ``parameters``; its literal assignments are the
declaration, and there is nothing else to fill in. A run's values are checked
against it and written as literals into a cell of their own, after that one.
Nothing is ever pasted into source as text.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub_ext.bundles import languages
from hub_ext.bundles.languages import finite
from hub_ext.bundles.spec import INJECTED_TAG, PARAMETERS_TAG, Parameter
from hub_ext.errors import Invalid

VALUE_LIMIT = 64 * 1024
"""Longest value, in characters of JSON: parameters steer a run, data come from files."""

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "list": 'a list such as ["a", "b"]',
    "dict": 'an object such as {"a": 1}',
}


def infer(notebook: Mapping[str, Any]) -> list[Parameter]:
    """The parameters that the notebook declares, in its order.

    Args:
        notebook: as parsed from the ``.ipynb``.

    Returns:
        Those of the first cell tagged ``parameters``; empty without such a
        cell, or where the language is not one that can be read.
    """
    index = parameters_cell(notebook)
    language = languages.of(language_of(notebook))
    if index is None or language is None:
        return []
    found: list[Parameter] = language.declared(source_of(notebook["cells"][index]))
    return found


def resolve(declared: Sequence[Parameter], *given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run that differ from the notebook's own, checked.

    Args:
        declared: what the notebook declares.
        given: values by name, as JSON or as text; a later map wins.

    Returns:
        JSON values of the declared types, in the notebook's order; only those
        that were given (see `effective` for all). A ``float`` that is not
        finite is the text ``nan``, ``inf`` or ``-inf``.

    Raises:
        Invalid: a name that is not declared, or a value that does not fit;
            ``field`` is ``parameters.<name>``.
    """
    known = {parameter.name: parameter for parameter in declared}
    values: dict[str, Any] = {}
    for mapping in given:
        for name, value in mapping.items():
            values[name] = _coerce(_declared(known, name), value)
    return {name: values[name] for name in known if name in values}


def effective(declared: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with the value a run has, defaults included, as JSON."""
    return {item.name: values.get(item.name, item.default) for item in declared}


def python_values(declared: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `resolve` with ``nan``, ``inf`` and ``-inf`` turned into floats."""
    types = {parameter.name: parameter.type for parameter in declared}
    return {
        name: float(value) if types.get(name) == "float" else value
        for name, value in values.items()
    }


def render(language: str, values: Mapping[str, Any]) -> str:
    """Source that assigns the values: for the injected cell.

    Args:
        language: of the kernel, in any case.
        values: see `python_values`.

    Raises:
        Invalid: the language is not known, a name is not a variable's name
            in it, or a value cannot be written in it.
    """
    module = languages.of(language)
    if module is None:
        raise Invalid(
            f"Parameters cannot be given to a notebook in {language}.",
            mend="Notebooks in Python and R take parameters.",
            field="parameters",
        )
    for name in values:
        if not module.is_name(name):
            raise Invalid(
                f"{name!r} is not the name of a variable in {language}.", field=f"parameters.{name}"
            )
    try:
        source: str = module.assignments(values)
    except (TypeError, ValueError) as error:
        raise Invalid(
            f"A parameter cannot be written in {language}: {error}.", field="parameters"
        ) from error
    return source


def parse_assignment(text: str, declared: Sequence[Parameter]) -> tuple[str, Any]:
    """Name and value of ``year=2024`` from a command line.

    Raises:
        Invalid: no ``=``, a name that is not declared, or a value that does
            not fit.
    """
    name, separator, value = text.partition("=")
    name = name.strip()
    if not separator or not name:
        raise Invalid(f"{text!r} is not a parameter.", mend="Write NAME=VALUE.", field="parameters")
    parameter = _declared({item.name: item for item in declared}, name)
    if parameter.type == "json":
        try:
            return name, _coerce(parameter, json.loads(value, parse_constant=_no_constant))
        except (ValueError, RecursionError):
            return name, _coerce(parameter, value)
    return name, _coerce(parameter, value)


def inject(notebook: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook with a cell that assigns the values, after the parameters cell.

    Without a parameters cell it comes first. An injected cell of an earlier
    execution is replaced; without values it is only taken away.
    """
    cells = [cell for cell in notebook["cells"] if INJECTED_TAG not in tags_of(cell)]
    stripped = {**notebook, "cells": cells}
    if values:
        index = parameters_cell(stripped)
        cell: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED_TAG]},
            "outputs": [],
            "source": render(language_of(notebook), values).rstrip("\n"),
        }
        if (notebook.get("nbformat", 4), notebook.get("nbformat_minor", 0)) >= (4, 5):
            cell["id"] = _free_id({str(other.get("id")) for other in cells})
        cells.insert(0 if index is None else index + 1, cell)
    return stripped


def parameters_cell(notebook: Mapping[str, Any]) -> int | None:
    """Index of the first code cell tagged ``parameters``."""
    for index, cell in enumerate(notebook.get("cells", [])):
        if cell.get("cell_type") == "code" and PARAMETERS_TAG in tags_of(cell):
            return index
    return None


def language_of(notebook: Mapping[str, Any]) -> str:
    """The notebook's language in lower case; ``python`` where it does not say."""
    metadata = notebook.get("metadata", {})
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get(
        "name"
    )
    return str(named or "python").lower()


def tags_of(cell: Mapping[str, Any]) -> list[Any]:
    tags = cell.get("metadata", {}).get("tags", [])
    return tags if isinstance(tags, list) else []


def source_of(cell: Mapping[str, Any]) -> str:
    """The source as one text; files may hold it as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _free_id(taken: set[str]) -> str:
    candidate, n = INJECTED_TAG, 1
    while candidate in taken:
        n += 1
        candidate = f"{INJECTED_TAG}-{n}"
    return candidate


def _declared(known: Mapping[str, Parameter], name: str) -> Parameter:
    if name in known:
        return known[name]
    field = f"parameters.{name}"
    if not known:
        raise Invalid(
            f"The notebook has no parameter {name!r}: it declares none.",
            mend="Tag the cell that assigns them `parameters`.",
            field=field,
            known=[],
        )
    near = difflib.get_close_matches(name, known, n=1)
    listed = _listed(known)
    raise Invalid(
        f"The notebook has no parameter {name!r}; it has {listed}.",
        mend=f"Did you mean {near[0]!r}?" if near else "Use one of those names.",
        field=field,
        known=list(known),
    )


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _coerce(parameter: Parameter, value: Any) -> Any:
    try:
        result = _typed(parameter, value)
        text = json.dumps(result, allow_nan=False)
        # A lone surrogate is no text: neither a database nor a kernel takes it.
        json.dumps(result, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        shown = repr(value)
        raise Invalid(
            f"Parameter {parameter.name!r} cannot be "
            f"{shown if len(shown) <= 80 else shown[:77] + '…'}.",
            mend=f"It takes {_EXPECTED.get(parameter.type, 'a JSON value')}.",
            field=f"parameters.{parameter.name}",
        ) from error
    if len(text) > VALUE_LIMIT:
        raise Invalid(
            f"The value of parameter {parameter.name!r} has {len(text)} characters; "
            f"at most {VALUE_LIMIT} are taken.",
            mend="Put data into a file or the object store, and give its name.",
            field=f"parameters.{parameter.name}",
        )
    return result


def _typed(parameter: Parameter, value: Any) -> Any:
    kind = parameter.type
    if kind == "json":
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
            return value.strip().lower() in _TRUE
    if kind == "int":
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    if kind == "float" and isinstance(value, str | int | float) and not isinstance(value, bool):
        if isinstance(value, str) and "_" in value:
            raise ValueError("digits with underscores")
        try:
            return finite(float(value))
        except OverflowError as error:
            raise ValueError("too large for a float") from error
    if kind in ("list", "dict"):
        shape = list if kind == "list" else dict
        parsed = _parsed(value) if isinstance(value, str) else value
        if isinstance(parsed, shape):
            return parsed
    raise ValueError(f"not {kind}")


def _parsed(text: str) -> Any:
    """JSON, or a literal of Python, which people type as readily."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        try:
            value = ast.literal_eval(text.strip())
        except (SyntaxError, MemoryError) as error:
            raise ValueError("neither JSON nor a literal") from error
        # Through JSON, so that tuples become lists and what JSON lacks is refused.
        return json.loads(json.dumps(value, allow_nan=False))


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
