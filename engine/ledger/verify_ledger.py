"""Verify a ledger without lexorder: `python verify_ledger.py LEDGER [--shard N] [--heads FILE --key PEM]`.

In: an SQLite file of the ledger, an export in lines of JSON, or the proof of one record by `lexorder ledger prove`;
signed heads and the public key to check them with. Out: what is wrong, with the number of the record, then `SOUND` or
`NOT SOUND`; exit code 0 sound, 1 not sound, 2 when it could not be checked. Guaranteed: standard library only
(signatures need `cryptography`); records are read one by one and never written. Why everything is stated here a second
time, encoding and tree: a copy of the writer's code would repeat the writer's mistakes. To be read in full and copied.
Before: `ledger.py`, `heads.py` write what is read here. After: `api/cli_ledger.py`, an auditor.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

FINDINGS_MAX, PAGE = 20, 1000
TEXTS, KEYS = ("kind", "at", "ref", "account"), ("seq", "kind", "at", "ref", "account", "body", "prev", "hash")
HEAD_KEYS = ("format", "shard", "size", "root", "hash", "at", "signature")
PROOF = b'{"format":"lexorder-proof-1"'
Entry = tuple[Any, ...]  # seq, kind, at, ref, account, body, prev, hash: as found, of whatever type
Nodes = dict[tuple[int, int], bytes]
Check = Callable[[bytes, bytes], bool]  # signature, message


class Result(NamedTuple):
    """`findings` say what is wrong and where; `size` records were read, `covered` of them by a signed head."""

    findings: tuple[str, ...]
    size: int
    covered: int


class UnreadableError(Exception):
    """The ledger, the heads or the key cannot be read at all; the text says why."""


def record_hash(entry: Entry) -> bytes | None:
    """SHA-256 over tag, number, lengths, hash before and fields; `None` when a field has the wrong type."""
    seq, *texts, body, prev, _ = entry
    if type(seq) is not int or not 0 <= seq < 2**63 or not all(type(text) is str for text in texts):
        return None
    if type(body) is not bytes or type(prev) is not bytes or len(prev) != 32:
        return None
    try:
        fields = [text.encode("utf-8") for text in texts]
    except UnicodeEncodeError:
        return None
    lengths = b"".join(len(field).to_bytes(4, "big") for field in [*fields, body])
    return sha256(b"lexorder-record-1\0" + seq.to_bytes(8, "big") + lengths + prev + b"".join(fields) + body).digest()


class Stack:
    """The tree so far: roots of complete subtrees, largest first, as (level, hash)."""

    def __init__(self) -> None:
        self.peaks: list[tuple[int, bytes]] = []
        self.size = 0

    def add(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take a leaf, yield every subtree that is complete with it: level, position, hash."""
        level, digest = 0, sha256(b"\0" + data).digest()
        self.size += 1
        while self.peaks and self.peaks[-1][0] == level:
            digest = sha256(b"\1" + self.peaks.pop()[1] + digest).digest()
            level += 1
            yield level, (self.size - 1) >> level, digest
        self.peaks.append((level, digest))

    def root(self) -> bytes:
        """RFC 6962, 2.1: the peaks folded from the right."""
        if not self.peaks:
            return sha256().digest()
        digest = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            digest = sha256(b"\1" + left + digest).digest()
        return digest


def check(entries: Iterable[Entry], heads: Sequence[dict[str, Any]], signed: Check | None, nodes: Nodes | None = None,
          shard: int = 0) -> Result:  # fmt: skip
    """Everything about a ledger. `nodes` are the stored hashes of inner nodes, `None` when none were kept."""
    found: list[str] = []
    wanted = _expected_heads(heads, signed, shard, found)
    stack, before, seq = Stack(), bytes(32), -1
    stored = dict(nodes) if nodes is not None else None
    _compare(wanted.pop(0, ()), stack, before, found)
    for seq, entry in enumerate(entries):
        digest = _check_entry(seq, entry, before, found)
        for level, position, node in stack.add(digest):
            if stored is not None and level % 8 == 0 and stored.pop((level, position), None) != node:
                found.append(f"record {seq}: the stored node {position} of level {level} is missing or another")
        before = digest
        _compare(wanted.pop(seq + 1, ()), stack, before, found)
        if len(found) >= FINDINGS_MAX:
            return Result((*found, "more was not looked for"), seq + 1, 0)
    size = seq + 1
    found += [f"record {size}: missing; a signed head counts {count} records" for count in sorted(wanted)]
    if stored:
        found.append(f"{len(stored)} stored nodes belong to no record")
    return Result(tuple(found), size, 0 if found else max((head["size"] for head in heads), default=0))


def _check_entry(seq: int, entry: Entry, before: bytes, found: list[str]) -> bytes:
    """The hash with which the chain goes on: the stored one if it could be one."""
    digest = record_hash(entry)
    if entry[0] != seq:
        found.append(f"record {seq}: missing or moved, record {entry[0]!r:.30} is in its place")
    if digest is None or digest != entry[7]:
        found.append(f"record {seq}: its content is not what its hash says")
    if entry[6] != before:
        found.append(f"record {seq}: does not follow the record before it")
    return entry[7] if type(entry[7]) is bytes and len(entry[7]) == 32 else bytes(32)


def _expected_heads(
    heads: Sequence[dict[str, Any]], signed: Check | None, shard: int, found: list[str]
) -> dict[int, list[dict[str, Any]]]:
    """Heads by size; what is wrong with them by themselves is noted."""
    expected: dict[int, list[dict[str, Any]]] = {}
    for number, head in enumerate(heads, 1):
        message = "".join(f"{head[key]}\n" for key in HEAD_KEYS[:-1]).encode()
        if signed is None or not signed(bytes.fromhex(head["signature"]), message):
            found.append(f"head {number}: its signature is not by the key given")
        elif head["shard"] != shard:
            found.append(f"head {number}: is of shard {head['shard']}")
        else:
            expected.setdefault(head["size"], []).append(head)
    return expected


def _compare(heads: Iterable[dict[str, Any]], stack: Stack, last: bytes, found: list[str]) -> None:
    other = (head for head in heads if (head["root"], head["hash"]) != (stack.root().hex(), last.hex()))
    found.extend(
        f"record {stack.size - 1}: it or one before it is not what was signed at {head['at']}" for head in other
    )


def entries_of_sqlite(path: Path, shard: int, top: int = 2**63 - 1) -> Iterator[Entry]:
    """Records in the order they were written, up to row `top`, from the table and not from an index beside it.

    Page by page: a reader that stayed in one transaction would keep the service from emptying its log.
    """
    columns, start = ", ".join(KEYS), -(2**63)
    query = f"SELECT rowid, {columns} FROM records NOT INDEXED WHERE shard IS ? AND rowid >= ? AND rowid <= ?"  # noqa: S608
    with closing(_opened(path)) as connection:
        while page := connection.execute(f"{query} ORDER BY rowid LIMIT {PAGE}", (shard, start, top)).fetchall():
            yield from (row[1:] for row in page)
            start = page[-1][0] + 1
            if start > top:
                return


def nodes_of_sqlite(path: Path, shard: int) -> tuple[Nodes, int]:
    """Stored nodes by level and position, and the last row at the same moment: the service may go on writing."""
    last = "SELECT coalesce(max(rowid), 0) AS top FROM records"
    query = f"SELECT top, level, position, hash FROM ({last}) LEFT JOIN tree_nodes ON shard IS ?"  # noqa: S608
    with closing(_opened(path)) as connection:
        rows = connection.execute(query, (shard,)).fetchall()
    return {(level, position): digest for _, level, position, digest in rows if level is not None}, rows[0][0]


def _opened(path: Path) -> sqlite3.Connection:
    # A file: address would read `?` and `#` in a name as its own; as_uri quotes them.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def entries_of_lines(path: Path) -> Iterator[Entry]:
    """Records of an export; a line in any other spelling than the export's own becomes an entry that is wrong."""
    with path.open("rb") as file:
        for line in file:
            yield _entry_of_line(line)


def _entry_of_line(line: bytes) -> Entry:
    try:
        found = json.loads(line.decode("ascii"))
        values = {key: found[key] for key in KEYS}
        if (json.dumps(values, separators=(",", ":")) + "\n").encode() != line:
            return (None,) * len(KEYS)
        values["body"] = values["body"].encode("utf-8", "surrogateescape")
        for key in ("prev", "hash"):
            digest = bytes.fromhex(values[key])
            if digest.hex() != values[key]:
                return (None,) * len(KEYS)
            values[key] = digest
        return tuple(values.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return (None,) * len(KEYS)


def heads_of(path: Path) -> list[dict[str, Any]]:
    """The signed heads of a file. Raises UnreadableError."""
    try:
        *lines, rest = path.read_text("ascii").split("\n")
        heads = [json.loads(line) for line in lines]
        for line, head in zip(lines, heads, strict=True):
            # One spelling only, down to the case of a hexadecimal digit: what differs was changed.
            same = json.dumps(head, separators=(",", ":")) == line and rest == ""
            if not same or tuple(head) != HEAD_KEYS or bytes.fromhex(head["signature"]).hex() != head["signature"]:
                raise ValueError
            if type(head["size"]) is not int or type(head["shard"]) is not int:
                raise ValueError
    except OSError as error:
        raise UnreadableError(f"the signed heads: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UnreadableError("the signed heads: a line is not one") from None
    return heads


def signature_check(path: Path) -> Check:
    """A check with the public key of a PEM file. Raises UnreadableError."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise UnreadableError("signatures: `pip install cryptography` first") from None
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise UnreadableError("the public key: no PEM file") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UnreadableError("the public key: not Ed25519")

    def signed(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return signed


def check_proof(text: str, signed: Check | None) -> Result:
    """The proof of one record: its hash, its path to the root, the signature of the head that names the root."""
    try:
        proof = json.loads(text)
        record, head, path = proof["record"], proof["head"], [bytes.fromhex(node) for node in proof["path"]]
        entry = _entry_of_line((json.dumps(record, separators=(",", ":")) + "\n").encode())
        size, root = proof["size"], proof["root"]
        digest = record_hash(entry)
        if digest is None or digest != entry[7]:
            return Result(("the record's content is not what its hash says",), 1, 0)
        if type(size) is not int or folded(digest, entry[0], size, path) != bytes.fromhex(root):
            return Result((f"record {entry[0]}: its path does not lead to the root",), 1, 0)
        if head is None:
            return Result((), 1, 0)
        found: list[str] = []
        known = _expected_heads([{key: head[key] for key in HEAD_KEYS}], signed, head["shard"], found)
        if not found and [named["root"] for named in known.get(size, ())] != [root]:
            found.append("the signed head names another root")
        return Result(tuple(found), 1, 0 if found else 1)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return Result(("the text is not a proof",), 0, 0)


def folded(data: bytes, seq: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root to which a path leads, by RFC 6962's own division of the tree, from the top down; empty if it cannot."""
    if not 0 <= seq < size:
        return b""
    if size == 1:
        return b"" if path else sha256(b"\0" + data).digest()
    if not path:
        return b""
    left = 1 << ((size - 1).bit_length() - 1)
    if seq < left:
        return sha256(b"\1" + folded(data, seq, left, path[:-1]) + path[-1]).digest()
    return sha256(b"\1" + path[-1] + folded(data, seq - left, size - left, path[:-1])).digest()


def check_file(path: Path, shard: int, heads: Sequence[dict[str, Any]], signed: Check | None) -> Result:
    """A file, whichever of the two kinds it is. Raises UnreadableError."""
    try:
        with path.open("rb") as file:
            start = file.read(len(PROOF))
            if start == PROOF:
                return check_proof(path.read_text("ascii"), signed)
            if not start.startswith(b"SQLite format 3"):
                return check(entries_of_lines(path), heads, signed, None, shard)
        nodes, top = nodes_of_sqlite(path, shard)
        return check(entries_of_sqlite(path, shard, top), heads, signed, nodes, shard)
    except UnicodeDecodeError:
        return Result(("the text is not a proof",), 0, 0)
    except OSError as error:
        raise UnreadableError(f"the ledger: {error.strerror}") from None
    except (sqlite3.Error, OverflowError) as error:
        return Result((f"the database file is damaged: {error}",), 0, 0)


def main(arguments: list[str]) -> int:
    """Check what the command line names, print the answer, return the exit code."""
    parser = argparse.ArgumentParser(description="Verify a ledger of lexorder.")
    parser.add_argument("ledger", type=Path, help="SQLite file, export or proof")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--heads", type=Path, help="signed heads, heads-<shard>.jsonl")
    parser.add_argument("--key", type=Path, help="public key of the heads, PEM")
    options = parser.parse_args(arguments)
    try:
        if options.heads is not None and options.key is None:
            raise UnreadableError("--heads needs --key")
        heads = heads_of(options.heads) if options.heads else []
        signed = signature_check(options.key) if options.key else None
        result = check_file(options.ledger, options.shard, heads, signed)
        if not result.size and not result.findings:
            raise UnreadableError(f"it holds no record of shard {options.shard}")
    except UnreadableError as error:
        sys.stdout.write(f"NOT CHECKED {error}\n")
        return 2
    sys.stdout.write("\n".join((*result.findings, summary(result, options.key is not None), "")))
    return 1 if result.findings else 0


def summary(result: Result, with_heads: bool) -> str:
    """The last line of the answer."""
    if result.findings:
        return f"NOT SOUND {len(result.findings)} findings in {result.size} records"
    if not with_heads:
        return f"SOUND {result.size} records, by themselves: without signed heads a rewritten ledger looks the same"
    return f"SOUND {result.size} records, {result.covered} of them covered by signed heads"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
