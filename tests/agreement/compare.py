"""Runs the evaluators on generated cases and compares every verdict.

A case is one verdict: a rule, a subject and an order. Evaluators are callables
`(rules, vocabulary, snapshot, account, orders) -> {(rule, subject, status)}`; add one to `PLUGINS` to have it compared
with the reference on every case. The reference is undecided where it would have to look at more than 4,096 states;
there others may decide, everywhere else they must say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import TypeVar

from lexorder.engine import classify as classify_module
from lexorder.engine import judge as judge_module
from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.compile import PLAIN, CompiledBook, Plan
from lexorder.engine.judge import derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot, project
from lexorder.engine.terms import Term
from lexorder.engine.verdict import Finding, Status
from tests.agreement import rules as rule_texts
from tests.agreement import worlds

T = TypeVar("T")
DAY = date(2026, 6, 15)
MOST = 15
"""Largest quantity ordered, so that fill states stay few."""
TOO_MANY = "the set of fill states"
Key = tuple[str, str, Status]
Evaluator = Callable[[Sequence[Rule], Vocabulary, Snapshot, str, tuple[Facts, ...]], set[Key]]
PLUGINS: dict[str, Evaluator] = {}
"""Further evaluators by name; the expert joins here."""

VOCABULARY = vocabulary_file.load(Path(__file__).resolve().parents[2] / "rules" / "vocabulary.yaml")


@dataclass
class Tally:
    """What has been compared. `near` are verdicts on a limit or less than one share from it."""

    verdicts: int = 0
    near: int = 0
    exactly: int = 0
    undecided_by_size: int = 0
    sides: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.verdicts += other.verdicts
        self.near += other.near
        self.exactly += other.exactly
        self.undecided_by_size += other.undecided_by_size
        self.sides += other.sides
        self.statuses += other.statuses
        self.differences += other.differences


def quick_classes() -> None:
    """Let the reference remember what it finds out about a term; terms never change, so nothing else does."""
    for name in ("classify", "separable"):
        setattr(judge_module, name, _remembered(getattr(classify_module, name)))


def _remembered(function: Callable[[Term], T]) -> Callable[[Term], T]:
    known: dict[int, tuple[Term, T]] = {}

    def look(term: Term) -> T:
        if id(term) not in known:
            known[id(term)] = (term, function(term))
        return known[id(term)][1]

    return look


def reference(rules: Sequence[Rule], snapshot: Snapshot, orders: tuple[Facts, ...]) -> list[Finding]:
    """What the reference finds."""
    seen = project(snapshot, VOCABULARY, worlds.ACCOUNT, orders)
    derived = derivations(rules)
    return [f for r in rules if r.require is not None for f in judge_module.judge(r, seen, derived)]


def rules_of(seed: int, size: int) -> tuple[Rule, ...]:
    """The rules of one generated book."""
    text = rule_texts.book(Random(seed), size)  # noqa: S311
    return RuleBook.of(text, VOCABULARY).on(DAY)


def boundary(random_: Random, order: Facts, findings: Sequence[Finding], shifted: Sequence[Finding]) -> Iterator[int]:
    """Quantities on a limit and one share to each side, solved exactly from two margins (one share apart)."""
    for one, two in zip(findings, shifted, strict=False):
        if one.margin is None or two.margin is None or one.margin == two.margin:
            continue
        quantity: Fraction = order["order.quantity"]  # type: ignore[assignment]
        root = quantity + one.margin / (one.margin - two.margin)
        for q in {int(root), int(root) + 1, int(root) - 1}:
            if 1 <= q <= MOST:
                yield q


def with_quantity(order: Facts, quantity: int) -> Facts:
    """The same order for another quantity."""
    return {**order, "order.quantity": Fraction(quantity)}


def orders_of(random_: Random, rules: Sequence[Rule], snapshot: Snapshot, number: int) -> list[tuple[Facts, ...]]:
    """One random order, the orders at the limits around it, and sometimes a second order beside it."""
    first = worlds.order(random_, number, random_.choice((1, 2, 3, 4, 6, 9)))
    more = with_quantity(first, int(first["order.quantity"]) + 1)  # type: ignore[arg-type]
    here, there = reference(rules, snapshot, (first,)), reference(rules, snapshot, (more,))
    limits = sorted(set(boundary(random_, first, here, there)))
    found = [(first,), *((with_quantity(first, q),) for q in random_.sample(limits, min(4, len(limits))))]
    if random_.random() < 0.15:
        found.append((with_quantity(first, random_.randint(1, 6)), worlds.order(random_, number + 1, 3)))
    return found


def same(one: Finding, other: Finding) -> bool:
    """Whether two findings agree, in their figures too.

    Several states can be worst; the sides of a comparison may differ between them, their difference cannot.
    """
    if one.key != other.key:
        return False
    return one.status is Status.UNDECIDED or (one.margin, one.inputs) == (other.margin, other.inputs)


def compare(tally: Tally, expected: Sequence[Finding], found: Sequence[Finding], where: str) -> None:
    """Count the verdicts and note differences; `found` may decide where the reference had too many states."""
    if len(expected) != len(found):
        tally.differences.append(f"{where}: {len(expected)} verdicts, but {len(found)}")
    for one, two in zip(expected, found, strict=False):
        tally.verdicts += 1
        tally.statuses[one.status.value] += 1
        if one.margin is not None:
            tally.exactly += one.margin == 0
        if one.why.startswith(TOO_MANY):
            tally.undecided_by_size += 1
        elif not same(one, two):
            tally.differences.append(f"{where}: {one} but {two}")


def run(seed: int, cases: int, size: int = 8, orders_per_world: int = 6) -> Tally:
    """Compare at least `cases` verdicts, reusing each rule book over several worlds. Repeatable by `seed`."""
    tally, number = Tally(), 0
    while tally.verdicts < cases and len(tally.differences) < 20:
        number += 1
        rules = rules_of(seed * 1_000_003 + number, size)
        plan = Plan(rules, VOCABULARY)
        for world in range(4):
            random_ = Random(f"{seed}/{number}/{world}")
            snapshot = worlds.snapshot(random_)
            book = CompiledBook(rules, VOCABULARY, snapshot, plan)
            for n in range(orders_per_world // 2):
                for orders in orders_of(random_, rules, snapshot, 2 * n):
                    _one(tally, rules, snapshot, book, orders, f"seed {seed} book {number} world {world}")
    return tally


def _one(
    tally: Tally, rules: Sequence[Rule], snapshot: Snapshot, book: CompiledBook, orders: tuple[Facts, ...], where: str
) -> None:
    expected = reference(rules, snapshot, orders)
    found = book.findings(worlds.ACCOUNT, orders)
    compare(tally, expected, found, where)
    answer = book.check(worlds.ACCOUNT, orders)
    marked = [f for f in found if f.status not in PLAIN]
    told = sorted(answer.findings(), key=lambda f: f.key)
    if answer.count != len(found) or answer.keys != {f.key for f in marked}:
        tally.differences.append(f"{where}: check says {sorted(answer.keys)}; {orders}")
    tally.sides += sum((f.observed, f.limit) != (g.observed, g.limit) for f, g in zip(expected, found, strict=False))
    for one, two in zip(sorted(marked, key=lambda f: f.key), told, strict=False):
        if not same(one, two) or (one.observed, one.limit) != (two.observed, two.limit):
            tally.differences.append(f"{where}: findings {one} but check {two}; {orders}")
