"""Sphinx configuration. The reference pages are generated from the code at build time."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "Almanac"
author = "The Almanac developers"
copyright = "2026, The Almanac developers"

extensions = ["myst_parser", "almanac_reference"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_ext"]
nitpicky = True

html_theme = "furo"
html_title = "Almanac"
html_static_path: list[str] = []
