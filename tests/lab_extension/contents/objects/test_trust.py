from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_stores import FakeStore, fake_store, found

from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.faults import StoreDown
from lab_extension.contents.objects.store import Store, StoreSettings
from lab_extension.contents.objects.trust import Trust


def certificate(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority of one's own, or a certificate of this machine that it issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The file of the authority that issued what `secure` shows."""
    ca = certificate("Statistical Office CA")
    own, key = certificate("store", ca)
    (tmp_path / "ca.pem").write_bytes(
        "# Amt für Statistik\n".encode() + ca[0].public_bytes(serialization.Encoding.PEM)
    )
    (tmp_path / "store.pem").write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tmp_path / "ca.pem"


@pytest.fixture
def secure(authority: Path) -> Iterator[FakeStore]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("store.pem"))
    with fake_store(tls=context) as running:
        running.answer = lambda _: found(b"x")
        yield running


def of(fake: FakeStore, **settings: object) -> Store:
    keys = StaticKeys("k", "s")
    return Store(StoreSettings(fake.endpoint, "b", credentials=keys, **settings))  # type: ignore[arg-type]


async def asked(store: Store) -> None:
    """By obstore, and by a request of our own."""
    try:
        await store.head("x")
        await store._api.head("x")
    finally:
        await store.close()


async def test_trusts_an_authority_that_a_setting_names(secure: FakeStore, authority: Path) -> None:
    await asked(of(secure, ca_bundle=str(authority)))


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_trusts_an_authority_that_the_environment_names(
    secure: FakeStore, authority: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority))
    await asked(of(secure))


async def test_trusts_anybody_if_told_to(secure: FakeStore) -> None:
    await asked(of(secure, verify_tls=False))


async def test_says_that_a_certificate_is_not_trusted(secure: FakeStore) -> None:
    store = of(secure, ca_bundle="")
    for call in (store.head("x"), store._api.head("x")):
        with pytest.raises(StoreDown, match="not one that this server trusts") as caught:
            await call
        assert "AWS_CA_BUNDLE" in caught.value.mend
    await store.close()
    assert secure.asked == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_bundle_of_no_use_stops_no_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert Trust.of(bundle=str(path)) == Trust()
    assert str(path) in caplog.text
