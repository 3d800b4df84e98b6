"""Which address an attempt to sign in is counted for."""

from __future__ import annotations

import pytest

from hub_ext.auth.address import client_address


@pytest.mark.parametrize(
    ("header", "trusted", "address"),
    [
        ("", (), ""),
        ("192.0.2.1", (), "192.0.2.1"),
        # What the client wrote itself comes before what our proxy added.
        ("10.9.8.7, 192.0.2.1", (), "192.0.2.1"),
        ("10.9.8.7,192.0.2.1,127.0.0.1", (), "127.0.0.1"),
        # A proxy with TLS on this machine, which the operator has named.
        ("10.9.8.7,192.0.2.1,127.0.0.1", ("127.0.0.1",), "192.0.2.1"),
        ("127.0.0.1", ("127.0.0.1",), "127.0.0.1"),
        ("x" * 10_000, (), "x" * 64),
    ],
)
def test_address_is_the_word_of_the_nearest_trusted_proxy(
    header: str, trusted: tuple[str, ...], address: str
) -> None:
    assert client_address(header, trusted) == address
