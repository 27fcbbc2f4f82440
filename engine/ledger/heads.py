"""Signed tree heads: what the ledger held at a moment, kept in a second place.

In: a ledger, a signing key, the time. Out: one line per head in `heads-<shard>.jsonl`, Ed25519-signed; the public key
beside it. Guaranteed: a head is only signed when the stored tree still holds the head before it, and so does the last
record it counted (every record anew is the verifier's work); it is on disk when `write` returns; the signing key is
readable by its owner alone. Refused by `LedgerError`: a ledger that is shorter or another (`ledger-broken`), a key that
others can read (`ledger-key`).
Why a second place: whoever can rewrite the database can rewrite the chain in it from any record on; what he cannot do
is make the new one fit a head that was signed before.
Before: `reader.py`. After: the service's timer, the commands; `verify_ledger.py` reads heads without any of this.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.reader import Reader
from lexorder.engine.ledger.record import GENESIS

FORMAT = "lexorder-head-1"
PUBLIC_KEY = "heads.pub.pem"


@dataclass(frozen=True, slots=True)
class Head:
    """What a shard held.

    Attributes:
        format: Always `FORMAT`.
        shard: Which chain.
        size: How many records.
        root: RFC 6962 root over them, hexadecimal.
        hash: Hash of the last of them, hexadecimal; zeros when there are none.
        at: When it was signed, as in records.
        signature: Ed25519 over `signed_bytes`, hexadecimal.
    """

    format: str
    shard: int
    size: int
    root: str
    hash: str
    at: str
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """What the signature covers: the fields before it, one per line."""
        return "".join(f"{v}\n" for v in (self.format, self.shard, self.size, self.root, self.hash, self.at)).encode()

    def line(self) -> str:
        """The head as a line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key in a PEM file; made, with mode 0600, where there is none.

    Raises:
        LedgerError: `ledger-key`.
    """
    try:
        if not path.exists():
            _write_key(path)
        if path.stat().st_mode & 0o077:
            raise LedgerError("ledger-key", "others can read the signing key: its mode must be 0600")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise LedgerError("ledger-key", "the signing key cannot be read: an unencrypted PEM is needed") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError("ledger-key", "the signing key is not an Ed25519 key")
    return key


def _write_key(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A name of its own until it is whole: two processes that start together must end with one key.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass  # the other one was first: its key is the key
    finally:
        partial.unlink()


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public key, to give to whoever verifies."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file.

    Raises:
        LedgerError: `ledger-key`.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise LedgerError("ledger-key", "the public key cannot be read: a PEM is needed") from None
    if not isinstance(key, Ed25519PublicKey):
        raise LedgerError("ledger-key", "the public key is not an Ed25519 key")
    return key


def verified(head: Head, key: Ed25519PublicKey) -> bool:
    """Whether the head was signed with this key."""
    try:
        key.verify(bytes.fromhex(head.signature), head.signed_bytes())
    except (InvalidSignature, ValueError):
        return False
    return True


def head_now(ledger: Reader, at: str) -> Head:
    """What the ledger holds now, not signed yet."""
    size = ledger.committed
    return Head(FORMAT, ledger.shard, size, ledger.root(size).hex(), hash_at(ledger, size).hex(), at)


def hash_at(ledger: Reader, size: int) -> bytes:
    """The hash of the last of the first `size` records.

    Raises:
        LedgerError: `ledger-broken` when that record is not there.
    """
    if size == 0:
        return GENESIS
    record = next(ledger.read(size - 1, size), None)
    if record is None:
        raise LedgerError("ledger-broken", f"record {size - 1} is missing")
    return record.hash


def check(ledger: Reader, head: Head) -> None:
    """Raises `ledger-broken` when the ledger's stored tree, or the last record counted, is not what the head says."""
    if head.size > ledger.committed:
        raise LedgerError("ledger-broken", f"a signed head counts {head.size} records, {ledger.committed} are there")
    if (head.root, head.hash) != (ledger.root(head.size).hex(), hash_at(ledger, head.size).hex()):
        raise LedgerError("ledger-broken", f"the first {head.size} records are not those of a signed head")


class HeadLog:
    """The signed heads of one shard, in a folder that should be on another disk or machine.

    `last` is the newest head, `None` when there is none. One process writes.
    """

    def __init__(self, folder: Path, shard: int, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._shard = shard
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / PUBLIC_KEY).write_bytes(public_pem(key))
            self.path = folder / f"heads-{shard}.jsonl"
            _drop_torn_line(self.path)
        except OSError as error:
            raise _unavailable(error) from None
        known = read_heads(self.path)
        self.last = known[-1] if known else None
        if self.last is not None and not verified(self.last, key.public_key()):
            raise LedgerError("ledger-key", "the newest head was signed with another key")

    def write(self, ledger: Reader, at: str) -> Head:
        """Sign and store what the ledger holds now; the newest head is returned when nothing was added since.

        Raises:
            LedgerError: `ledger-broken` when the ledger no longer holds what the newest head says, `ledger-unavailable`
                when the second place cannot be written.
        """
        assert ledger.shard == self._shard, ledger.shard
        if self.last is not None:
            check(ledger, self.last)
            if self.last.size == ledger.committed:
                return self.last
        head = head_now(ledger, at)
        signed = Head(**{**asdict(head), "signature": self._key.sign(head.signed_bytes()).hex()})
        _append_or_refuse(self.path, signed.line() + "\n")
        self.last = signed
        return signed


def read_heads(path: Path) -> list[Head]:
    """The heads in a file, oldest first; none when there is no file. Their signatures are not checked here.

    Raises:
        LedgerError: `ledger-broken` for a line that is not a head, `ledger-unavailable`.
    """
    try:
        *lines, torn = path.read_text("ascii").split("\n") if path.exists() else [""]
        if torn:
            raise ValueError
        return [_head(line) for line in lines]
    except OSError as error:
        raise _unavailable(error) from None
    except (ValueError, TypeError, RecursionError):
        raise LedgerError("ledger-broken", "a line of the signed heads is not a head") from None


def _head(line: str) -> Head:
    found: dict[str, Any] = json.loads(line)
    head = Head(**found)
    if head.line() != line or head.format != FORMAT or type(head.size) is not int or type(head.shard) is not int:
        raise ValueError
    return head


def _append_or_refuse(path: Path, text: str) -> None:
    try:
        _append(path, text)
    except OSError as error:
        raise _unavailable(error) from None


def _append(path: Path, text: str) -> None:
    new = not path.exists()
    with path.open("ab") as file:
        before = file.tell()
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise
    if new:
        _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_torn_line(path: Path) -> None:
    """A power cut may leave half a line at the end; it was never reported as written."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(path, whole)


def _unavailable(error: OSError) -> LedgerError:
    return LedgerError("ledger-unavailable", f"the place of the signed heads does not answer: {error.strerror}")
