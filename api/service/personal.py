"""Personal data at rest: names, e-mail addresses and tax ids are stored encrypted.

In: the facts of an account or a trader; keys from `LEXORDER_PII_KEY`. Out: the same facts with sealed fields, and back
for the roles that may see them. Guaranteed: AES-256-GCM with a nonce of its own for each value; a sealed value opens
only in the place it was sealed for (owner and field are bound to it), so that swapping two of them is noticed; without
a key nothing personal is stored; keys rotate: the first seals, all open. Refused by `UsageError` (`bad-personal-key`,
never showing it) and by `Problem`: 409 `no-personal-key`, 500 `personal-data-damaged`. Why not the whole database: the
record must stay verifiable by people who may not read names. Before: `roles.py`, `problems.py`. After: the routes of
accounts and traders, the export.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role
from lexorder.engine.errors import UsageError

FIELDS: Final = frozenset({"name", "email", "tax_id"})
"""Fields of an account or a trader that say who a human is."""

READERS: Final = frozenset({Role.ADMIN, Role.RISK_OFFICER})
"""Roles that see them in clear."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
SEALED: Final = re.compile(r"sealed:1:([0-9a-f]{8}):([A-Za-z0-9_-]+={0,2})")


class Vault:
    """Seals and opens. `keys` is `LEXORDER_PII_KEY`: 32 bytes in base64, several with commas, the newest first.

    An empty text makes a vault that opens nothing and refuses to seal.
    """

    def __init__(self, keys: str = "") -> None:
        self._ciphers: dict[str, AESGCM] = {}
        for key in filter(None, (part.strip() for part in keys.split(","))):
            raw = _key_bytes(key)
            self._ciphers[_identifier(raw)] = AESGCM(raw)

    def seal(self, value: str, owner: str, field: str) -> str:
        """The value, readable only with the key and only as `field` of `owner`. Raises Problem `no-personal-key`."""
        identifier = next(iter(self._ciphers), None)
        if identifier is None:
            raise Problem(409, "no-personal-key", "Personal data is not stored without LEXORDER_PII_KEY.")
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[identifier].encrypt(nonce, value.encode("utf-8"), _place(owner, field))
        return f"sealed:1:{identifier}:{base64.urlsafe_b64encode(nonce + sealed).decode('ascii')}"

    def open(self, sealed: str, owner: str, field: str) -> str:
        """The value. Raises Problem `personal-data-damaged`, `no-personal-key` when its key is not among ours."""
        found = SEALED.fullmatch(sealed)
        if found is None:
            raise _damaged()
        cipher = self._ciphers.get(found.group(1))
        if cipher is None:
            raise Problem(409, "no-personal-key", "The key of this personal data is not in LEXORDER_PII_KEY.")
        try:
            raw = base64.urlsafe_b64decode(found.group(2))
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _place(owner, field)).decode("utf-8")
        except (InvalidTag, ValueError, binascii.Error):
            raise _damaged() from None

    def sealed(self, facts: Mapping[str, Any], owner: str) -> dict[str, Any]:
        """The facts as they are stored: every personal field that is there is sealed, also a forged one."""
        return {
            field: self.seal(str(value), owner, field) if field in FIELDS and value is not None else value
            for field, value in facts.items()
        }

    def shown(self, facts: Mapping[str, Any], owner: str, role: Role) -> dict[str, Any]:
        """Stored facts as the role may see them: personal fields in clear, or not at all."""
        if role not in READERS:
            return {field: value for field, value in facts.items() if field not in FIELDS}
        return {
            field: self.open(value, owner, field) if field in FIELDS and value is not None else value
            for field, value in facts.items()
        }


def new_key() -> str:
    """A key nobody has, as `LEXORDER_PII_KEY` wants it."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


def _key_bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise UsageError(
            "bad-personal-key", f"LEXORDER_PII_KEY must be {KEY_BYTES} bytes in base64, several with commas"
        )
    return raw


def _identifier(raw: bytes) -> str:
    """Which key sealed a value, without a word about the key."""
    return hashlib.sha256(b"lexorder-personal-key\0" + raw).hexdigest()[:8]


def _place(owner: str, field: str) -> bytes:
    """What a sealed value is bound to; the length keeps two places from being written alike."""
    return f"{len(owner)}:{owner}:{field}".encode()


def _damaged() -> Problem:
    return Problem(500, "personal-data-damaged", "Stored personal data cannot be opened.")
