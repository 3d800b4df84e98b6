"""A notebook in which there is nothing to run."""

from __future__ import annotations

from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity


@check
def nothing_to_run(subject: Subject) -> Iterator[Finding]:
    if not any(cell.source.strip() for cell in subject.code):
        yield Finding(
            code="nothing-to-run",
            severity=Severity.ERROR,
            message="The notebook has no code to run.",
            mend="Write some, and save the notebook.",
        )
