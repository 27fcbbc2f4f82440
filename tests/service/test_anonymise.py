"""Nothing that says who is left: on records full of it, on made-up bodies, on hostile ones."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.anonymise import (
    AMOUNTS,
    FLAGS,
    PSEUDONYMS,
    RULES,
    SECTIONS,
    SYMBOLS,
    TIMES,
    WORDS,
    Anonymiser,
)
from lexorder.engine.desk import shipped_vocabulary
from lexorder.engine.ledger.record import GENESIS, chained
from lexorder.engine.names import Vocabulary
from tests.service.ledgers import BODIES, DECISION, ORDER, SECRETS

VOCABULARY: Vocabulary = shipped_vocabulary()
KEY = bytes(range(32))
PSEUDONYM = re.compile(r"anon-[a-z2-7]{24}")


@pytest.fixture(scope="module")
def anonymiser():
    return Anonymiser(KEY, VOCABULARY, ("max-position-weight", "volatile-regime"))


def made(kind, ref, account, body):
    return chained(0, GENESIS, kind, "2026-11-21T09:30:00.000000Z", ref, account, json.dumps(body).encode())


def kept(anonymiser, body):
    return json.loads(anonymiser.body(json.dumps(body).encode()))


@pytest.mark.parametrize("entry", BODIES, ids=lambda entry: entry[0])
def test_no_identifier_and_no_free_text_is_left(anonymiser, entry):
    record = anonymiser.record(made(*entry))
    text = repr(record)
    assert not [secret for secret in SECRETS if secret in text]


def test_the_secrets_are_in_what_was_given():
    given_ = repr(BODIES)
    assert not [secret for secret in SECRETS if secret not in given_]


def test_hashes_that_could_confirm_a_guess_are_gone(anonymiser):
    record = made("decision", "O", "A", {"order": ORDER, "decision": DECISION})
    anonymous = anonymiser.record(record)
    assert (anonymous.prev, anonymous.hash) == (b"", b"")
    for digest in (record.hash.hex(), "cd" * 32, "ef" * 32):
        assert digest.encode() not in anonymous.body


def test_what_an_analyst_needs_is_left(anonymiser):
    body = kept(anonymiser, {"now": "2026-11-20T11:00:00-05:00", "order": ORDER, "decision": DECISION})
    assert body["now"] == "2026-11-20T11:00:00-05:00"
    assert body["order"] | {} == {
        "id": anonymiser.pseudonym("ORD-SECRET-1"),
        "account": anonymiser.pseudonym("ACC-SECRET-17"),
        "trader": anonymiser.pseudonym("TRADER-SECRET"),
        "strategy": anonymiser.pseudonym("STRAT-SECRET"),
        "symbol": "ACME",
        "side": "buy",
        "quantity": "100",
        "price": "101.25",
        "ord_type": "limit",
    }
    decision = body["decision"]
    assert (decision["outcome"], decision["reason"], decision["rulebook_hash"]) == (
        "reject",
        "CONCENTRATION",
        "ab" * 32,
    )
    report = decision["violations"][0]
    assert (report["rule"], report["severity"], report["status"]) == ("max-position-weight", "hard", "breach")
    assert (report["observed"], report["limit"], report["margin"]) == ("1/3", "0.05", "-17/60")
    assert report["inputs"] == {"account.nav": "1000000", "order.side": "buy"}
    assert decision["largest_compliant"] == {"quantity": "50", "binding": ["max-position-weight"]}


def test_a_rule_that_not_everybody_knows_is_a_pseudonym(anonymiser):
    body = kept(anonymiser, {"decision": DECISION})
    assert PSEUDONYM.fullmatch(body["decision"]["violations"][1]["rule"])


def test_an_identifier_has_one_pseudonym_wherever_it_stands(anonymiser):
    body = kept(
        anonymiser,
        {"account": "ACC-1", "order": {"account": "ACC-1", "id": "ACC-1"}, "by": "ACC-1", "orders": ["ACC-1"]},
    )
    found = {body["account"], body["order"]["account"], body["order"]["id"], body["by"], *body["orders"]}
    assert found == {anonymiser.pseudonym("ACC-1")}


def test_different_identifiers_have_different_pseudonyms(anonymiser):
    found = {anonymiser.pseudonym(f"ACC-{n}") for n in range(20_000)}
    assert len(found) == 20_000
    assert all(PSEUDONYM.fullmatch(p) for p in found)


def test_another_key_gives_other_pseudonyms(anonymiser):
    other = Anonymiser(bytes(32), VOCABULARY)
    assert other.pseudonym("ACC-1") != anonymiser.pseudonym("ACC-1")


def test_the_pseudonym_is_hmac_sha256(anonymiser):
    import base64
    import hashlib
    import hmac

    digest = hmac.new(KEY, b"ACC-1", hashlib.sha256).digest()
    assert anonymiser.pseudonym("ACC-1") == "anon-" + base64.b32encode(digest)[:24].decode().lower()


def test_nothing_stays_nothing(anonymiser):
    assert anonymiser.pseudonym("") == ""


@pytest.mark.parametrize("field", sorted(PSEUDONYMS))
@pytest.mark.parametrize("value", ["ACC-SECRET-17", "123456", 123456, ["ACC-SECRET-17"], {"id": "ACC-SECRET-17"}])
def test_an_identifying_field_is_replaced_whatever_its_form(anonymiser, field, value):
    text = json.dumps(kept(anonymiser, {field: value}))
    assert "SECRET" not in text
    assert "123456" not in text
    assert "anon-" in text


@pytest.mark.parametrize("field", sorted({*AMOUNTS, *TIMES, *SYMBOLS, *FLAGS, *WORDS}))
@pytest.mark.parametrize(
    "value",
    [
        "Jane Secretperson",
        "jane@secret.example",
        "acc-secret",
        "10 shares",
        "1\n2",
        "100 ",
        "２",
        "2026-11-20 for Jane",
        None,
    ],
)
def test_a_harmless_field_with_something_else_in_it_is_dropped(anonymiser, field, value):
    assert kept(anonymiser, {field: value}) == {}


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[1,2]", b'"ACC-1"', b"{", b"[" * 100_000, b'{"a":' * 5_000, b"NaN", b"7"]
)
def test_what_is_no_object_becomes_an_empty_one(anonymiser, body):
    assert anonymiser.body(body) == b"{}"


def test_a_kind_nobody_knows_is_not_passed_on(anonymiser):
    record = replace(made("decision", "", "", {}), kind="Jane Secretperson")
    assert anonymiser.record(record).kind == ""


KNOWN = sorted(
    {
        *PSEUDONYMS,
        *SECTIONS,
        *RULES,
        *AMOUNTS,
        *TIMES,
        *FLAGS,
        *SYMBOLS,
        *WORDS,
        "currency",
        "nav",
        "side",
        "account.nav",
    }
)
TAINTED = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda text: f"{text}§who§{text}")
SCALARS = TAINTED | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(KNOWN) | TAINTED
BODIES_MADE = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(BODIES_MADE)
def test_no_marked_text_survives_in_any_place(body):
    anonymiser = Anonymiser(KEY, VOCABULARY)
    found = anonymiser.body(json.dumps(body).encode())
    assert "§" not in json.dumps(json.loads(found), ensure_ascii=False)
    assert found.isascii()


@settings(max_examples=100, deadline=None)
@given(BODIES_MADE)
def test_anonymising_again_keeps_everything_but_the_names(body):
    anonymiser = Anonymiser(KEY, VOCABULARY)
    once = json.loads(anonymiser.body(json.dumps(body).encode()))
    twice = json.loads(anonymiser.body(json.dumps(once).encode()))
    assert _shape(once) == _shape(twice)


def _shape(value):
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return PSEUDONYM.sub("anon", value) if isinstance(value, str) else value
