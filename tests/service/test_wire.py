"""The fast forms of orders and decisions against the plain ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service.wire import REMEMBERED, OrderReader, decision_bytes, plain_approval
from lexorder.engine.decision import Decision, Largest, Outcome
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import canonical_bytes, load_order
from lexorder.engine.rule import Facts
from tests.worlds import VOCABULARY, order

READER = OrderReader(VOCABULARY)
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
ELSEWHERE = NOON.astimezone(timezone(-timedelta(hours=4)))
"""The same moment, which is written in another way."""

PLAIN = Decision(
    outcome=Outcome.APPROVE,
    account="A",
    orders=("o1",),
    time=NOON,
    reports=(),
    derived=(),
    fired=(),
    largest=None,
    verdicts=30,
    rulebook_hash="a" * 64,
    snapshot_hash="b" * 64,
)

NAMES = st.text(alphabet='Ao1-./:#é\u2028"\\', min_size=1, max_size=12)
DECISIONS = st.builds(
    replace,
    st.just(PLAIN),
    account=NAMES,
    orders=st.one_of(st.tuples(NAMES), st.just(()), st.tuples(NAMES, NAMES)),
    time=st.sampled_from([NOON, ELSEWHERE, NOON + timedelta(milliseconds=1)]),
    verdicts=st.integers(0, 2),
    rulebook_hash=st.sampled_from(["a" * 64, "c" * 64]),
    snapshot_hash=st.sampled_from(["b" * 64, "d" * 64]),
    outcome=st.sampled_from([Outcome.APPROVE, Outcome.APPROVE, Outcome.REJECT]),
    largest=st.sampled_from([None, None, Largest(5)]),
    withheld=st.sampled_from([frozenset(), frozenset(), frozenset({"hidden"})]),
)


@given(st.lists(DECISIONS, min_size=1, max_size=4))
def test_a_decision_is_written_as_its_own_document_whatever_was_written_before(decisions: list[Decision]):
    """The part that is kept from one to the next belongs to the next one only when all of it is the same."""
    for decision in decisions:
        document = json.loads(decision_bytes(decision))
        assert document == decision.to_json()
        assert list(document) == sorted(document)
        assert document["hash"] == decision.hash


@given(NAMES.filter(str.isascii))
def test_a_plain_approval_is_written_in_its_canonical_bytes(name: str):
    decision = replace(PLAIN, account=name, orders=(name,))
    assert plain_approval(decision)
    assert decision_bytes(decision) == canonical_bytes(decision.to_json())


def test_equal_times_that_are_written_differently_are_not_mixed_up():
    for _ in range(2):
        for moment in (NOON, ELSEWHERE):
            decision = replace(PLAIN, time=moment)
            assert json.loads(decision_bytes(decision))["time"] == moment.isoformat()


VALUES = {
    "id": st.sampled_from(["o1", "o-2", "x" * 64, "x" * 65, "", "é", " o", "o 1", 7, True, None, ["o"], "Ａ"]),
    "account": st.sampled_from(["A", "B", "é", 7, False, None]),
    "symbol": st.sampled_from(["ACME", "acme", "BETA", None]),
    "side": st.sampled_from(["buy", "sell", "steal", True]),
    "quantity": st.sampled_from(["1", "1.5", "1e3", "0", "-1", 5, True, False, None, "007", " 1"]),
    "ord_type": st.sampled_from(["limit", "market", "stop_limit", "LIMIT"]),
    "price": st.sampled_from(["100", "100.01", "0.00001", "-1", None, "NaN"]),
    "trader": st.sampled_from(["T", "", "é"]),
    "colour": st.just("red"),
}


@given(st.data())
def test_an_order_is_read_as_the_plain_reader_reads_it(data: st.DataObject):
    """The same facts, or the same refusal; twice, since values are remembered."""
    raw = dict(order())
    for name in data.draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4, unique=True)):
        raw[name] = data.draw(VALUES[name])
    for name in data.draw(st.lists(st.sampled_from(sorted(order())), max_size=1)):
        raw.pop(name, None)
    expected = read_by(lambda: load_order(raw, VOCABULARY))
    assert [read_by(lambda: READER.read(raw)) for _ in range(2)] == [expected, expected]


def read_by(read: Callable[[], Facts]) -> dict[str, tuple[type, object]] | tuple[str, str, str]:
    """The facts with their types, or the refusal."""
    try:
        return {name: (type(value), value) for name, value in read().items()}
    except SnapshotError as refused:
        return refused.code, refused.where, refused.message


def test_what_is_remembered_is_bounded():
    reader = OrderReader(VOCABULARY)
    for n in range(REMEMBERED * 2 + 10):
        reader.read({**order(), "quantity": str(n + 1), "id": f"o{n}"})
    sizes = {name: len(known) for name, (_, _, known) in reader._names.items()}
    assert max(sizes.values()) <= REMEMBERED
    assert sizes["id"] == 0
