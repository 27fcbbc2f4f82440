"""A plain pass in bulk: its bytes and its hash are those of the decision it stands for."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.approved import Approved, Ground, quoted
from lexorder.engine.decision import Outcome
from lexorder.engine.facts import canonical_bytes

MOMENT = datetime(2026, 6, 15, 16, 0, 0, 250, tzinfo=UTC)
texts = st.one_of(st.text(max_size=20), st.sampled_from(('A"B', "A\\B", "\x00", "é", "A-1", "", "\n", "\x7f", "order")))


@given(texts, texts, st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_bytes_are_those_of_the_decision(account, order, verdicts):
    found = Approved(Ground(MOMENT, verdicts, "ab" * 32, "cd" * 32), account, order)
    decision = found.decision()
    assert decision.outcome is Outcome.APPROVE
    assert found.hash == decision.hash
    assert found.body() == decision.body()
    assert found.to_json() == decision.to_json()
    assert found.encoded() == canonical_bytes(decision.to_json())
    assert json.loads(found.encoded())["hash"] == hashlib.sha256(canonical_bytes(decision.body())).hexdigest()


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_texts_are_quoted_as_json_does(text):
    assert quoted(text) == json.dumps(text, ensure_ascii=True).encode("ascii")


def test_orders_of_one_ground_do_not_share_their_bytes():
    ground = Ground(MOMENT, 3, "ab", "cd")
    one, two = Approved(ground, "A", "1"), Approved(ground, "B", "2")
    assert len({one.hash, two.hash, Approved(ground, "A", "2").hash}) == 3
    assert (one.approved, one.reports, one.reason, one.orders) == (True, (), "", ("1",))


def test_withheld_rules_leave_no_trace_in_the_bytes():
    plain, withheld = Ground(MOMENT, 3, "ab", "cd"), Ground(MOMENT, 3, "ab", "cd", frozenset({"watch"}))
    assert Approved(plain, "A", "1").encoded() == Approved(withheld, "A", "1").encoded()
    assert Approved(withheld, "A", "1").decision().withheld == {"watch"}
