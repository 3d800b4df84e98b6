from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from hub_ext.runner import sockets


@pytest.mark.parametrize(
    ("temporary", "expected"),
    [("/tmp", "/tmp"), ("/var/tmp", "/var/tmp"), ("/scratch/" + "x" * 40, "/tmp")],
)
def test_sockets_lie_where_their_paths_are_short_enough(
    temporary: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: temporary)
    assert sockets.temporary_folder() == Path(expected)


def test_the_name_of_every_attempt_fits_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = "/" + "x" * (sockets.FOLDER_LIMIT - sockets.NAME_LIMIT - 2)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: longest)
    folder = sockets.temporary_folder() / f"almanac-{'0' * 26}-999"
    assert folder.is_relative_to(longest)
    assert sockets.fits(folder)
