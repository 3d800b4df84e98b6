"""Checks before production: what would hurt a notebook that runs unattended.

A check is one module of this package with a function marked `check`:

    @check
    def asks_for_input(subject: Subject) -> Iterator[Finding]:
        ...

It is found by being here. It reads and never executes; one that fails is a
bug, and does not keep the others from being heard.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from functools import cache

from hub_ext.bundles.bundle import Contents
from hub_ext.bundles.checks.subject import Check, Subject, registered
from hub_ext.bundles.parameters import infer
from hub_ext.bundles.snapshot import Snapshot
from hub_ext.bundles.spec import Finding, Severity
from hub_ext.errors import Invalid

__all__ = ["ChecksFailed", "Finding", "Severity", "check", "refuse", "review"]

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class ChecksFailed(Invalid):
    """Findings that keep a notebook from production; ``findings`` lists them."""

    code = "checks-failed"


def check(snapshot: Snapshot) -> list[Finding]:
    """All findings of all checks, the gravest first, then by place."""
    return _run(
        Subject(
            notebook=snapshot.notebook,
            notebook_name=snapshot.notebook_name,
            kernel=snapshot.kernel.ref,
            files={file.entry.name: file.content for file in snapshot.files},
            python=str(snapshot.notebook["metadata"].get("language_info", {}).get("version", "")),
            interpreter_known=snapshot.kernel.interpreter is not None,
        )
    )


def review(contents: Contents) -> list[Finding]:
    """The checks once more, by the service, on what a bundle really holds.

    What comes from a user's server is a claim: the parameters that the
    manifest declares are compared with the notebook's too.
    """
    findings = _run(
        Subject(
            notebook=contents.notebook,
            notebook_name=contents.manifest.notebook_name,
            kernel=contents.manifest.kernel,
            files=contents.files,
            python=contents.lock.python,
            interpreter_known=contents.manifest.kernel.language == "python",
        )
    )
    if tuple(infer(contents.notebook)) != contents.manifest.parameters:
        findings.insert(
            0,
            Finding(
                code="manifest-parameters",
                severity=Severity.ERROR,
                message="The manifest names other parameters than the notebook declares.",
                mend="Submit the notebook again.",
            ),
        )
    return findings


def refuse(findings: list[Finding]) -> None:
    """Refuse to go on where a finding is an error.

    Raises:
        ChecksFailed: with the first such finding in words, and all of them
            in the problem document.
    """
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not errors:
        return
    first = errors[0]
    more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
    raise ChecksFailed(
        f"{first.message}{more}",
        mend=first.mend,
        findings=[finding.model_dump(mode="json") for finding in findings],
    )


@cache
def _checks() -> tuple[Check, ...]:
    for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return tuple(sorted(registered, key=lambda function: function.__module__))


def _run(subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    for function in _checks():
        try:
            findings.extend(function(subject))
        except Exception:
            logging.getLogger(__name__).exception("check %s failed", function.__module__)
    return sorted(
        findings,
        key=lambda item: (
            _ORDER[item.severity],
            -1 if item.cell is None else item.cell,
            item.line or 0,
        ),
    )
