"""What is rendered for R, read by R itself."""

from __future__ import annotations

import math
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_ext.bundles.languages import r
from hub_ext.bundles.parameters import render

pytestmark = pytest.mark.skipif(
    shutil.which("Rscript") is None, reason="R is not installed (Debian: r-base-core)"
)

# Prints a value so that nothing of it is lost: code points, 17 digits.
SHOW = r"""
show <- function(x) {
  if (is.null(x)) "null"
  else if (is.list(x)) paste0("[", paste(sapply(x, show), collapse = ","), "]")
  else if (length(x) != 1) paste0("[", paste(sapply(x, show), collapse = ","), "]")
  else if (is.logical(x)) tolower(as.character(x))
  else if (is.character(x)) paste0("s", paste(utf8ToInt(x), collapse = "."))
  else if (is.nan(x)) "nan"
  else sprintf("%.17g", x)
}
"""


def show(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return "s" + ".".join(str(ord(character)) for character in value)
        case list():
            return f"[{','.join(map(show, value))}]"
        case float() if not math.isfinite(value):
            return {"nan": "nan", "inf": "Inf", "-inf": "-Inf"}[str(value)]
    return f"{value:.17g}"


_scalars = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
)
# A vector of one value is that value: R knows no scalars.
_values = st.none() | _scalars | st.lists(_scalars | st.none(), min_size=2, max_size=4)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_values, min_size=50, max_size=100))
def test_r_reads_the_values_that_were_given(values: list[Any]) -> None:
    named = {f"p{n}": value for n, value in enumerate(values)}
    script = SHOW + render("r", named) + "".join(f"cat(show({name}), '\\n')\n" for name in named)
    done = subprocess.run(
        ["Rscript", "--vanilla", "--encoding=UTF-8", "-"],
        input=script.encode(),
        capture_output=True,
        timeout=60,
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr.decode()
    found = [line.strip() for line in done.stdout.decode().splitlines()]
    for value, text in zip(values, found, strict=True):
        # Numbers of mixed kinds become doubles in a vector; their values stay.
        assert text == show(value), value


def test_names_of_lists_are_kept() -> None:
    source = r.assignments({"x": {"a b": 1, "": "y", "é": [1, 2]}})
    script = source + "cat(names(x), sep = '|'); cat(length(x[['é']]))"
    done = subprocess.run(
        ["Rscript", "--vanilla", "--encoding=UTF-8", "-"],
        input=script.encode(),
        capture_output=True,
        timeout=60,
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.decode() == "a b||é2"
