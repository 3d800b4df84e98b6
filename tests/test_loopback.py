"""What counts as this machine, and that no proxy is asked on the way there."""

from __future__ import annotations

import pytest

from hub_ext.loopback import directly, on_this_machine


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:9000", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:9000/x", True),
        ("http://localhost:9000", True),
        ("https://localhost.example.org", False),
        ("http://10.0.0.1:9000", False),
        ("https://s3.example.org", False),
        ("", False),
    ],
)
def test_loopback_alone_is_this_machine(url: str, here: bool) -> None:
    assert on_this_machine(url) is here
    assert bool(directly(url)) is here
