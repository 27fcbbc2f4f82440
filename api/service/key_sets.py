"""The public keys of an identity provider (JWKS, RFC 7517), from a file or an address.

In: a path, or an `https` address (`http` only on this machine). Out: for a key id the key and the one algorithm it is
good for. Guaranteed: only RSA from 2048 bits (RS256), P-256 (ES256) and Ed25519 (EdDSA), so a shared secret or `none`
can never verify anything; fetched in a thread of its own, never in the event loop; a fetch is bounded in time and
size and follows no redirect; a set older than `TRUST_S` is not used. Refused by `UsageError` (`bad-key-set`): what is
no such set. Why the key decides the algorithm and not the token: the token is the attacker's. Before: nothing.
After: `oidc.py`.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from lexorder.engine.errors import UsageError

REFETCH_S = 300.0
"""How often the set is fetched without being asked."""

ASKED_S = 10.0
"""A key id nobody knows makes the set be fetched again, but not more often than this."""

TRUST_S = 3600.0
"""With a set unfetched for longer no token is accepted: a withdrawn key could have been missed."""

FETCH_S = 5.0
SIZE_MAX = 1 << 20
KEYS_MAX = 100
RSA_BITS_MIN = 2048

log: Final = structlog.get_logger("lexorder.oidc")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and the algorithm it verifies; `bits` are its public numbers, so that a changed key is noticed."""

    algorithm: str
    key: Any
    bits: bytes


class KeySet:
    """The keys of one provider, kept fresh by a thread between `start` and `stop`."""

    def __init__(self, source: str, since: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._since = since
        self._keys: Mapping[str, PublicKey] = {}
        self._trusted_until = float("-inf")
        self._fetched = float("-inf")
        self._wake = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._changed: list[Callable[[], None]] = []
        _check_source(source)

    @property
    def trusted(self) -> bool:
        """Whether the set is recent enough to be used."""
        return self._since() <= self._trusted_until

    def get(self, kid: str) -> PublicKey | None:
        """The key of this id; asks for a new set when there is none."""
        found = self._keys.get(kid)
        if found is None and self._since() - self._fetched >= ASKED_S:
            self._wake.set()
        return found

    def on_change(self, told: Callable[[], None]) -> None:
        """Call `told` whenever a fetch brings other keys than before."""
        self._changed.append(told)

    def refresh(self) -> None:
        """Fetch now. Raises UsageError, httpx.HTTPError, OSError; the set then stays as it was."""
        self._fetched = started = self._since()
        keys = read_key_set(_fetched(self._source))
        other = keys != self._keys
        self._keys = keys
        self._trusted_until = started + TRUST_S
        if other:
            for told in self._changed:
                told()

    def start(self) -> None:
        """Go on fetching in a thread. The first fetch may fail: the provider may start later than we do."""
        self._thread = threading.Thread(target=self._watch, name="oidc", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            self._wake.clear()
            if self._ended:  # asked after clearing, or a stop between the two would not be heard
                return
            try:
                self.refresh()
            except Exception as error:  # whatever a provider sends: trust runs out by itself
                log.error("issuer-keys-unreadable", kind=type(error).__name__)
            # A provider that failed is asked again soon.
            self._wake.wait(REFETCH_S if self.trusted else ASKED_S)


def read_key_set(text: bytes) -> dict[str, PublicKey]:
    """The usable keys by id. Keys of other kinds or for other uses are left out. Raises UsageError `bad-key-set`."""
    try:
        entries = msgspec.json.decode(text)["keys"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        entries = None
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise _bad(f"it must be an object with at most {KEYS_MAX} `keys`")
    found: dict[str, PublicKey] = {}
    for entry in entries:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or not kid:
            continue
        key = _public(entry)
        if key is None:
            continue
        if kid in found:
            raise _bad("two keys have the same id")
        found[kid] = key
    return found


def _public(entry: Mapping[str, Any]) -> PublicKey | None:
    """The key of one entry, None when it is not for verifying signatures or of another kind."""
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return None
    try:
        key = jwt.PyJWK(dict(entry), _algorithm(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        usable = key.key_size >= RSA_BITS_MIN
        return PublicKey("RS256", key, f"{numbers.n}:{numbers.e}".encode()) if usable else None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        point = key.public_numbers()
        return PublicKey("ES256", key, f"{point.x}:{point.y}".encode())
    return PublicKey("EdDSA", key, key.public_bytes_raw()) if isinstance(key, Ed25519PublicKey) else None


ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def _algorithm(entry: Mapping[str, Any]) -> str:
    """The algorithm of the key's kind; KeyError for another kind, ValueError when the entry says another."""
    algorithm = ALGORITHMS[entry["kty"]]
    if entry.get("alg", algorithm) not in {algorithm, "Ed25519" if algorithm == "EdDSA" else algorithm}:
        raise ValueError
    return algorithm


def _check_source(source: str) -> None:
    if "://" not in source:
        return
    parts = urlsplit(source)
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(parts.hostname or "")):
        raise _bad("its address must be https")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetched(source: str) -> bytes:
    if "://" not in source:
        with Path(source).open("rb") as file:
            return _bounded(file.read(SIZE_MAX + 1))
    deadline = time.monotonic() + FETCH_S
    body = b""
    with httpx.stream("GET", source, timeout=FETCH_S, follow_redirects=False) as response:
        if response.status_code != httpx.codes.OK:
            raise _bad("the provider did not answer with the key set")
        for chunk in response.iter_bytes():
            body = _bounded(body + chunk)
            if time.monotonic() > deadline:
                raise _bad("the provider is too slow")
    return body


def _bounded(body: bytes) -> bytes:
    if len(body) > SIZE_MAX:
        raise _bad(f"it is larger than {SIZE_MAX:,} bytes")
    return body


def _bad(message: str) -> UsageError:
    return UsageError("bad-key-set", f"the identity provider's key set cannot be used: {message}")
