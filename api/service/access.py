"""Who is calling, and whether they may.

In: the `Authorization` header of a request; the method and the route's template. Out: a `Principal`, or a refusal.
Guaranteed: deny by default (`roles.yaml`); a credential seen before is answered from memory by the digest of the
header, in about two microseconds; revoking a key or changing the issuer's keys empties that memory, within
`REREAD_S` in every process; when the key table has not been read for `TRUST_S` seconds nobody is let in. Refused by
`Problem`: 401 `no-credentials`, `bad-credentials`, `key-expired`, `key-revoked`, what `oidc.py` lists; 403
`not-permitted`, `account-not-permitted`; 403 `not-an-approver` and 409 `second-person-required`; 503 `keys-unreadable`.
Why synchronous: the order check must not leave its task for a look-up. Before: `keys.py`, `oidc.py`, `roles.py`,
`principal.py`. After: `guard.py`, the routes.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import HTTPConnection

from lexorder.api.service.keys import KeyRecord, KeyStore, parse_key
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Matrix, shipped_matrix

if TYPE_CHECKING:
    from lexorder.api.service.oidc import Tokens

REREAD_S = 1.0
"""How often the key table is read again: at most so long a key revoked by another process still works."""

TRUST_S = 10.0
"""With a key table unread for longer nobody is let in: a revocation could have been missed."""

HELD_MAX = 10_000
"""Credentials kept in memory; beyond it the oldest go."""

HEADER_MAX = 8192
"""Bytes of an `Authorization` header; a longer one is no credential of ours."""

CHALLENGE = ((b"www-authenticate", b"Bearer"),)

log = structlog.get_logger("lexorder.access")


class Access:
    """Authenticates and authorises. Safe to use from several threads.

    `keys` is the table of API keys, `tokens` the OIDC verifier if there is one. `now` is epoch seconds, `since` a
    clock that never goes back; tests replace both.
    """

    def __init__(
        self,
        keys: KeyStore,
        tokens: Tokens | None = None,
        matrix: Matrix | None = None,
        now: Callable[[], float] = time.time,
        since: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self.tokens = tokens
        self.matrix = matrix or shipped_matrix()
        self._now = now
        self._since = since
        self._held: dict[bytes, Principal] = {}
        self._records: dict[str, KeyRecord] = {}
        self._trusted_until = float("-inf")
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def principal(self, authorization: bytes) -> Principal:
        """Who the header names. Raises Problem 401 or 503."""
        if self._since() > self._trusted_until:
            raise Problem(503, "keys-unreadable", "Keys cannot be read at the moment; nobody is let in.")
        digest = hashlib.sha256(authorization).digest()
        # One memory from beginning to end: if a refresh empties it meanwhile, what is found now goes with the old one.
        memory = self._held
        held = memory.get(digest)
        if held is not None and self._still_good(held):
            return held
        found = self._identify(authorization)
        _hold(memory, digest, found)
        return found

    def permit(self, principal: Principal, method: str, endpoint: str) -> None:
        """Nothing when the matrix allows it. Raises Problem 403 `not-permitted`."""
        if not self.matrix.allows(principal.role, principal.scopes, method, endpoint):
            raise Problem(403, "not-permitted", "This role or key may not do this.", role=principal.role.value)

    def may_see(self, principal: Principal, account: str) -> bool:
        """Whether the principal's key or token covers the account."""
        return principal.accounts is None or account in principal.accounts

    def permit_account(self, principal: Principal, account: str) -> None:
        """Nothing when the account is covered. Raises Problem 403 `account-not-permitted`."""
        if not self.may_see(principal, account):
            raise Problem(403, "account-not-permitted", "This key does not cover the account.")

    def current(self, principal: Principal) -> bool:
        """Whether a principal let in earlier is still welcome; streams ask before they send."""
        if self._since() > self._trusted_until or not self._still_good(principal):
            return False
        if principal.kind == "token":
            return self.tokens is not None and self.tokens.current(principal)
        record = self._records.get(principal.credential)
        return record is not None and record.revoked is None

    def refresh(self) -> None:
        """Read the key table now. Raises LedgerError when it cannot; memory and trust then stay as they were."""
        with self._reading:  # or a slow reader could put back what a later one has replaced
            started = self._since()
            records = {record.id: record for record in self.keys.records()}
            if records != self._records:
                self._records = records
                self._held = {}
            self._trusted_until = started + TRUST_S

    def start(self) -> None:
        """Read the key table, then go on reading it and the issuer's keys in threads. Raises LedgerError."""
        self.refresh()
        if self.tokens is not None:
            self.tokens.on_change(self.forget)
            self.tokens.keys.start()
        self._thread = threading.Thread(target=self._watch, name="keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        if self.tokens is not None:
            self.tokens.keys.stop()
        if self._thread is not None:
            self._thread.join()

    def forget(self) -> None:
        """Empty the memory of credentials: each is verified anew."""
        self._held = {}

    def _watch(self) -> None:
        while not self._stop.wait(REREAD_S):
            try:
                self.refresh()
            except Exception as error:  # whatever the database says: trust runs out by itself
                log.error("keys-unreadable", kind=type(error).__name__)

    def _still_good(self, held: Principal) -> bool:
        if held.expires is not None and self._now() >= held.expires:
            return False
        return held.kind == "key" or (self.tokens is not None and self.tokens.keys.trusted)

    def _identify(self, authorization: bytes) -> Principal:
        scheme, _, credential = authorization.partition(b" ")
        if not authorization:
            raise Problem(401, "no-credentials", "Send `Authorization: Bearer` and a key.", headers=CHALLENGE)
        if scheme.lower() != b"bearer" or len(authorization) > HEADER_MAX or not credential.isascii():
            raise bad_credentials()
        text = credential.strip().decode("ascii")
        if text.startswith("lx_"):
            return self._by_key(text)
        if self.tokens is None:
            raise bad_credentials()
        return self.tokens.principal(text)

    def _by_key(self, text: str) -> Principal:
        parsed = parse_key(text)
        record = self._records.get(parsed.id) if parsed else None
        if parsed is None or record is None or not record.matches(parsed.secret):
            raise bad_credentials()
        if record.revoked is not None:
            raise Problem(401, "key-revoked", "This key was revoked.", headers=CHALLENGE)
        if record.expires is not None and self._now() >= record.expires.timestamp():
            raise Problem(401, "key-expired", "This key has expired.", headers=CHALLENGE)
        return record.principal(self.matrix)


def _hold(memory: dict[bytes, Principal], digest: bytes, found: Principal) -> None:
    while len(memory) >= HELD_MAX:
        memory.pop(next(iter(memory), b""), None)
    memory[digest] = found


def bad_credentials() -> Problem:
    """One answer for every credential that is not ours: it does not tell a wrong secret from an unknown key."""
    return Problem(401, "bad-credentials", "This is no valid key or token.", headers=CHALLENGE)


def require(endpoint: str) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    """A FastAPI dependency that gives the `Principal` of a route and refuses who may not use it.

    `endpoint` is the route's template as in `roles.yaml`, such as `/v1/limits/{id}`. The app must hold its `Access` in
    `app.state.access`. A principal that the guard found already is not looked up again.
    """

    async def permitted(connection: HTTPConnection) -> Principal:
        scope = connection.scope
        access: Access = connection.app.state.access
        principal: Principal = scope.get("principal") or access.principal(authorization_of(scope["headers"]))
        access.permit(principal, scope.get("method", "WEBSOCKET"), endpoint)
        return principal

    return permitted


def authorization_of(headers: Any) -> bytes:
    """The `Authorization` header of an ASGI scope, empty when there is none. Raises Problem when there are two."""
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) > 1:
        raise bad_credentials()
    return bytes(found[0]) if found else b""
