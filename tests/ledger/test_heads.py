"""Signed heads: what is signed, where it is kept, and that a ledger which changed is not signed again."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from lexorder.engine.ledger import heads as module
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import (
    PUBLIC_KEY,
    Head,
    HeadLog,
    check,
    head_now,
    public_key,
    public_pem,
    read_heads,
    signing_key,
    verified,
)
from lexorder.engine.ledger.record import GENESIS
from lexorder.engine.ledger.tree import EMPTY
from tests.ledger.entries import AT, fill
from tests.ledger.test_ledger import harm

LATER = "2026-11-21T09:31:00.000000Z"


@pytest.fixture
def key(tmp_path):
    return signing_key(tmp_path / "key.pem")


@pytest.fixture
def log(tmp_path, key):
    return HeadLog(tmp_path / "second", 0, key)


def test_a_head_says_what_the_ledger_holds(ledger, log, key):
    records = fill(ledger, 300)
    head = log.write(ledger, AT)
    assert (head.size, head.shard, head.at) == (300, 0, AT)
    assert (head.root, head.hash) == (ledger.root().hex(), records[-1].hash.hex())
    assert verified(head, key.public_key())
    assert read_heads(log.path) == [head]
    check(ledger, head)


def test_an_empty_ledger_can_be_signed(ledger, log):
    head = log.write(ledger, AT)
    assert (head.size, head.root, head.hash) == (0, EMPTY.hex(), GENESIS.hex())
    fill(ledger, 1)
    assert log.write(ledger, LATER).size == 1


def test_nothing_new_is_not_signed_twice(ledger, log):
    fill(ledger, 3)
    head = log.write(ledger, AT)
    assert log.write(ledger, LATER) is head
    assert len(read_heads(log.path)) == 1


def test_heads_follow_each_other_and_survive_a_restart(ledger, log, tmp_path, key):
    written = []
    for at in (AT, LATER):
        fill(ledger, 200)
        written.append(log.write(ledger, at))
    again = HeadLog(tmp_path / "second", 0, key)
    assert again.last == written[-1]
    fill(ledger, 1)
    written.append(again.write(ledger, LATER))
    assert read_heads(log.path) == written
    assert [head.size for head in written] == [200, 400, 401]


CHANGES: list[dict[str, object]] = [
    {"size": 299}, {"root": "0" * 64}, {"hash": "0" * 64}, {"at": LATER}, {"shard": 1}, {"signature": "00" * 64},
    {"signature": "zz"}, {"signature": ""}, {"format": "lexorder-head-2"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_breaks_the_signature(ledger, log, key, change):
    fill(ledger, 5)
    head = log.write(ledger, AT)
    values = {name: getattr(head, name) for name in Head.__slots__}
    assert not verified(Head(**{**values, **change}), key.public_key())
    assert not verified(head, Ed25519PrivateKey.generate().public_key())


DAMAGE = [
    "DELETE FROM records WHERE seq >= 250",
    "DELETE FROM records WHERE seq = 299",
    "UPDATE records SET hash = prev WHERE seq = 270",
    "UPDATE records SET hash = prev WHERE seq = 299",
    "UPDATE tree_nodes SET hash = '0'",
    "DELETE FROM tree_nodes",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_ledger_that_changed_is_not_signed_again(ledger, log, url, opened, damage):
    fill(ledger, 300)
    log.write(ledger, AT)
    harm(url, damage)
    with pytest.raises(LedgerError) as caught:
        log.write(ledger, LATER)
    assert caught.value.code == "ledger-broken"
    assert len(read_heads(log.path)) == 1


def test_a_ledger_that_lost_its_end_while_nobody_looked_is_not_signed_again(ledger, log, url, opened):
    fill(ledger, 300)
    head = log.write(ledger, AT)
    ledger.close()
    harm(url, "DELETE FROM records WHERE seq >= 250", "DELETE FROM tree_nodes")
    shorter = opened(url)  # by itself a shorter ledger is as sound as a longer one
    assert shorter.committed == 250
    with pytest.raises(LedgerError, match="300 records, 250 are there"):
        check(shorter, head)
    fill(shorter, 100, size=99)
    with pytest.raises(LedgerError) as caught:
        log.write(shorter, LATER)
    assert caught.value.code == "ledger-broken"


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "key.pem"
    first = signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_pem(signing_key(path)) == public_pem(first)
    assert list(tmp_path.iterdir()) == [path]


def test_processes_that_start_together_end_with_one_key(tmp_path, monkeypatch):
    names = iter(range(1000))
    monkeypatch.setattr(os, "getpid", lambda: next(names))  # threads stand in for processes
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: public_pem(signing_key(tmp_path / "key.pem")), range(8)))
    assert keys == {public_pem(signing_key(tmp_path / "key.pem"))}


def test_a_key_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    signing_key(path)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(LedgerError, match="0600") as caught:
            signing_key(path)
        assert caught.value.code == "ledger-key"


@pytest.mark.parametrize("content", [b"", b"nonsense", "encrypted", "another curve"])
def test_what_is_no_usable_key_is_refused(tmp_path, content):
    path = tmp_path / "key.pem"
    if content == "encrypted":
        made = Ed25519PrivateKey.generate()
        content = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    elif content == "another curve":
        content = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LedgerError) as caught:
        signing_key(path)
    assert caught.value.code == "ledger-key"
    with pytest.raises(LedgerError):
        public_key(path)


def test_a_key_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(LedgerError) as caught:
        signing_key(tmp_path / "no folder" / "key.pem")
    assert caught.value.code == "ledger-key"


def test_heads_signed_with_another_key_are_not_continued(ledger, log, tmp_path):
    fill(ledger, 1)
    log.write(ledger, AT)
    with pytest.raises(LedgerError) as caught:
        HeadLog(tmp_path / "second", 0, Ed25519PrivateKey.generate())
    assert caught.value.code == "ledger-key"


def test_half_a_line_at_the_end_is_dropped_and_the_log_goes_on(ledger, log, tmp_path, key):
    fill(ledger, 1)
    log.write(ledger, AT)
    with log.path.open("ab") as file:
        file.write(b'{"format":"lexorder-head-1","sh')
    again = HeadLog(tmp_path / "second", 0, key)
    fill(ledger, 1)
    again.write(ledger, LATER)
    assert [head.size for head in read_heads(log.path)] == [1, 2]


@pytest.mark.parametrize(
    "line", ["{}", "[]", "x", '{"format":"lexorder-head-1"}', "1" * 5000, "[" * 100_000, "null", "\u00e9"]
)
def test_a_line_that_is_no_head_is_refused(log, tmp_path, key, line):
    log.path.write_text(line + "\n", "utf-8")
    with pytest.raises(LedgerError) as caught:
        HeadLog(tmp_path / "second", 0, key)
    assert caught.value.code == "ledger-broken"


def test_every_other_spelling_of_a_head_is_refused(ledger, log):
    fill(ledger, 1)
    head = log.write(ledger, AT)
    sound = head.line() + "\n"
    for text in (" " + sound, sound.replace(":1,", ": 1,"), sound.replace('"size":1', '"size":1.0'), sound.rstrip("\n"),
                 sound.replace("\n", "\x0b"), sound + "\n", sound.replace('"size":1', '"size":true')):  # fmt: skip
        log.path.write_text(text)
        with pytest.raises(LedgerError):
            read_heads(log.path)


def test_a_second_place_that_cannot_be_written_is_said_to_be(ledger, tmp_path, key, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as caught:
        HeadLog(tmp_path / "file" / "heads", 0, key)
    assert caught.value.code == "ledger-unavailable"
    log = HeadLog(tmp_path / "second", 0, key)
    fill(ledger, 1)
    log.write(ledger, AT)
    before = log.path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        module._append_or_refuse(log.path, "x\n")
    assert log.path.read_bytes() == before


def test_the_public_key_lies_beside_the_heads(log, key, tmp_path):
    path = tmp_path / "second" / PUBLIC_KEY
    assert path.read_bytes() == public_pem(key)
    assert public_key(path).public_bytes_raw() == key.public_key().public_bytes_raw()


def test_openssl_agrees_with_the_signature(ledger, log, tmp_path):
    openssl = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin"]
    fill(ledger, 2)
    head = log.write(ledger, AT)
    (tmp_path / "message").write_bytes(head.signed_bytes())
    (tmp_path / "signature").write_bytes(bytes.fromhex(head.signature))
    command = [*openssl, "-inkey", str(tmp_path / "second" / PUBLIC_KEY), "-in", str(tmp_path / "message"),
               "-sigfile", str(tmp_path / "signature")]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("no openssl program here to compare with")
    assert "Signature Verified Successfully" in done.stdout, done.stderr
    (tmp_path / "message").write_bytes(head.signed_bytes() + b" ")
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0


def test_the_signed_bytes_are_plain_lines(ledger):
    head = head_now(ledger, AT)
    assert head.signed_bytes().decode() == f"lexorder-head-1\n0\n0\n{EMPTY.hex()}\n{GENESIS.hex()}\n{AT}\n"
    assert json.loads(head.line()) == {"format": "lexorder-head-1", "shard": 0, "size": 0, "root": EMPTY.hex(),
                                       "hash": GENESIS.hex(), "at": AT, "signature": ""}  # fmt: skip
