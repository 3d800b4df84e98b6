"""Templates and static files: from view-models to HTML, and nothing else."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub_ext import words

HERE = Path(__file__).parent
STATIC = HERE / "static"

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        # Every value is text of unknown origin until it was made Markup by
        # code that escapes (`ansi.to_html` alone).
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["project"] = words.project
    return templates


def html(template: str, **context: Any) -> str:
    """The page as a string; a name that the template needs and lacks is an error."""
    return _templates().get_template(template).render(**context)


@cache
def static_files() -> dict[str, bytes]:
    """Name and content of each static file; they are few and small."""
    return {
        path.name: path.read_bytes()
        for path in sorted(STATIC.iterdir())
        if path.suffix in MEDIA_TYPES
    }


@cache
def version() -> str:
    """Names the content of all static files: it changes with any of them, so that
    browsers may keep them for a year."""
    digest = hashlib.sha256()
    for name, content in static_files().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]
