"""What `?sslmode=` of a PostgreSQL address asks for is what it gets, or nothing."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from tests.ledger.entries import fill


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for a host name, with its key."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, None)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), pem


@pytest.fixture
def secure(server, tmp_path):
    """A server that speaks TLS with a certificate of its own making for `localhost`; the file it lies in."""
    public, private = certificate("localhost")
    server.offer_tls(public, private)
    while server.execute("SHOW ssl") != [["on"]]:
        time.sleep(0.05)
    (tmp_path / "root.pem").write_bytes(public)
    yield tmp_path / "root.pem"
    server.refuse_tls()
    while server.execute("SHOW ssl") != [["off"]]:
        time.sleep(0.05)


def encrypted(ledger: Ledger) -> bool:
    with ledger.database.connect() as connection:
        answer = connection.exec_driver_sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
    return bool(answer)


@pytest.mark.parametrize(("mode", "expected"), [("prefer", True), ("require", True), ("disable", False)])
def test_a_server_with_tls(server, secure, opened, mode, expected):
    ledger = opened(f"{server.url()}?sslmode={mode}")
    fill(ledger, 3)
    assert encrypted(ledger) is expected


@pytest.mark.parametrize("mode", ["prefer", "disable", ""])
def test_a_server_without_tls(server, opened, mode):
    ledger = opened(f"{server.url()}?sslmode={mode}" if mode else server.url())
    fill(ledger, 3)
    assert not encrypted(ledger)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_is_refused_where_tls_is_required(server, mode):
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"{server.url()}?sslmode={mode}")
    assert caught.value.code == "ledger-unavailable"


def test_a_certificate_nobody_vouches_for_is_refused_where_it_must_be_checked(server, secure):
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"{server.url().replace('127.0.0.1', 'localhost')}?sslmode=verify-full")
    assert caught.value.code == "ledger-unavailable"


def test_a_certificate_that_is_vouched_for_is_taken_for_its_own_name_only(server, secure, opened, monkeypatch):
    made = ssl.create_default_context  # a new one each time: the driver changes those it makes for itself
    monkeypatch.setattr(ssl, "create_default_context", lambda: made(cafile=str(secure)))
    url = server.url()
    ledger = opened(f"{url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full")
    fill(ledger, 3)
    assert encrypted(ledger)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"{url}?sslmode=verify-full", 1)
    assert caught.value.code == "ledger-unavailable"
