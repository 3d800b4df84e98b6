"""Text for a terminal as safe HTML: colours become classes, all else is text.

Tracebacks and streams come from notebooks, that is from anyone. Everything is
escaped; what is written out besides are ``<span class="…">`` with class names
from the fixed list below, so that a page needs no inline style and a strict
Content-Security-Policy holds. (nbconvert's `ansi2html` escapes as well, but
writes 256-colour codes as ``style=`` attributes.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

# CSI (colours, cursor), OSC up to its end (titles, hyperlinks), other two-byte
# escapes, and any other control character but newline and tab. The parts of a
# CSI are of disjoint characters, so that the time is linear.
_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])?"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)

# The first sixteen colours of xterm, as (red, green, blue): what a richer
# colour is rounded to. How each looks is the style sheet's choice, so that
# text stays readable in the light and the dark.
_PALETTE = (
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
)
_CUBE = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True)
class _Style:
    """What the terminal's pen looks like; colours are indices of the palette."""

    foreground: int | None = None
    background: int | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    inverse: bool = False

    @property
    def classes(self) -> str:
        names = []
        foreground, background = self.foreground, self.background
        if self.inverse:
            # "The other way round" needs no colours to be given: the class
            # swaps those of the page.
            foreground, background = background, foreground
            if foreground is None and background is None:
                names.append("ansi-inverse")
        if foreground is not None:
            names.append(f"ansi-fg-{foreground}")
        if background is not None:
            names.append(f"ansi-bg-{background}")
        names += [
            f"ansi-{name}" for name in ("bold", "dim", "italic", "underline") if getattr(self, name)
        ]
        return " ".join(names)


def to_html(text: str) -> Markup:
    """HTML that shows ``text`` as a terminal would, and can do nothing else."""
    parts: list[Markup] = []
    for style, piece in _pieces(text):
        if not piece:
            continue
        classes = style.classes
        body = escape(piece)
        parts.append(
            Markup('<span class="{}">{}</span>').format(classes, body) if classes else body
        )
    return Markup("").join(parts)


def to_text(text: str) -> str:
    """``text`` without escape sequences and control characters."""
    return "".join(piece for _, piece in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[_Style, str]]:
    """The text in runs of one style each."""
    text = _overwritten(text)
    style, at = _Style(), 0
    for match in _SEQUENCE.finditer(text):
        yield style, text[at : match.start()]
        at = match.end()
        if match["final"] == "m":
            style = _apply(style, match["parameters"])
    yield style, text[at:]


def _overwritten(text: str) -> str:
    """Lines as they stand at last: what comes after a carriage return replaces them.

    A progress bar draws itself a thousand times on one line.
    """
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    return "\n".join(_last_drawn(line) for line in text.split("\n"))


def _last_drawn(line: str) -> str:
    drawn = [part for part in line.split("\r") if part]
    return drawn[-1] if drawn else ""


def _apply(style: _Style, parameters: str) -> _Style:
    """The pen after one Select Graphic Rendition sequence (ECMA-48, xterm's colours)."""
    try:
        codes = [int(code or 0) for code in re.split("[;:]", parameters)]
    except ValueError:
        return style
    if len(codes) > 64:
        return style
    queue = iter(codes)
    for code in queue:
        if code == 0:
            style = _Style()
        elif code == 1:
            style = replace(style, bold=True)
        elif code == 2:
            style = replace(style, dim=True)
        elif code == 3:
            style = replace(style, italic=True)
        elif code == 4:
            style = replace(style, underline=True)
        elif code == 7:
            style = replace(style, inverse=True)
        elif code == 22:
            style = replace(style, bold=False, dim=False)
        elif code == 23:
            style = replace(style, italic=False)
        elif code == 24:
            style = replace(style, underline=False)
        elif code == 27:
            style = replace(style, inverse=False)
        elif 30 <= code <= 37:
            style = replace(style, foreground=code - 30)
        elif 90 <= code <= 97:
            style = replace(style, foreground=code - 90 + 8)
        elif code == 39:
            style = replace(style, foreground=None)
        elif 40 <= code <= 47:
            style = replace(style, background=code - 40)
        elif 100 <= code <= 107:
            style = replace(style, background=code - 100 + 8)
        elif code == 49:
            style = replace(style, background=None)
        elif code in (38, 48):
            colour = _extended(queue)
            if code == 38:
                style = replace(style, foreground=colour)
            else:
                style = replace(style, background=colour)
    return style


def _extended(queue: Iterator[int]) -> int | None:
    """The colour of ``38;5;n`` or ``38;2;r;g;b``, rounded to one of sixteen."""
    mode = next(queue, None)
    if mode == 5:
        index = next(queue, None)
        if index is None:
            return None
        return index if index < 16 else _nearest(_of_256(index))
    if mode == 2:
        red, green, blue = (next(queue, 0) for _ in range(3))
        return _nearest((red, green, blue))
    return None


def _of_256(index: int) -> tuple[int, int, int]:
    """Colour 16 to 255 of xterm: a cube of 6³, then 24 greys."""
    index = max(16, min(index, 255))
    if index >= 232:
        grey = 8 + (index - 232) * 10
        return grey, grey, grey
    index -= 16
    return _CUBE[index // 36], _CUBE[index // 6 % 6], _CUBE[index % 6]


def _nearest(colour: tuple[int, int, int]) -> int:
    return min(
        range(len(_PALETTE)),
        key=lambda i: sum((a - b) ** 2 for a, b in zip(_PALETTE[i], colour, strict=True)),
    )
