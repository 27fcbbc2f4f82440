"""Roots and proofs against the published vectors of Certificate Transparency and the text of RFC 6962."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.tree import (
    EMPTY,
    TILE,
    WIDTH,
    Tiles,
    Tree,
    consistent,
    included,
    leaf_hash,
    node_hash,
    reduced,
    split,
    tiles_at,
)

# The inputs and roots of Certificate Transparency's own tests, from github.com/transparency-dev/merkle
# (testonly/constants.go and testonly/reference_test.go, Apache-2.0).
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF = {
    0: ROOTS[1],
    1: "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    4: "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
}
NODE_23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NODE_67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
NODE_4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSION = [
    (0, 1, []),
    (0, 2, [LEAF[1]]),
    (1, 2, [LEAF[0]]),
    (2, 3, [ROOTS[2]]),
    (1, 5, [LEAF[0], NODE_23, LEAF[4]]),
    (0, 8, [LEAF[1], NODE_23, NODE_4567]),
    (5, 8, [LEAF[4], NODE_67, ROOTS[4]]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEAF[1], NODE_23, NODE_4567]),
    (2, 5, [NODE_23, LEAF[4]]),
    (6, 8, [NODE_45, NODE_67, ROOTS[4]]),
]


def of(leaves: list[bytes]) -> Tree:
    """A tree over leaf hashes in memory, which like the database keeps only every eighth level."""
    levels: dict[int, list[bytes]] = {0: leaves}

    def fetch(level: int, start: int, stop: int) -> list[bytes]:
        assert level % TILE == 0
        if level not in levels:
            below = fetch(level - TILE, 0, len(leaves) >> (level - TILE))
            levels[level] = [reduced(below[i : i + WIDTH]) for i in range(0, len(below) - WIDTH + 1, WIDTH)]
        found = levels[level][start:stop]
        assert len(found) == stop - start
        return found

    return Tree(fetch)


# RFC 6962, section 2.1, word for word: D[n] is a list of entries, k the largest power of two smaller than n.
def mth(entries):
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = power_below(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m, entries):
    if len(entries) == 1:
        return []
    k = power_below(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m, entries):
    return subproof(m, entries, True)


def subproof(m, entries, b):
    n = len(entries)
    if m == n:
        return [] if b else [mth(entries)]
    k = power_below(n)
    if m <= k:
        return [*subproof(m, entries[:k], b), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def power_below(n):
    return next(1 << i for i in range(64) if (1 << i) < n <= (1 << (i + 1)))


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    tree = of([leaf_hash(data) for data in INPUTS])
    assert tree.root(size).hex() == ROOTS[size] == mth(INPUTS[:size]).hex()


@pytest.mark.parametrize(("seq", "size", "expected"), INCLUSION)
def test_published_inclusion_proofs(seq, size, expected):
    found = of([leaf_hash(data) for data in INPUTS[:size]]).inclusion(seq, size)
    assert [node.hex() for node in found] == expected
    assert included(leaf_hash(INPUTS[seq]), seq, size, found, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "expected"), CONSISTENCY)
def test_published_consistency_proofs(old, new, expected):
    found = of([leaf_hash(data) for data in INPUTS[:new]]).consistency(old, new)
    assert [node.hex() for node in found] == expected
    assert consistent(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), found)


def entries_of(size):
    return [i.to_bytes(4, "big") for i in range(size)]


@pytest.mark.parametrize("size", [*range(1, 40), 63, 64, 65])
def test_every_proof_of_small_trees_is_that_of_the_rfc(size):
    entries = entries_of(size)
    leaves = [leaf_hash(data) for data in entries]
    tree, root = of(leaves), mth(entries)
    assert tree.root(size) == root
    for seq in range(size):
        assert tree.inclusion(seq, size) == path(seq, entries)
        assert included(leaves[seq], seq, size, tree.inclusion(seq, size), root)
        assert verify_ledger.folded(entries[seq], seq, size, tree.inclusion(seq, size)) == root
    for old in range(1, size + 1):
        assert tree.consistency(old, size) == proof(old, entries)
        assert consistent(old, size, mth(entries[:old]), root, tree.consistency(old, size))
    assert tree.consistency(0, size) == []
    assert consistent(0, size, EMPTY, root, [])


EDGES = [255, 256, 257, 511, 512, 513, 1000, 65535, 65536, 65537, 65792, 70000]
MANY = entries_of(max(EDGES))
MANY_LEAVES = [leaf_hash(data) for data in MANY]


@cache
def many(start, stop):
    """`mth(MANY[start:stop])`, each range once."""
    if stop - start == 1:
        return MANY_LEAVES[start]
    if start == stop:
        return EMPTY
    middle = start + power_below(stop - start)
    return sha256(b"\x01" + many(start, middle) + many(middle, stop)).digest()


def test_the_quick_reference_is_the_reference():
    assert [many(0, size) for size in range(70)] == [mth(MANY[:size]) for size in range(70)]
    assert many(256, 512) == mth(MANY[256:512])


@pytest.mark.parametrize("size", EDGES)
def test_trees_at_the_edges_of_tiles(size):
    tree = of(MANY_LEAVES)
    root = many(0, size)
    assert tree.root(size) == root
    for seq in {0, 1, 254, size // 2, size - 2, size - 1}:
        assert included(MANY_LEAVES[seq], seq, size, tree.inclusion(seq, size), root)
    for old in {1, 128, 255, size // 2, size - 1}:
        assert consistent(old, size, tree.root(old), root, tree.consistency(old, size))


@pytest.mark.parametrize("size", EDGES)
def test_nodes_stored_one_by_one_are_those_read_back(size):
    tiles, stored = Tiles(), {}
    for seq, leaf in enumerate(MANY_LEAVES[:size]):
        stored.update({(level, position): digest for level, position, digest in tiles.add(leaf, seq)})
    assert {level for level, _ in stored} <= {8, 16}
    for level in (8, 16):
        assert [stored.pop((level, i)) for i in range(size >> level)] == [
            many(i << level, (i + 1) << level) for i in range(size >> level)
        ]
    assert stored == {}

    def fetch(level, start, stop):
        if not level:
            return MANY_LEAVES[start:stop]
        return [many(i << level, (i + 1) << level) for i in range(start, stop)]

    again = tiles_at(size, fetch)
    rows = [row for row in tiles.pending if row]
    assert [row for row in again.pending if row] == rows
    # What comes next must go on in the same way from either.
    extra = [leaf_hash(b"more %d" % i) for i in range(600)]
    one = [node for i, leaf in enumerate(extra) for node in tiles.add(leaf, size + i)]
    assert one == [node for i, leaf in enumerate(extra) for node in again.add(leaf, size + i)]


@given(st.data())
def test_a_proof_of_anything_else_is_refused(data):
    size = data.draw(st.integers(1, 300))
    seq = data.draw(st.integers(0, size - 1))
    tree, root = of(MANY_LEAVES), many(0, size)
    found = tree.inclusion(seq, size)
    leaf = MANY_LEAVES[seq]
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != seq) if size > 1 else st.just(seq + 1))
    assert not included(leaf, other, size, found, root)
    assert not included(MANY_LEAVES[seq + 1], seq, size, found, root)
    assert not included(leaf, seq, size, [*found, root], root)
    assert not included(leaf, seq, size, [*found, found[-1]] if found else [leaf], root)
    assert not included(leaf, size, size, found, root)
    assert not included(leaf, -1, size, found, root)
    if found:
        changed = data.draw(st.integers(0, len(found) - 1))
        bit = data.draw(st.integers(0, 255))
        broken = list(found)
        broken[changed] = (int.from_bytes(found[changed], "big") ^ (1 << bit)).to_bytes(32, "big")
        assert not included(leaf, seq, size, broken, root)
        assert not included(leaf, seq, size, found[:-1], root)
        assert not included(leaf, seq, size, found[1:], root)
        assert verify_ledger.folded(MANY[seq], seq, size, broken) != root
        assert verify_ledger.folded(MANY[seq], seq, size, found[:-1]) != root
    assert verify_ledger.folded(MANY[seq], seq, size, [*found, root]) != root


@given(st.data())
def test_a_changed_consistency_proof_is_refused(data):
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    tree = of(MANY_LEAVES)
    old_root, new_root, found = many(0, old), many(0, new), tree.consistency(old, new)
    assert consistent(old, new, old_root, new_root, found)
    assert not consistent(old, new, new_root, old_root, found)
    assert not consistent(new, old, old_root, new_root, found)
    assert not consistent(old, new, many(0, old - 1), new_root, found)
    assert not consistent(old, new, old_root, many(0, new + 1), found)
    assert not consistent(old, new, old_root, new_root, [])
    assert not consistent(old, new, old_root, new_root, [*found, new_root])
    changed = data.draw(st.integers(0, len(found) - 1))
    broken = [*found[:changed], sha256(found[changed]).digest(), *found[changed + 1 :]]
    assert not consistent(old, new, old_root, new_root, broken)


def test_sizes_that_prove_nothing():
    root = many(0, 4)
    assert consistent(4, 4, root, root, [])
    assert not consistent(4, 4, root, many(0, 5), [])
    assert not consistent(4, 4, root, root, [root])
    assert not consistent(0, 4, root, root, [])
    assert not consistent(-1, 4, root, root, [])


def test_leaves_and_nodes_cannot_be_taken_for_each_other():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert node_hash(left, right) != leaf_hash(left + right)
    assert split(2) == 1
    assert [split(n) for n in (3, 4, 5, 8, 9)] == [2, 2, 4, 4, 8]


@given(st.integers(0, 600))
def test_the_verifiers_tree_is_the_same_tree(size):
    stack = verify_ledger.Stack()
    nodes = [node for data in MANY[:size] for node in stack.add(data)]
    assert stack.root() == many(0, size)
    assert all(digest == many(at << level, (at + 1) << level) for level, at, digest in nodes)
