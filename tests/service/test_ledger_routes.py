"""The record over HTTP: heads, proofs, verification, the timer of signed heads."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from functools import partial
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from lexorder.api.service.heads_task import KEY_FILE, HeadsTask
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.heads import PUBLIC_KEY, Head, read_heads, verified
from lexorder.engine.ledger.tree import consistent, included, leaf_hash
from tests.service.house import House, Outage


@pytest.fixture(scope="module")
def told(shared):
    """Some records more than the first ones."""
    for n in range(9):
        shared.check(id=f"l{n}", quantity=1)
    return shared


def bytes_of(path):
    return [bytes.fromhex(node) for node in path]


def tree_root(leaves):
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + tree_root(leaves[:k]) + tree_root(leaves[k:])).digest()


def records(house):
    return house.run(house.service.recorded())


# ---- head -------------------------------------------------------------------------------------


def test_the_head_is_that_of_the_records(told):
    head = told.get("/v1/ledger/head", by="observer")
    known = records(told)
    assert (head["shard"], head["size"], head["hash"]) == (0, len(known), known[-1].hash.hex())
    assert head["root"] == tree_root([r.hash for r in known]).hex()
    assert head["problem"] == ""


def test_the_signed_head_is_signed(told):
    head = told.get("/v1/ledger/head")
    signed = Head(**head["signed"])
    key = load_pem_public_key(head["public_key"].encode())
    assert isinstance(key, Ed25519PublicKey)
    assert verified(signed, key)
    assert signed.root == tree_root([r.hash for r in records(told)][: signed.size]).hex()
    folder = told.settings.second_place
    assert (folder / PUBLIC_KEY).read_text() == head["public_key"]
    assert read_heads(folder / "heads-0.jsonl")[-1] == signed
    mode = (told.settings.data_dir / KEY_FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


# ---- proofs -----------------------------------------------------------------------------------


def test_every_record_is_proven_in_every_tree_that_has_it(told):
    known = records(told)
    for size in (1, 2, 3, len(known) - 1, len(known)):
        for seq in range(size):
            proof = told.get(f"/v1/ledger/proof?seq={seq}&size={size}")
            leaf, root = bytes.fromhex(proof["hash"]), bytes.fromhex(proof["root"])
            assert leaf == known[seq].hash
            assert root == tree_root([r.hash for r in known[:size]])
            assert included(leaf_hash(leaf), seq, size, bytes_of(proof["path"]), root)
            assert not included(leaf_hash(leaf), seq, size, bytes_of(proof["path"])[:-1], root) or size == 1


def test_a_proof_is_over_all_records_by_default(told):
    assert told.get("/v1/ledger/proof?seq=0")["size"] == len(records(told))


@pytest.mark.parametrize("query", ["seq=0&size=0", "seq=5&size=5", "seq=999999", "seq=0&size=999999"])
def test_there_is_no_proof_of_what_is_not_there(told, query):
    assert told.refused("GET", f"/v1/ledger/proof?{query}") == (404, "ledger-no-record")


@pytest.mark.parametrize("query", ["", "seq=-1", "seq=one", "seq=0&size=1.5", f"seq={10**30}"])
def test_a_proof_needs_numbers(told, query):
    assert told.refused("GET", f"/v1/ledger/proof?{query}") == (422, "invalid-request")


@pytest.mark.parametrize("old", [0, 1, 2, 3, 7])
def test_an_older_tree_is_shown_to_be_the_beginning_of_a_newer_one(told, old):
    hashes = [r.hash for r in records(told)]
    for new in (old, old + 1, len(hashes)):
        proof = told.get(f"/v1/ledger/consistency?old={old}&new={new}")
        old_root, new_root = tree_root(hashes[:old]), tree_root(hashes[:new])
        assert (proof["old_root"], proof["new_root"]) == (old_root.hex(), new_root.hex())
        assert consistent(old, new, old_root, new_root, bytes_of(proof["path"]))
    assert told.get(f"/v1/ledger/consistency?old={old}")["new"] == len(hashes)


@pytest.mark.parametrize("query", ["old=5&new=4", "old=1&new=999999", "old=999999"])
def test_trees_that_never_were(told, query):
    assert told.refused("GET", f"/v1/ledger/consistency?{query}") == (404, "ledger-no-record")


# ---- verify -----------------------------------------------------------------------------------


def test_a_sound_ledger_is_called_sound(told):
    told.run(told.service.heads.write())
    found = told.post("/v1/ledger/verify", by="analyst")
    assert (found["ok"], found["findings"]) == (True, [])
    assert found["records"] == len(records(told)) == found["covered_by_signed_head"]


@pytest.mark.parametrize("by", ["senior_trader", "observer", "portfolio_manager"])
def test_who_may_not_verify(told, by):
    assert told.refused("POST", "/v1/ledger/verify", by=by) == (403, "not-permitted")


def damage(house, statement):
    """Change the file behind the service's back, as somebody with the disk could."""
    connection = sqlite3.connect(house.settings.data_dir / "ledger.sqlite")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = replace(body, 'approve', 'appr0ve') WHERE seq = 4",
        "UPDATE records SET account = 'B' WHERE seq = 4",
        "DELETE FROM records WHERE seq = 4",
        "DELETE FROM records WHERE seq >= 4",
    ],
)
def test_damage_is_found(house, statement):
    for n in range(3):
        house.check(id=f"o{n}", quantity=1)
    house.run(house.service.heads.write())
    damage(house, statement)
    found = house.post("/v1/ledger/verify")
    assert found["ok"] is False
    assert found["count"] == len(found["findings"]) > 0


def test_a_ledger_that_lost_what_was_signed_is_told_at_the_head(house):
    house.check(id="o1", quantity=1)
    house.run(house.service.heads.write())
    damage(house, "UPDATE records SET hash = x'00' WHERE seq = 1")
    house.check(id="o2", quantity=1)
    house.run(house.service.heads.write())
    assert house.service.heads.problem == "ledger-broken"


# ---- the timer --------------------------------------------------------------------------------


def heads(house):
    return read_heads(house.settings.second_place / "heads-0.jsonl")


def signed(house, size):
    """Whether the newest head has so many records."""
    return heads(house)[-1].size == size


def test_heads_are_signed_while_records_come_and_at_the_end(tmp_path):
    house = House(tmp_path, head_every_s=0.1).furnished()
    try:
        ledger, size = house.service.ledger, 0
        assert ledger is not None
        for n in range(3):
            house.check(id=f"o{n}", quantity=1)
            size = ledger.committed
            house.until(partial(signed, house, size))
        assert heads(house)[-1].size == size
        house.run(asyncio.sleep(0.3))
        assert len({h.size for h in heads(house)}) == len(heads(house))  # nothing new, nothing signed
        house.check(id="last", quantity=1)
    finally:
        house.close()
    assert heads(house)[-1].size == size + 1


def test_a_restart_goes_on_with_the_same_key(house):
    house.check(id="o1", quantity=1)
    key = house.get("/v1/ledger/head")["public_key"]
    house.reopen()
    house.check(id="o2", quantity=1)
    house.run(house.service.heads.write())
    assert house.get("/v1/ledger/head")["public_key"] == key
    assert house.post("/v1/ledger/verify")["ok"] is True


def test_a_second_place_that_is_gone_is_told_and_stops_nothing(house, monkeypatch):
    def gone(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lexorder.engine.ledger.heads._append", gone)
    assert house.check(id="o1", quantity=1)["outcome"] == "approve"
    house.run(house.service.heads.write())
    assert house.get("/v1/ledger/head")["problem"] == "ledger-unavailable"
    monkeypatch.undo()
    house.run(house.service.heads.write())
    assert house.get("/v1/ledger/head")["problem"] == ""


def test_a_defect_of_the_timer_is_told_and_stops_nothing(house, monkeypatch):
    monkeypatch.setattr(HeadsTask, "_write", lambda self: 1 / 0)
    house.run(house.service.heads.write())
    assert house.service.heads.problem == "head-failed"


def test_a_key_others_can_read_stops_the_start(house):
    key = house.settings.data_dir / KEY_FILE
    key.chmod(0o644)
    with pytest.raises(LexorderError) as refused:
        house.reopen()
    assert refused.value.code == "ledger-key"
    key.chmod(0o600)
    house.reopen()


def test_heads_of_another_key_stop_the_start(house):
    (house.settings.data_dir / KEY_FILE).unlink()
    with pytest.raises(LexorderError) as refused:
        house.reopen()
    assert refused.value.code == "ledger-key"


# ---- without a ledger, without a disk ---------------------------------------------------------


def test_a_service_without_a_ledger_proves_nothing(tmp_path):
    house = House(tmp_path, ledger="off").furnished()
    try:
        assert house.check(id="o1", quantity=1)["outcome"] == "approve"
        for method, path in [("GET", "head"), ("GET", "proof?seq=0"), ("GET", "consistency?old=0"), ("POST", "verify")]:
            assert house.refused(method, f"/v1/ledger/{path}") == (404, "no-ledger")
        assert house.get("/v1/decisions") == {"items": [], "next": None}
        assert house.post("/v1/kill")["recorded"] is not None
        assert house.check(id="o2", quantity=1)["outcome"] == "reject"
    finally:
        house.close()


def test_what_was_recorded_is_proven_while_nothing_can_be_recorded(house):
    with Outage(house):
        house.call("POST", "/v1/kill")
        assert house.get("/v1/ledger/head")["size"] == len(records(house))
        assert house.post("/v1/ledger/verify")["ok"] is True


def test_proofs_are_json_with_hexadecimal_hashes(told):
    proof = json.dumps(told.get("/v1/ledger/proof?seq=1"))
    assert all(len(node) == 64 for node in json.loads(proof)["path"])
