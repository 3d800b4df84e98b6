"""IPython's additions to Python, taken out so that `ast` can read a cell.

Each line keeps its number and its indentation: ``%matplotlib inline`` becomes
``pass``, and what is found in the rest still has its true place. IPython
itself does this at run time; it is not needed to read a notebook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# The body of these cell magics is Python; that of any other is not.
_PYTHON_CELL_MAGICS = frozenset({"time", "timeit", "capture", "prun", "python", "python3"})
_ASSIGNED = re.compile(r"^[ \t]*[\w., \t()\[\]*]+?=[ \t]*([!%])(?!=)[ \t]*(?=\S)")
_HELP = re.compile(r"^[ \t]*(?:\?{1,2}[ \t]*[\w.%*]+|%{0,2}[\w.*]+\?{1,2})[ \t]*$")
_PREFIX = re.compile(r"(?i)(?:[rbuft]|rb|br|rf|fr|tr|rt)?('''|\"\"\"|'|\")")


@dataclass(frozen=True)
class Magic:
    """One line that is IPython's, not Python's.

    Attributes:
        line: in the cell, from 1.
        kind: ``%``, ``!`` or ``?``.
        text: what follows the sign, continuation lines joined.
    """

    line: int
    kind: str
    text: str


def without_magics(source: str) -> str:
    """The source with every magic line replaced by ``pass``."""
    return _split(source)[0]


def magics(source: str) -> list[Magic]:
    """The magic lines of a cell, cell magic (``%%bash``) included."""
    return _split(source)[1]


def _split(source: str) -> tuple[str, list[Magic]]:
    lines = source.split("\n")
    out: list[str] = []
    found: list[Magic] = []
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        text = lines[first][2:]
        found.append(Magic(first + 1, "%", text))
        name = text.split(maxsplit=1)[0] if text.split() else ""
        out = [""] * first + ["pass"]
        if name not in _PYTHON_CELL_MAGICS:
            # A shell script under %%bash is searched line by line as `!` is.
            if name in ("bash", "sh", "!", "script"):
                found += [
                    Magic(n + 1, "!", line)
                    for n, line in enumerate(lines)
                    if n > first and line.strip()
                ]
            return "\n".join(out + [""] * (len(lines) - first - 1)), found
    number, closes = len(out), True
    while number < len(lines):
        line = lines[number]
        stripped = line.lstrip()
        indent = line[: len(line) - len(stripped)]
        assigned = _ASSIGNED.match(line)
        if stripped[:1] in ("%", "!", "?") or assigned or _HELP.match(line):
            last = number
            while lines[last].endswith("\\") and last + 1 < len(lines):
                last += 1
            joined = " ".join(part.rstrip("\\").strip() for part in lines[number : last + 1])
            if assigned:
                kind, text = assigned.group(1), joined.split(assigned.group(1), 1)[1]
            else:
                kind, text = (joined[0], joined[1:]) if joined[0] in "%!?" else ("?", joined)
            found.append(Magic(number + 1, kind, text.lstrip("!%").strip()))
            out += [f"{indent}pass"] + [""] * (last - number)
            number = last + 1
            continue
        # A whole logical line is copied: a % inside its strings or brackets is Python's.
        end = _end_of_logical_line(lines, number) if closes else number
        if end is None:
            # Never closed: the parser will say so. Line by line from here on,
            # so that magics are still seen and nothing is scanned again.
            closes, end = False, number
        out += lines[number : end + 1]
        number = end + 1
    return "\n".join(out), found


def _end_of_logical_line(lines: list[str], start: int) -> int | None:
    depth, quote = 0, ""
    for number in range(start, len(lines)):
        for sign in _signs(lines[number], quote):
            if quote:
                quote = ""
            elif sign in "([{":
                depth += 1
            elif sign in ")]}":
                depth = max(0, depth - 1)
            else:
                quote = sign
        if len(quote) == 1 and not lines[number].endswith("\\"):
            quote = ""  # a string that is not closed: the parser will say so
        if not (depth or quote or lines[number].endswith("\\")):
            return number
    return None


def _signs(line: str, quote: str) -> Iterator[str]:
    """Brackets and quotes that mean something, in order; ``quote`` is open at the start."""
    at = 0
    while at < len(line):
        if quote:
            if line[at] == "\\":
                at += 2
            elif line.startswith(quote, at):
                at += len(quote)
                yield quote
                quote = ""
            else:
                at += 1
        elif line[at] == "#":
            return
        elif opened := _PREFIX.match(line, at):
            quote = opened.group(1)
            at = opened.end()
            yield quote
        else:
            if line[at] in "([{)]}":
                yield line[at]
            at += 1
