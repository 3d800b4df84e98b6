"""Text of kernels as HTML that can do nothing."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from hub_ext.jobs.pages import ansi


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("", ""),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a & b \" '", "a &amp; b &#34; &#39;"),
        ("\x1b[31mred\x1b[0m plain", '<span class="ansi-fg-1">red</span> plain'),
        ("\x1b[31mred\x1b[39m", '<span class="ansi-fg-1">red</span>'),
        ("\x1b[1;32mbold\x1b[m", '<span class="ansi-fg-2 ansi-bold">bold</span>'),
        ("\x1b[91;104mx", '<span class="ansi-fg-9 ansi-bg-12">x</span>'),
        ("\x1b[3;4;2mx", '<span class="ansi-dim ansi-italic ansi-underline">x</span>'),
        ("\x1b[7mx\x1b[27my", '<span class="ansi-inverse">x</span>y'),
        ("\x1b[31;7mx", '<span class="ansi-bg-1">x</span>'),
        ("\x1b[38;5;9mx", '<span class="ansi-fg-9">x</span>'),
        # IPython's own theme: 28 is a green of the cube, 241 a grey.
        ("\x1b[38;5;28;01mraise\x1b[39;00m", '<span class="ansi-fg-2 ansi-bold">raise</span>'),
        ("\x1b[38;5;241m=", '<span class="ansi-fg-8">=</span>'),
        ("\x1b[38;2;250;10;10mx", '<span class="ansi-fg-9">x</span>'),
        ("\x1b[48:5:21mx", '<span class="ansi-bg-4">x</span>'),
        # Markup inside of colour stays text inside of the colour's span.
        ("\x1b[31m</span><b>", '<span class="ansi-fg-1">&lt;/span&gt;&lt;b&gt;</span>'),
        # What is no colour is dropped: cursor, title, hyperlink, bell, C1.
        ("a\x1b[2Jb\x1b[1;1Hc", "abc"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x07b\x00c\x9b31md", "abcd"),
        # Not finished, not numbers, absurdly many.
        ("x\x1b[31", "x"),
        ("x\x1b", "x"),
        ("\x1b[" + "9" * 5000 + "mx", "x"),
        ("\x1b[" + "1;" * 100 + "mx", "x"),
        ("\x1b[38;5mx\x1b[38mx\x1b[48;9mx", "xxx"),
        # A progress bar is as it stands at last.
        (" 1%\r 50%\r100%\ndone", "100%\ndone"),
        ("50%\r", "50%"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_a_terminals_text_becomes_html(text: str, html: str) -> None:
    result = ansi.to_html(text)
    assert isinstance(result, Markup)
    assert str(result) == html


@given(
    st.text(alphabet=st.sampled_from("\x1b[]0123456789;:mK<>&\"'/abr\r\n\x07\x9b "), max_size=80)
)
def test_nothing_but_spans_of_known_classes_ever_comes_out(text: str) -> None:
    html = str(ansi.to_html(text))
    rest = re.sub(
        r'<span class="(?:ansi-[a-z0-9-]+ ?)+">|</span>|&(?:lt|gt|amp|#34|#39);', "", html
    )
    assert not set(rest) & set("<>&\"'")
    assert html.count("<span") == html.count("</span>")
    assert "\x1b" not in html


@given(st.text(max_size=200))
def test_text_without_control_characters_keeps_every_character(text: str) -> None:
    plain = "".join(char for char in text if char.isprintable() or char in "\n\t")
    assert ansi.to_text(plain) == plain
    assert Markup(str(ansi.to_html(plain))).unescape() == plain


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[" * 200_000,
        "\x1b]" * 200_000,
        "\x1b[" + "0" * 400_000,
        "\r" * 400_000,
        "\x1b " * 200_000,
    ],
    ids=["csi", "osc", "digits", "returns", "spaces"],
)
def test_hostile_text_takes_no_more_than_linear_time(hostile: str) -> None:
    began = time.process_time()
    ansi.to_html(hostile)
    assert time.process_time() - began < 5
