"""Personal data: sealed, bound to its place, opened for two roles, never stored without a key."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.personal import FIELDS, READERS, Vault, new_key
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role
from lexorder.engine.errors import UsageError

KEY = new_key()
FACTS = {"id": "A1", "nav": "1000.00", "name": "Alice Meyer", "email": "alice@desk.example", "tax_id": "DE811907980"}


def code(problem: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    return problem.value.status, problem.value.code


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=20), st.sampled_from(sorted(FIELDS)))
def test_a_sealed_value_opens_in_its_place(value: str, owner: str, field: str):
    vault = Vault(KEY)
    try:
        value.encode()
        owner.encode()
    except UnicodeEncodeError:
        return
    sealed = vault.seal(value, owner, field)
    assert vault.open(sealed, owner, field) == value
    assert len(value) < 4 or value not in sealed


def test_the_same_value_is_sealed_differently_each_time():
    vault = Vault(KEY)
    assert len({vault.seal("Alice", "A1", "name") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("owner", "field"), [("A2", "name"), ("A1", "email"), ("", "name"), ("A1:name", ""), ("1", "name")]
)
def test_a_value_moved_to_another_place_does_not_open(owner: str, field: str):
    vault = Vault(KEY)
    with pytest.raises(Problem) as caught:
        vault.open(vault.seal("Alice", "A1", "name"), owner, field)
    assert code(caught) == (500, "personal-data-damaged")


def test_places_that_are_written_alike_are_still_two():
    vault = Vault(KEY)
    with pytest.raises(Problem):
        vault.open(vault.seal("x", "a:b", "c"), "a", "b:c")


def test_any_flipped_bit_is_noticed():
    vault = Vault(KEY)
    head, _, body = vault.seal("Alice Meyer", "A1", "name").rpartition(":")
    raw = base64.urlsafe_b64decode(body)
    for position in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << (position % 8)
        with pytest.raises(Problem) as caught:
            vault.open(f"{head}:{base64.urlsafe_b64encode(changed).decode()}", "A1", "name")
        assert code(caught) == (500, "personal-data-damaged")


@pytest.mark.parametrize("stored", ["", "Alice Meyer", "sealed:1:", "sealed:2:00000000:AAAA", "sealed:1:zzzzzzzz:AAAA"])
def test_what_was_never_sealed_is_not_shown(stored: str):
    with pytest.raises(Problem) as caught:
        Vault(KEY).open(stored, "A1", "name")
    assert code(caught) == (500, "personal-data-damaged")
    assert "Alice" not in caught.value.to_bytes().decode()


@pytest.mark.parametrize("body", ["AAAA", "A", "AAAAAAAAAAAAAAAA", ""])
def test_a_body_too_short_is_damage_and_no_crash(body: str):
    vault = Vault(KEY)
    head = vault.seal("x", "A1", "name").rpartition(":")[0]
    with pytest.raises(Problem) as caught:
        vault.open(f"{head}:{body}", "A1", "name")
    assert code(caught) == (500, "personal-data-damaged")


def test_without_a_key_nothing_is_stored_or_opened():
    sealed = Vault(KEY).seal("Alice", "A1", "name")
    for vault in (Vault(), Vault(" , ")):
        with pytest.raises(Problem) as caught:
            vault.seal("Alice", "A1", "name")
        assert code(caught) == (409, "no-personal-key")
        with pytest.raises(Problem) as caught:
            vault.sealed(FACTS, "A1")
        assert code(caught) == (409, "no-personal-key")
        with pytest.raises(Problem) as caught:
            vault.open(sealed, "A1", "name")
        assert code(caught) == (409, "no-personal-key")


def test_facts_without_personal_fields_need_no_key():
    facts = {"id": "A1", "nav": "1", "name": None}
    assert Vault().sealed(facts, "A1") == facts


def test_keys_rotate_the_first_seals_and_all_open():
    old, new = new_key(), new_key()
    before = Vault(old).seal("Alice", "A1", "name")
    both = Vault(f"{new}, {old}")
    after = both.seal("Alice", "A1", "name")
    assert both.open(before, "A1", "name") == both.open(after, "A1", "name") == "Alice"
    assert Vault(new).open(after, "A1", "name") == "Alice"
    with pytest.raises(Problem) as caught:
        Vault(old).open(after, "A1", "name")
    assert code(caught) == (409, "no-personal-key")


def test_only_personal_fields_are_sealed_and_come_back():
    vault = Vault(KEY)
    stored = vault.sealed(FACTS, "A1")
    assert {field for field in FACTS if stored[field] != FACTS[field]} == FIELDS
    assert not any(FACTS[field] in str(stored) for field in FIELDS)
    assert vault.shown(stored, "A1", Role.ADMIN) == FACTS


@pytest.mark.parametrize("role", list(Role))
def test_two_roles_see_them_and_the_others_do_not_even_see_the_sealed_form(role: Role):
    vault = Vault(KEY)
    shown = vault.shown(vault.sealed(FACTS, "A1"), "A1", role)
    if role in {Role.ADMIN, Role.RISK_OFFICER}:
        assert shown == FACTS
        assert role in READERS
    else:
        assert shown == {"id": "A1", "nav": "1000.00"}


def test_a_caller_cannot_store_a_sealed_value_of_somebody_else():
    """It is sealed once more, as the text it is."""
    vault = Vault(KEY)
    forged = vault.seal("Alice", "A1", "name")
    stored = vault.sealed({"name": forged}, "A1")
    assert vault.shown(stored, "A1", Role.ADMIN) == {"name": forged}


@pytest.mark.parametrize(
    "key",
    [
        "short",
        base64.b64encode(os.urandom(31)).decode(),
        base64.b64encode(os.urandom(33)).decode(),
        "!" * 44,
        f"{KEY},x",
    ],
    ids=["short", "31 bytes", "33 bytes", "no base64", "one of two"],
)
def test_a_key_of_another_shape_stops_the_start_unrepeated(key: str):
    with pytest.raises(UsageError) as caught:
        Vault(key)
    assert caught.value.code == "bad-personal-key"
    assert key not in caught.value.message
