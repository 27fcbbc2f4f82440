"""API keys: made, shown once, listed, revoked.

In: a role, an owner and limits; later the text of a key. Out: `lx_<id>_<secret>`, a `KeyRecord`. Guaranteed: the table
holds the SHA-256 of the secret and never the secret; comparing takes the same time for every wrong secret. Why no slow
hash: the secret is 256 random bits, so nobody can try them all, however fast the hash; slow hashes protect what people
choose themselves, and would cost every first request a tenth of a second. Refused by `UsageError`: `bad-key-field`
(names the field), `unknown-key`, `admin-key-shape`. Before: `engine/ledger/tables.py`, `roles.py`, `principal.py`.
After: `access.py`, `cli_keys.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lexorder.api.service.principal import Principal
from lexorder.api.service.roles import Matrix, Role, Scope, shipped_matrix
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.record import instant
from lexorder.engine.ledger.tables import api_keys as table

SHAPE = re.compile(r"lx_([a-z2-7]{10})_([0-9a-f]{64})")
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
NAME_MAX = 100
ACCOUNTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class KeyText:
    """The two parts of a key as its owner holds it."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"lx_{self.id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One row of the table. `accounts` None means all, `scopes` None all of the role."""

    id: str
    hash: bytes
    name: str
    owner: str
    role: Role
    accounts: frozenset[str] | None
    scopes: frozenset[Scope] | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's."""
        return hmac.compare_digest(self.hash, digest(secret))

    def principal(self, matrix: Matrix) -> Principal:
        """Who comes with this key. Scopes the role does not have are worth nothing."""
        scopes = matrix.scopes_of(self.role)
        narrowed = scopes if self.scopes is None else scopes & self.scopes
        expires = None if self.expires is None else self.expires.timestamp()
        return Principal(f"key:{self.id}", self.role, self.accounts, narrowed, expires, self.owner, "key", self.id)

    def to_json(self) -> dict[str, Any]:
        """What may be shown of a key: everything but the hash."""
        return {
            "id": self.id,
            "name": self.name,
            "owner": self.owner,
            "role": self.role.value,
            "accounts": None if self.accounts is None else sorted(self.accounts),
            "scopes": None if self.scopes is None else sorted(self.scopes),
            "created": instant(self.created),
            "expires": _written_time(self.expires),
            "revoked": _written_time(self.revoked),
        }


class KeyStore:
    """The table of keys in the ledger's database, which must have its tables (`Database.create`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def records(self) -> tuple[KeyRecord, ...]:
        """Every key, revoked ones too, oldest first. Raises LedgerError when the database does not answer."""
        with self._database.connect() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.created, table.c.id))
            return tuple(_record(row) for row in rows)

    def create(
        self,
        role: Role,
        name: str,
        *,
        owner: str = "",
        accounts: Iterable[str] | None = None,
        scopes: Iterable[Scope] | None = None,
        lifetime_s: int | None = None,
        text: KeyText | None = None,
        now: datetime | None = None,
    ) -> tuple[KeyText, KeyRecord]:
        """A new key. Its text is known here and never again.

        `owner` is the human who answers for it, the name when empty; `lifetime_s` None means that it does not expire.
        Raises UsageError `bad-key-field`, also for a scope that the role never has: such a key would open nothing.
        """
        text = text or new_key()
        created = now or datetime.now(UTC)
        record = KeyRecord(
            id=text.id,
            hash=digest(text.secret),
            name=_worded("name", name),
            owner=_worded("owner", owner or name),
            role=role,
            accounts=_accounts(accounts),
            scopes=None if scopes is None else _scopes(role, frozenset(scopes)),
            created=created,
            expires=None if lifetime_s is None else created + timedelta(seconds=_lifetime(lifetime_s)),
            revoked=None,
        )
        with self._database.begin() as connection:
            connection.execute(sa.insert(table).values(**_row(record)))
        return text, record

    def revoke(self, identifier: str, now: datetime | None = None) -> KeyRecord:
        """The key does not open anything from now on; revoking again changes nothing. Raises UsageError."""
        at = instant(now or datetime.now(UTC))
        change = sa.update(table).where(table.c.id == identifier, table.c.revoked.is_(None)).values(revoked=at)
        with self._database.begin() as connection:
            connection.execute(change)
            row = connection.execute(sa.select(table).where(table.c.id == identifier)).first()
        if row is None:
            raise UsageError("unknown-key", "there is no key with this id; `lexorder keys list` shows all")
        return _record(row)


def _scopes(role: Role, wanted: frozenset[Scope]) -> frozenset[Scope]:
    known = shipped_matrix().scopes_of(role)
    strange = sorted(wanted - known)
    if strange:
        words = (
            f"scopes: the role {role.value} never has {', '.join(strange)}; its scopes are {', '.join(sorted(known))}"
        )
        raise UsageError("bad-key-field", words)
    return wanted


def parse_key(text: str) -> KeyText | None:
    """The parts of a key, None when it does not look like one."""
    found = SHAPE.fullmatch(text)
    return KeyText(found.group(1), found.group(2)) if found else None


def new_key() -> KeyText:
    """A key nobody has: 50 random bits of id, 256 of secret."""
    return KeyText("".join(secrets.choice(ALPHABET) for _ in range(10)), secrets.token_hex(32))


def digest(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def first_key(store: KeyStore, folder: Path, given: str = "") -> Path | None:
    """Make sure that somebody can get in: on an empty table, an admin key.

    `given` (from `LEXORDER_ADMIN_KEY`) is taken when there is one; otherwise a key is made and written to
    `folder/admin.key`, readable by its owner alone. Returns the file when one was written. Raises UsageError
    `admin-key-shape` when what was given is no key.
    """
    text = None
    if given:
        text = parse_key(given)
        if text is None:
            raise UsageError(
                "admin-key-shape", "LEXORDER_ADMIN_KEY must look like lx_<id>_<secret>: `keys new` makes one"
            )
    if store.records():
        return None
    made, _ = store.create(Role.ADMIN, "first admin", text=text)
    return None if given else _written(folder / "admin.key", str(made))


def _written(path: Path, text: str) -> Path:
    """The file with mode 0600 from its first moment; never through a link somebody else put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    return path


def _record(row: Any) -> KeyRecord:
    accounts, scopes = json.loads(row.accounts), json.loads(row.scopes)
    return KeyRecord(
        id=row.id,
        hash=bytes(row.hash),
        name=row.name,
        owner=row.owner,
        role=Role(row.role),
        accounts=None if accounts is None else frozenset(accounts),
        scopes=None if scopes is None else frozenset(Scope(s) for s in scopes),
        created=datetime.fromisoformat(row.created),
        expires=_read_time(row.expires),
        revoked=_read_time(row.revoked),
    )


def _row(record: KeyRecord) -> dict[str, Any]:
    shown = record.to_json()
    return {
        **shown,
        "accounts": json.dumps(shown["accounts"]),
        "scopes": json.dumps(shown["scopes"]),
        "hash": record.hash,
    }


def _written_time(time: datetime | None) -> str | None:
    return None if time is None else instant(time)


def _read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _worded(field: str, text: str) -> str:
    if not 0 < len(text.strip()) <= NAME_MAX or not text.isprintable():
        raise UsageError("bad-key-field", f"{field} must be 1 to {NAME_MAX} printable characters")
    return text.strip()


def _accounts(accounts: Iterable[str] | None) -> frozenset[str] | None:
    if accounts is None:
        return None
    found = frozenset(accounts)
    if not found or len(found) > ACCOUNTS_MAX or not all(a and a.isprintable() for a in found):
        raise UsageError("bad-key-field", f"accounts must name 1 to {ACCOUNTS_MAX} accounts, or be left out for all")
    return found


def _lifetime(seconds: int) -> int:
    if not 0 < seconds <= 10 * 366 * 86400:
        raise UsageError("bad-key-field", "a key must expire within ten years")
    return seconds
