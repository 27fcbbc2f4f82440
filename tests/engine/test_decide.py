"""The control flow of a decision: disagreement, failure and silence of an evaluator are all no, each with its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lexorder.engine.decide import Evaluators, disagreement
from lexorder.engine.decision import Decision, Largest, Outcome
from lexorder.engine.desk import Desk, slow
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer
from lexorder.engine.reasons import BY_CODE, PRECEDENCE, REASONS
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Status
from tests.worlds import VOCABULARY, book, instrument, order, world

SIZE = "rule: size\ntitle: At most 10\nrequire: order.quantity <= 10"
SMALL = "rule: small\ntitle: At most 5\nseverity: soft\noverride: {roles: [risk_officer]}\nrequire: order.quantity <= 5"


def run(change: type, quantity: int = 1) -> Decision:
    """Decide with the second evaluator of `slow` wrapped in `change`."""

    def make(rules: tuple[Rule, ...], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
        pair = slow(rules, vocabulary, snapshot)
        return Evaluators(pair.exact, change(pair.second))

    return Desk(book(SIZE, SMALL), world(), VOCABULARY, make).check(order(quantity=quantity))  # type: ignore[arg-type]


class Wrapped:
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        return self.change(self.inner.check(account, orders, exact))  # type: ignore[attr-defined]

    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        return answer


class Dies(Wrapped):
    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        raise ZeroDivisionError("a secret path /etc/passwd")


class Forgets(Wrapped):
    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        return replace(answer, keys=frozenset())


class DropsARule(Wrapped):
    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        return replace(answer, count=answer.count - 1)


class Invents(Wrapped):
    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        return replace(answer, keys=answer.keys | {("size", "x", Status.BREACH)})


class Softens(Wrapped):
    def change(self, answer: ExpertAnswer) -> ExpertAnswer:
        return replace(answer, keys=frozenset((r, s, Status.PASSIVE) for r, s, _ in answer.keys))


@pytest.mark.parametrize(
    ("quantity", "outcome"), [(5, "approve"), (6, "needs_override"), (10, "needs_override"), (11, "reject")]
)
def test_undisturbed(quantity: int, outcome: str) -> None:
    assert run(Wrapped, quantity).outcome == outcome


@pytest.mark.parametrize(
    ("change", "quantity", "code"),
    [
        (Dies, 1, "ENGINE_FAULT"),
        (Dies, 11, "ENGINE_FAULT"),
        (DropsARule, 1, "VERDICT_MISSING"),
        (DropsARule, 11, "VERDICT_MISSING"),
        (Forgets, 11, "EVALUATORS_DISAGREE"),
        (Forgets, 6, "EVALUATORS_DISAGREE"),
        (Invents, 1, "EVALUATORS_DISAGREE"),
        (Softens, 11, "EVALUATORS_DISAGREE"),
    ],
)
def test_disturbed_is_undecided_with_its_own_code(change: type, quantity: int, code: str) -> None:
    answer = run(change, quantity)
    assert (answer.outcome, answer.reason) == (Outcome.UNDECIDED, code)
    assert not answer.approved


def test_a_failure_does_not_leak_its_text() -> None:
    assert "passwd" not in str(run(Dies).to_json())


def test_findings_survive_a_disagreement() -> None:
    assert [r.rule for r in run(Invents, 11).violations] == ["size", "small"]


def test_the_hint_may_fail_but_not_the_verdict() -> None:
    def make(rules: tuple[Rule, ...], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
        pair = slow(rules, vocabulary, snapshot)

        def fails(account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
            raise OverflowError(f"{account} {order} {cap}")

        pair.exact.largest = fails  # type: ignore[method-assign]
        return pair

    answer = Desk(book(SIZE), world(), VOCABULARY, make).check(order(quantity=11))  # type: ignore[arg-type]
    assert answer.outcome == "reject"
    assert answer.largest is not None
    assert answer.largest.note == "not worked out: OverflowError"


def test_disagreement_names_the_rules() -> None:
    first = ExactAnswer(frozenset({("a", "1", Status.BREACH), ("b", "1", Status.BREACH)}), 2, list)
    answer = ExpertAnswer(frozenset({("a", "1", Status.BREACH), ("b", "2", Status.BREACH)}), 2)
    assert disagreement(first, answer)[0].message == "The two evaluators differ on: b."


def test_reason_codes_are_unique_and_ranked() -> None:
    assert len(BY_CODE) == len(REASONS) == len(PRECEDENCE)
    assert all(0 <= r.fix <= 99 for r in REASONS)
    assert PRECEDENCE["EVALUATORS_DISAGREE"] == 0


def test_decision_json_has_no_float_and_hashes_itself() -> None:
    document = run(Wrapped, 11).to_json()

    def floats(value: object) -> bool:
        if isinstance(value, dict):
            return any(floats(v) for v in value.values())
        if isinstance(value, list):
            return any(floats(v) for v in value)
        return isinstance(value, float)

    assert not floats(document)
    assert len(str(document["hash"])) == 64


@pytest.mark.parametrize("price", ["0", "-0.0001", "-5000"])
def test_a_price_at_or_below_zero_never_slips_under_a_value_limit(price: str) -> None:
    value = "rule: value\ntitle: At most 100\nrequire: order.notional <= 100"
    answer = Desk(book(value), world(), VOCABULARY, slow).check(order(quantity=1000, price=price))
    assert (answer.outcome, answer.reason) == (Outcome.REJECT, "PRICE_BAND")


def test_instruments_that_trade_below_zero_may() -> None:
    document = world(instruments=[instrument("ACME", negative_prices=True)])
    answer = Desk(book(SIZE), document, VOCABULARY, slow).check(order(quantity=1, price="-37.63"))
    assert answer.approved
