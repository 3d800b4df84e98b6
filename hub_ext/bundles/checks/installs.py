"""Packages installed by the notebook itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity

_INSTALL = re.compile(
    r"(?:^|[;&|]\s*|\bsudo\s+)(?:\S*python[\d.]*\s+-m\s+|\{sys\.executable\}\s+-m\s+|uv\s+)?"
    r"(?P<tool>pip[\d.]*|conda|mamba|micromamba|poetry|apt|apt-get)\s+(?:-\S+\s+)*"
    r"(?:install|add|update|upgrade)\b"
)


@check
def installs_packages(subject: Subject) -> Iterator[Finding]:
    if not subject.is_python:
        return
    for cell in subject.code:
        for magic in cell.magics:
            found = _INSTALL.search(magic.text)
            if found is not None:
                yield Finding(
                    code="installs-packages",
                    severity=Severity.WARNING,
                    message=f"In {cell.place}, {found['tool']} installs packages; a job runs in "
                    "the environment that was captured here, and nothing can be added to it.",
                    cell=cell.index,
                    line=magic.line,
                    mend="Install them once in a terminal, and remove the line.",
                )
