"""Paths that exist only on the author's machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity

_HOME = re.compile(r"(?:file://)?(?:/home/[^/\s]+/|/Users/[^/\s]+/|/root/|~/|[A-Za-z]:\\Users\\).*")


@check
def home_paths(subject: Subject) -> Iterator[Finding]:
    if not subject.is_python:
        return
    for cell in subject.code:
        for node in cell.nodes():
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and len(node.value) < 500
                and _HOME.fullmatch(node.value)
            ):
                yield Finding(
                    code="home-path",
                    severity=Severity.WARNING,
                    message=f"In {cell.place}, {node.value!r} is a path in somebody's home; "
                    "a job runs elsewhere and does not find it.",
                    cell=cell.index,
                    line=node.lineno,
                    mend="Put the file beside the notebook, or into the object store.",
                )
