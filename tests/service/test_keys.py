"""Keys on both databases: made, read back, revoked; and the first one."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lexorder.api.service.keys import KeyStore, KeyText, first_key, new_key, parse_key
from lexorder.api.service.roles import Role, Scope, shipped_matrix
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.database import Database
from tests.service.border import Border, database

NOW = datetime(2026, 11, 21, 9, 30, 0, 123456, tzinfo=UTC)
SHAPE = re.compile(r"lx_[a-z2-7]{10}_[0-9a-f]{64}")


@pytest.fixture
def opened(url: str) -> Iterator[Database]:
    made = database(url)
    yield made
    made.close()


@pytest.fixture
def store(opened: Database) -> KeyStore:
    return KeyStore(opened)


def everything(opened: Database) -> str:
    """Every value of every row of the table, as text."""
    with opened.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM api_keys")).all()
    return repr([tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows])


def test_a_key_comes_back_as_it_was_made(store: KeyStore):
    text, made = store.create(
        Role.SENIOR_TRADER,
        "OMS",
        owner="Alice Meyer",
        accounts=["A2", "A1"],
        scopes=[Scope.TRADE, Scope.READ],
        lifetime_s=3600,
        now=NOW,
    )
    (read,) = store.records()
    assert read == made
    assert (read.id, read.name, read.owner, read.role) == (text.id, "OMS", "Alice Meyer", Role.SENIOR_TRADER)
    assert read.accounts == frozenset({"A1", "A2"})
    assert read.scopes == frozenset({Scope.READ, Scope.TRADE})
    assert (read.created, read.expires, read.revoked) == (NOW, NOW + timedelta(hours=1), None)


def test_what_was_left_out_means_all_and_for_ever(store: KeyStore):
    _, made = store.create(Role.ADMIN, "me")
    (read,) = store.records()
    assert (read.accounts, read.scopes, read.expires, read.owner) == (None, None, None, "me")
    assert read == made


def test_the_table_holds_the_hash_and_never_the_secret(store: KeyStore, opened: Database):
    text, record = store.create(Role.ADMIN, "me")
    assert record.hash == hashlib.sha256(text.secret.encode()).digest()
    stored = everything(opened)
    assert text.id in stored
    assert text.secret not in stored
    assert bytes.fromhex(text.secret) != record.hash
    assert "hash" not in record.to_json()
    assert text.secret not in str(record.to_json())


def test_only_the_right_secret_matches(store: KeyStore):
    text, record = store.create(Role.ADMIN, "me")
    assert record.matches(text.secret)
    for wrong in (text.secret[:-1], text.secret + "0", text.secret.upper(), "", new_key().secret, record.hash.hex()):
        assert wrong == text.secret or not record.matches(wrong)


def test_revoking_is_for_good_and_keeps_its_first_time(store: KeyStore):
    text, _ = store.create(Role.ADMIN, "me", now=NOW)
    other, _ = store.create(Role.ADMIN, "you", now=NOW)
    first = store.revoke(text.id, NOW)
    again = store.revoke(text.id, NOW + timedelta(days=1))
    assert first.revoked == NOW == again.revoked
    assert {record.id: record.revoked for record in store.records()} == {text.id: NOW, other.id: None}


def test_an_unknown_key_cannot_be_revoked(store: KeyStore):
    with pytest.raises(UsageError) as caught:
        store.revoke("aaaaaaaaaa")
    assert caught.value.code == "unknown-key"


def test_keys_are_listed_oldest_first(store: KeyStore):
    made = [store.create(Role.OBSERVER, f"k{n}", now=NOW + timedelta(seconds=n))[0].id for n in (2, 0, 1)]
    assert [record.id for record in store.records()] == [made[1], made[2], made[0]]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"owner": "a\x00b"},
        {"owner": "o" * 101},
        {"accounts": []},
        {"accounts": [""]},
        {"accounts": ["A\n"]},
        {"accounts": [f"A{n}" for n in range(10_001)]},
        {"lifetime_s": 0},
        {"lifetime_s": -5},
        {"lifetime_s": 10 * 366 * 86400 + 1},
    ],
)
def test_a_senseless_key_is_not_made(store: KeyStore, fields: dict[str, Any]):
    with pytest.raises(UsageError) as caught:
        store.create(**{"role": Role.OBSERVER, "name": "n", **fields})
    assert caught.value.code == "bad-key-field"
    assert store.records() == ()


def test_the_longest_lifetime_is_admitted(store: KeyStore):
    assert store.create(Role.OBSERVER, "x" * 100, lifetime_s=10 * 366 * 86400)[1].expires is not None


def test_new_keys_have_their_shape_and_do_not_repeat():
    made = {str(new_key()) for _ in range(500)}
    assert len(made) == 500
    assert all(SHAPE.fullmatch(text) for text in made)
    assert all(str(parse_key(text)) == text for text in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lx_",
        "lx_aaaaaaaaaa_",
        "lx_aaaaaaaaaa_" + "0" * 63,
        "lx_aaaaaaaaaa_" + "0" * 65,
        "lx_aaaaaaaaaa_" + "0" * 64 + "\n",
        "lx_aaaaaaaaa1_" + "0" * 64,
        "lx_AAAAAAAAAA_" + "0" * 64,
        "lx_aaaaaaaaaa_" + "A" * 64,
        "lx_aaaaaaaaaa_" + "٠" * 64,
        " lx_aaaaaaaaaa_" + "0" * 64,
    ],
)
def test_what_only_resembles_a_key_is_none(text: str):
    assert parse_key(text) is None


def test_scopes_narrow_a_role_and_never_widen_it(store: KeyStore):
    matrix = shipped_matrix()
    _, record = store.create(Role.OBSERVER, "n", scopes=[Scope.READ])
    widened = replace(record, scopes=frozenset({Scope.READ, Scope.KEYS, Scope.TRADE}))  # of a time with other roles
    assert widened.principal(matrix).scopes == {Scope.READ}
    _, plain = store.create(Role.OBSERVER, "n")
    assert plain.principal(matrix).scopes == matrix.scopes_of(Role.OBSERVER)


def test_a_scope_the_role_never_has_is_refused_with_those_it_has(store: KeyStore):
    with pytest.raises(UsageError, match="never has keys, trade; its scopes are read") as caught:
        store.create(Role.OBSERVER, "n", scopes=[Scope.READ, Scope.TRADE, Scope.KEYS])
    assert caught.value.code == "bad-key-field"
    assert store.records() == ()


def test_the_principal_of_a_key_is_its_owner(store: KeyStore):
    text, record = store.create(Role.APPROVER, "desk key", owner="Bob", accounts=["A1"], lifetime_s=60, now=NOW)
    principal = record.principal(shipped_matrix())
    assert (principal.id, principal.person, principal.credential) == (f"key:{text.id}", "Bob", text.id)
    assert (principal.kind, principal.role, principal.accounts) == ("key", Role.APPROVER, frozenset({"A1"}))
    assert principal.expires == (NOW + timedelta(seconds=60)).timestamp()


# --- the first key ---------------------------------------------------------------------------------------------------


def test_an_empty_table_gets_an_admin_key_in_a_file_of_its_own(guarded: Border, tmp_path: Path):
    old = os.umask(0)  # the mode must not depend on it
    try:
        path = first_key(guarded.store, tmp_path / "data")
    finally:
        os.umask(old)
    assert path == tmp_path / "data" / "admin.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    guarded.access.refresh()
    principal = guarded.access.principal(b"Bearer " + path.read_bytes().strip())
    assert principal.role is Role.ADMIN


def test_a_second_start_makes_no_key_and_leaves_the_file_alone(guarded: Border, tmp_path: Path):
    path = first_key(guarded.store, tmp_path)
    assert path is not None
    text = path.read_text()
    assert first_key(guarded.store, tmp_path) is None
    assert path.read_text() == text
    assert len(guarded.store.records()) == 1


def test_a_revoked_first_key_does_not_come_back(guarded: Border, tmp_path: Path):
    first_key(guarded.store, tmp_path)
    guarded.store.revoke(guarded.store.records()[0].id)
    assert first_key(guarded.store, tmp_path) is None
    given = str(new_key())
    assert first_key(guarded.store, tmp_path, given) is None
    assert len(guarded.store.records()) == 1


def test_a_given_key_is_taken_and_not_written(guarded: Border, tmp_path: Path):
    given = new_key()
    assert first_key(guarded.store, tmp_path, str(given)) is None
    assert not (tmp_path / "admin.key").exists()
    assert guarded.store.records()[0].matches(given.secret)
    assert guarded.store.records()[0].id == given.id


@pytest.mark.parametrize("given", ["admin", "lx_short_1", str(KeyText("aaaaaaaaaa", "g" * 64))])
def test_a_given_key_of_another_shape_stops_the_start_unrepeated(guarded: Border, tmp_path: Path, given: str):
    with pytest.raises(UsageError) as caught:
        first_key(guarded.store, tmp_path, given)
    assert caught.value.code == "admin-key-shape"
    assert given not in caught.value.message
    assert guarded.store.records() == ()


def test_the_file_is_not_written_through_a_link(guarded: Border, tmp_path: Path):
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "admin.key").symlink_to(target)
    path = first_key(guarded.store, tmp_path)
    assert path is not None
    assert not path.is_symlink()
    assert target.read_text() == "untouched"
