"""Cells that are not Python: the run would stop there."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity


@check
def syntax_errors(subject: Subject) -> Iterator[Finding]:
    if not subject.is_python:
        return
    # A kernel of a newer Python knows syntax that this one does not.
    severity = Severity.WARNING if _newer(subject) else Severity.ERROR
    for cell in subject.code:
        error = cell.python
        if isinstance(error, SyntaxError) and "raises-exception" not in cell.tags:
            yield Finding(
                code="syntax-error",
                severity=severity,
                message=f"In {cell.place} Python cannot read line {error.lineno or 1}: "
                f"{error.msg}.",
                cell=cell.index,
                line=error.lineno or 1,
                mend="Correct it, or tag the cell `skip-execution`.",
            )


def _newer(subject: Subject) -> bool:
    try:
        major, minor = map(int, subject.python.split(".")[:2])
    except ValueError:
        return False
    return (major, minor) > sys.version_info[:2]
