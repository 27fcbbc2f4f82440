"""Records as lines: byte for byte, in one spelling only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.lines import line_of, record_of
from lexorder.engine.ledger.record import GENESIS, chained
from tests.ledger.entries import AT

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
RECORDS = st.builds(
    lambda seq, kind, ref, account, body: chained(seq, GENESIS, kind, AT, ref, account, body),
    st.integers(0, 2**63 - 1), TEXTS, TEXTS, TEXTS, st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
)  # fmt: skip


@given(RECORDS)
def test_a_record_comes_back_from_its_line(record):
    line = line_of(record)
    assert record_of(line) == record
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["seq"] == record.seq


@given(RECORDS)
def test_the_verifier_reads_the_same_record(record):
    entry = verify_ledger._entry_of_line((line_of(record) + "\n").encode())
    assert entry == (
        record.seq,
        record.kind,
        record.at,
        record.ref,
        record.account,
        record.body,
        record.prev,
        record.hash,
    )
    assert verify_ledger.record_hash(entry) == record.hash


@given(RECORDS, st.data())
def test_no_bit_of_a_line_can_change_unseen(record, data):
    line = (line_of(record) + "\n").encode()
    place, bit = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 7))
    broken = line[:place] + bytes([line[place] ^ (1 << bit)]) + line[place + 1 :]
    entries = [verify_ledger._entry_of_line(part) for part in broken.splitlines(keepends=True)]
    assert not all(verify_ledger.record_hash(entry) == entry[7] is not None for entry in entries)


SOUND = line_of(chained(3, GENESIS, "k", AT, "r", "a", b"{}"))


OTHERS = [
    "", "{}", "null", "[]", "3", "x", "[" * 100_000, " " + SOUND, SOUND + " ", SOUND.upper(), SOUND[:-2] + "}",
    *(SOUND.replace(":3,", other) for other in (": 3,", ":3.0,", ":true,", ':"3",', ":null,")),
    *(SOUND.replace('"k"', other) for other in ("null", '"k","kind":"k"', '"\\u006b"', "1")),
    *(SOUND.replace('"body":"{}"', other) for other in ('"body":{}', '"body":"\\ud800"', '"body":null')),
    SOUND.replace("00000000", "0000000g"), SOUND.replace('"prev"', '"more":1,"prev"'),
]  # fmt: skip


@pytest.mark.parametrize("line", OTHERS)
def test_any_other_spelling_is_refused(line):
    with pytest.raises(LedgerError) as caught:
        record_of(line)
    assert caught.value.code == "ledger-broken"
    assert verify_ledger.record_hash(verify_ledger._entry_of_line((line + "\n").encode())) is None
