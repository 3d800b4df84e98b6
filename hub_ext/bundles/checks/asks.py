"""Questions to a person: nobody is there to answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity

_ASKING = frozenset({"input", "raw_input", "getpass", "getpass.getpass"})


@check
def asks_a_person(subject: Subject) -> Iterator[Finding]:
    if not subject.is_python:
        return
    for cell in subject.code:
        for node in cell.nodes():
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in _ASKING:
                yield Finding(
                    code="asks-for-input",
                    severity=Severity.WARNING,
                    message=f"In {cell.place}, {name}() waits for a person, and a job has none: "
                    "it stops there.",
                    cell=cell.index,
                    line=node.lineno,
                    mend="Make it a parameter: assign it in a cell tagged `parameters`.",
                )
