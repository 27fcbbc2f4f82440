"""The Merkle tree over the records of one shard, as in RFC 6962 section 2.1.

In: leaf hashes, by position. Out: the root of any prefix, inclusion paths, consistency paths, and the checks of both.
Guaranteed: same roots and paths as the RFC's definitions (tests compare with its recursive text and with published
vectors). A leaf is `SHA-256(0x00 ‖ hash of the record)`, a node `SHA-256(0x01 ‖ left ‖ right)`.
Why tiles: only every eighth level is stored (one hash in 256); what lies between is recomputed from at most 256 hashes,
so that a proof over millions of records reads a few thousand bytes and a commit writes next to nothing more.
Before: nothing. After: `reader.py`, `ledger.py`, `heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

TILE = 8
"""Levels per tile: a stored node stands for 256 of the stored nodes, or leaves, below it."""

WIDTH = 1 << TILE

EMPTY = sha256().digest()
"""The root of no records at all."""

Fetch = Callable[[int, int, int], Sequence[bytes]]
"""`fetch(level, start, stop)` gives stored hashes of a level that is a multiple of `TILE`; level 0 are the leaves."""

Node = tuple[int, int, bytes]
"""Level, position within the level, hash."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; `data` is the hash of a record."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def reduced(hashes: Sequence[bytes]) -> bytes:
    """The root over a number of equal subtrees that is a power of two."""
    row = list(hashes)
    assert len(row).bit_count() == 1, len(row)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def split(size: int) -> int:
    """The largest power of two below `size`, where RFC 6962 divides a tree of `size` leaves (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


class Tree:
    """A tree whose hashes lie elsewhere. All sizes and positions count leaves."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves; `EMPTY` for none."""
        return self._range(0, size) if size else EMPTY

    def inclusion(self, seq: int, size: int) -> list[bytes]:
        """The path from leaf `seq` to the root over the first `size` leaves, lowest first (2.1.1)."""
        assert 0 <= seq < size, (seq, size)
        return self._path(seq, 0, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """What shows that the first `old` leaves of a tree of `new` were never changed (2.1.2)."""
        assert 0 <= old <= new, (old, new)
        return self._subproof(old, 0, new, whole=True) if 0 < old < new else []

    def _range(self, start: int, stop: int) -> bytes:
        """The root over leaves `start` to `stop`, a range that RFC 6962's division reaches."""
        size = stop - start
        if size & (size - 1) == 0:
            return self._complete(size.bit_length() - 1, start // size)
        middle = start + split(size)
        return node_hash(self._range(start, middle), self._range(middle, stop))

    def _complete(self, level: int, index: int) -> bytes:
        below = level % TILE
        width = 1 << below
        return reduced(self._fetch(level - below, index * width, (index + 1) * width))

    def _path(self, seq: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        middle = start + split(stop - start)
        if seq < middle:
            return [*self._path(seq, start, middle), self._range(middle, stop)]
        return [*self._path(seq, middle, stop), self._range(start, middle)]

    def _subproof(self, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        if old == stop:
            return [] if whole else [self._range(start, stop)]
        middle = start + split(stop - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self._range(middle, stop)]
        return [*self._subproof(old, middle, stop, whole=False), self._range(start, middle)]


class Tiles:
    """The stored nodes that become complete as leaves arrive.

    `pending[k]` holds the hashes at level `8k` that belong to no complete tile yet: at most 255 each.
    """

    def __init__(self, pending: Iterable[Sequence[bytes]] = ()) -> None:
        self.pending = [list(row) for row in pending] or [[]]

    def add(self, leaf: bytes, size: int) -> list[Node]:
        """Take the leaf at position `size`, return the nodes it completes, lowest level first."""
        nodes: list[Node] = []
        carried = leaf
        for depth in range(len(self.pending) + 1):
            if depth == len(self.pending):
                self.pending.append([])
            row = self.pending[depth]
            row.append(carried)
            if len(row) < WIDTH:
                break
            carried = reduced(row)
            row.clear()
            level = (depth + 1) * TILE
            nodes.append((level, size >> level, carried))
        return nodes


def tiles_at(size: int, fetch: Fetch) -> Tiles:
    """The pending hashes of a tree of `size` leaves, read back."""
    pending = []
    level = 0
    while size >> level or not level:
        count = size >> level
        pending.append(fetch(level, count - count % WIDTH, count))
        level += TILE
    return Tiles(pending)


def included(leaf: bytes, seq: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` shows that `leaf` is at position `seq` of the tree with that size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= seq < size:
        return False
    position, last, digest = seq, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            digest = node_hash(sibling, digest)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and digest == root


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` shows that the tree of size `old` is a prefix of the one of size `new` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old in {0, new}:
        return not path and (old_root == new_root if old else old_root == EMPTY)
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
