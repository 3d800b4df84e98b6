"""Passwords and keys: what is in a bundle is kept for ever and read by many.

Named detectors only. Each knows what one kind of secret looks like; guessing
from entropy would flag every hash and every picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub_ext.bundles.checks.subject import Subject, check
from hub_ext.bundles.spec import Finding, Severity

FILE_LIMIT = 5 * 1024 * 1024
"""Larger files beside the notebook are data, and are not searched (bytes)."""

_MEND = (
    "Remove it and revoke it. A job is given its own access to the object store; "
    "for other systems keep the secret outside of the notebook."
)


@dataclass(frozen=True)
class Detector:
    """One kind of secret.

    Attributes:
        name: stable, for machines.
        words: for people: ``an AWS access key``.
        pattern: matches the secret, in the group ``secret`` where there is one.
    """

    name: str
    words: str
    pattern: re.Pattern[str]


def _detector(name: str, words: str, pattern: str) -> Detector:
    return Detector(name, words, re.compile(pattern))


DETECTORS = (
    _detector(
        "aws-access-key",
        "an AWS access key",
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])",
    ),
    _detector(
        "aws-secret-key",
        "an AWS secret key",
        r"(?i:aws.{0,20}secret.{0,20}|secret_?access_?key.{0,5}|\bsecret_?key.{0,5})"
        r"[=:,(]\s*[rbfu]?[\"'](?P<secret>[A-Za-z0-9/+]{40})[\"']",
    ),
    _detector(
        "private-key",
        "a private key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    ),
    _detector(
        "github-token",
        "a GitHub token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})\b",
    ),
    _detector(
        "gitlab-token",
        "a GitLab token",
        r"\bgl(?:pat|rt|dt|ptt|cbt|oas|soat)-[A-Za-z0-9_.-]{20,}",
    ),
    _detector(
        "jupyterhub-token",
        "a JupyterHub token",
        r"(?i:jupyterhub_api_token|jpy_api_token|almanac_token)[\"'\])]*\s*[=:,]\s*"
        r"[\"']?(?P<secret>[0-9a-f]{32,64})\b",
    ),
    _detector(
        "jupyterhub-token",
        "a JupyterHub token",
        r"(?i:[?&]token=|authorization[\"']?\s*[:=,]\s*f?[\"'](?:token|bearer)\s+)"
        r"(?P<secret>[0-9a-f]{32,64})\b",
    ),
    _detector("slack-token", "a Slack token", r"\bxox[abeoprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}"),
    _detector("google-key", "a Google API key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    _detector("hugging-face-token", "a Hugging Face token", r"\bhf_[A-Za-z0-9]{34,}\b"),
    _detector(
        "connection-string",
        "an address with a password in it",
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}://[^\s:/@\"'{}<>]{0,100}:"
        r"(?P<secret>[^\s/@\"'{}<>$]{1,200})@[A-Za-z0-9\[]",
    ),
)

# What documentation and templates hold in a secret's place.
_PLACEHOLDER = re.compile(
    r"(?i)(?:.*example.*|.*changeme.*|x{3,}|\*{3,}|\.{3,}|%s|%\(.*|(?:your|my)[-_]?.*|"
    r"pass(?:word|wd)?|pwd|secret|token|user|foo|bar)\Z"
)


@dataclass(frozen=True)
class Hit:
    """A secret in a text; the secret itself is not kept."""

    detector: Detector
    line: int


def scan_secrets(text: str) -> list[Hit]:
    """The secrets in ``text``, one for each line and kind; lines from 1."""
    found: dict[tuple[int, str], Hit] = {}
    for detector in DETECTORS:
        for match in detector.pattern.finditer(text):
            secret = match.groupdict().get("secret") or match.group()
            if _PLACEHOLDER.match(secret) or len(set(secret)) < 2:
                continue
            line = text.count("\n", 0, match.start()) + 1
            found.setdefault((line, detector.name), Hit(detector, line))
    return sorted(found.values(), key=lambda hit: (hit.line, hit.detector.name))


@check
def secrets_in_sources(subject: Subject) -> Iterator[Finding]:
    for cell in subject.cells:
        for hit in scan_secrets(cell.source):
            yield Finding(
                code="secret",
                severity=Severity.ERROR,
                message=f"In {cell.place}, line {hit.line} holds what looks like "
                f"{hit.detector.words}.",
                cell=cell.index,
                line=hit.line,
                mend=_MEND,
            )
    for name, content in subject.files.items():
        if len(content) > FILE_LIMIT or b"\0" in content[:8192]:
            continue
        for hit in scan_secrets(content.decode(errors="replace")):
            yield Finding(
                code="secret",
                severity=Severity.ERROR,
                message=f"The file {name}, line {hit.line}, holds what looks like "
                f"{hit.detector.words}.",
                mend=_MEND,
            )


@check
def secrets_in_outputs(subject: Subject) -> Iterator[Finding]:
    """A warning: outputs do not go into the bundle, and yet lie in the author's file."""
    for cell in subject.cells:
        texts = (text for output in cell.outputs for text in _texts(output))
        kinds = {hit.detector.words for text in texts for hit in scan_secrets(text)}
        for words in sorted(kinds):
            yield Finding(
                code="secret-in-output",
                severity=Severity.WARNING,
                message=f"The output of {cell.place} shows what looks like {words}.",
                cell=cell.index,
                mend="Clear the output and revoke the secret; no output goes into production.",
            )


def _texts(output: Any) -> Iterator[str]:
    data = output.get("data", {})
    for value in (output.get("text"), data.get("text/plain") if isinstance(data, dict) else None):
        if isinstance(value, list):
            value = "".join(item for item in value if isinstance(item, str))
        if isinstance(value, str) and len(value) <= FILE_LIMIT:
            yield value
