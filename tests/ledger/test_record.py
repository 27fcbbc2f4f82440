"""A record's bytes: no two records share an encoding, and what cannot be given back is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import (
    AT_LENGTH,
    BODY_MAX,
    GENESIS,
    TEXT_MAX,
    Record,
    chained,
    encoded,
    follows,
    instant,
    intact,
)

AT = "2026-11-21T09:30:00.000001Z"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32)
FIELDS = st.tuples(st.integers(0, 2**63 - 1), TEXTS, TEXTS, TEXTS, TEXTS, st.binary(max_size=40), DIGESTS)


def decoded(data: bytes) -> tuple[object, ...]:
    """The fields of an encoding, read from the front: that this works for all of them shows that none is ambiguous."""
    tag, rest = data[:18], data[18:]
    assert tag == b"lexorder-record-1\0"
    seq, rest = int.from_bytes(rest[:8], "big"), rest[8:]
    lengths, rest = [int.from_bytes(rest[4 * i : 4 * i + 4], "big") for i in range(5)], rest[20:]
    prev, rest = rest[:32], rest[32:]
    fields = []
    for length in lengths:
        fields.append(rest[:length])
        rest = rest[length:]
    assert rest == b""
    return seq, *(text.decode() for text in fields[:4]), fields[4], prev


@given(FIELDS)
def test_an_encoding_can_be_read_back(fields):
    assert decoded(encoded(*fields)) == fields


@given(FIELDS, FIELDS)
def test_two_records_share_no_encoding(one, other):
    assert (encoded(*one) == encoded(*other)) == (one == other)


def test_moving_a_character_to_the_next_field_changes_the_hash():
    splits = [("ab", "c", "", b""), ("a", "bc", "", b""), ("ab", "", "c", b""), ("ab", "", "", b"c")]
    whole = [chained(0, GENESIS, kind, AT, ref, account, body).hash for kind, ref, account, body in splits]
    assert len(set(whole)) == 4


@given(FIELDS)
def test_the_verifier_hashes_the_same_bytes(fields):
    seq, kind, at, ref, account, body, prev = fields
    expected = sha256(encoded(*fields)).digest()
    assert verify_ledger.record_hash((seq, kind, at, ref, account, body, prev, b"")) == expected


def test_a_known_record_written_out_by_hand():
    text = (
        "6c65786f726465722d7265636f72642d3100"  # lexorder-record-1 and a NUL
        "0000000000000007"  # sequence number 7
        "000000080000001b000000020000000300000002"  # lengths 8, 27, 2, 3, 2
        + "11" * 32  # the hash before
        + b"decision2026-11-21T09:30:00.000001ZD1A-1{}".hex()
    )
    record = chained(7, b"\x11" * 32, "decision", AT, "D1", "A-1", b"{}")
    assert record.hash == sha256(bytes.fromhex(text)).digest()
    assert record == Record(7, "decision", AT, "D1", "A-1", b"{}", b"\x11" * 32, record.hash)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "k" * (TEXT_MAX + 1), "ref": "", "account": ""}, "256 characters"),
        ({"kind": "k" * 100, "ref": "r" * 100, "account": "a" * 56}, "256 characters"),
        ({"ref": "a\0b"}, "NUL"),
        ({"account": "\0"}, "NUL"),
        ({"ref": "\ud800"}, "surrogate"),
        ({"at": "2026-11-21T09:30:00.00001Z"}, "26 characters"),
        ({"at": "2026-11-21T09:30:00.000001+00:00"}, "32 characters"),
        ({"at": AT[:-1] + "X"}, "a time"),
        ({"body": bytes(BODY_MAX + 1)}, "16777217 bytes"),
    ],
)
def test_what_some_database_would_change_is_refused(change, words):
    fields = {"kind": "k", "at": AT, "ref": "r", "account": "a", "body": b"{}", **change}
    with pytest.raises(LedgerError, match=words) as caught:
        chained(0, GENESIS, **fields)
    assert caught.value.code == "ledger-refused"
    assert "\ud800" not in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "k" * TEXT_MAX, "ref": "", "account": ""},
        {"kind": "", "ref": "", "account": "", "body": b""},
        {"ref": "Ωμέγα-🦊"},
        {"body": b"\xff\x00not text"},
        {"body": bytes(BODY_MAX)},
    ],
)
def test_what_is_exactly_at_the_limit_is_taken(change):
    fields = {"kind": "k", "at": AT, "ref": "r", "account": "a", "body": b"{}", **change}
    assert intact(chained(0, GENESIS, **fields))


def test_a_record_follows_only_the_one_it_names():
    first = chained(0, GENESIS, "k", AT, "1", "", b"")
    second = chained(1, first.hash, "k", AT, "2", "", b"")
    assert follows(first, None)
    assert follows(second, first)
    assert not follows(second, None)
    assert not follows(first, second)
    assert not follows(chained(2, first.hash, "k", AT, "2", "", b""), first)
    assert not follows(chained(1, GENESIS, "k", AT, "2", "", b""), first)
    assert not follows(Record(1, "k", AT, "3", "", b"", first.hash, second.hash), first)


def test_moments_are_written_in_utc_in_one_form():
    moment = datetime(2026, 11, 21, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert instant(moment) == "2026-11-21T09:30:00.000000Z"
    assert len(instant(datetime(1, 1, 1, tzinfo=UTC))) == AT_LENGTH
    assert instant(moment.astimezone(UTC)) == instant(moment)
    assert instant(datetime(2026, 11, 21, 9, 30, tzinfo=timezone(timedelta()))) == instant(moment)
    with pytest.raises(LedgerError, match="timezone"):
        instant(datetime(2026, 11, 21))  # noqa: DTZ001 (that is the point)


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2))
def test_texts_are_in_the_order_of_times(moments):
    assert sorted(map(instant, moments)) == [instant(moment) for moment in sorted(moments)]
