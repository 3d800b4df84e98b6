"""What is left of a run: the executed notebook, and a page of it for people."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from hub_ext.runner.folder import write_bytes

INTERVAL = 1.0
"""Seconds between two savings of the notebook, at least."""
SHARE = 10
"""And at least so many times as long as the last saving took: however large
the notebook, saving takes at most about a tenth of the run."""

# Everything the page needs is in it. The policy keeps what outputs bring
# along (maps, charts) from fetching anything either.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy"
 content="default-src data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'none'">
{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


class NotebookFile:
    """Saves the notebook while it is executed, as a whole each time."""

    def __init__(self, path: Path, notebook: Any):
        self._path = path
        self._notebook = notebook
        self._next = 0.0

    def save(self, *, now: bool = False) -> None:
        """Save it, unless that was done a moment ago; ``now`` does so in any case."""
        started = time.monotonic()
        if not now and started < self._next:
            return
        import nbformat

        text: str = nbformat.v4.writes(self._notebook, ensure_ascii=False)
        write_bytes(self._path, (text + "\n").encode(errors="replace"), durable=now)
        ended = time.monotonic()
        self._next = ended + max(INTERVAL, SHARE * (ended - started))


def html(notebook: Any, title: str) -> str:
    """The notebook as one HTML page that loads nothing from anywhere.

    Formulas stay as TeX, and interactive widgets show their text: what would
    draw them is script from elsewhere.
    """
    from nbconvert.exporters.html import HTMLExporter

    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=False, sanitize_html=False)
    with warnings.catch_warnings():
        # IPython, which knows how to colour magics, is not installed here.
        warnings.filterwarnings("ignore", message="IPython3 lexer unavailable")
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(body)
