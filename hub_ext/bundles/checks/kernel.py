"""A kernel that jobs cannot have."""

from __future__ import annotations

from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity


@check
def kernel_for_jobs(subject: Subject) -> Iterator[Finding]:
    shown = subject.kernel.display_name or subject.kernel.name
    if not subject.is_python:
        language = subject.kernel.language or "an unknown language"
        message = f"The kernel {shown!r} runs {language}; so far jobs run Python notebooks only."
        mend = "Choose a Python kernel."
    elif not subject.interpreter_known:
        message = f"The kernel {shown!r} does not show which Python it runs."
        mend = "Choose a kernel made by `python -m ipykernel install`."
    else:
        return
    yield Finding(code="kernel-not-for-jobs", severity=Severity.ERROR, message=message, mend=mend)
