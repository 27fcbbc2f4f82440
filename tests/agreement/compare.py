"""Runs the evaluators on generated cases and compares every verdict.

A case is one verdict: a rule, a subject and an order. Further evaluators join through `PLUGINS`: what makes a
`ports.Second` from rules, vocabulary and snapshot; it lives through the same events and is compared with the reference
on every case. The reference is undecided where it would look at more than 4,096 states; there others may decide,
everywhere else they must say the same.

Every world is lived through: events happen, orders are checked, and most orders are placed on a limit or one share to
a side of it, solved exactly from two margins; account facts are moved so that margins become nought or one unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar, runtime_checkable

from lexorder.engine import classify as classify_module
from lexorder.engine import judge as judge_module
from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.events import AccountChanged, Event, after
from lexorder.engine.judge import derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import Second
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot, project
from lexorder.engine.stopped import PLAIN
from lexorder.engine.terms import Term
from lexorder.engine.verdict import Finding, Status
from tests.agreement import happenings, worlds
from tests.agreement import rules as rule_texts

T = TypeVar("T")
DAY = date(2026, 6, 15)
MOST = 15
"""Largest quantity ordered, so that fill states stay few."""
TOO_MANY = "the set of fill states"
PLUGINS: dict[str, Callable[[Sequence[Rule], Vocabulary, Snapshot], Second]] = {}
"""Further evaluators by name."""

VOCABULARY = vocabulary_file.load(Path(__file__).resolve().parents[2] / "rules" / "vocabulary.yaml")


@dataclass
class Tally:
    """What has been compared. `near` are orders on a limit or one share from it, `exactly` verdicts with no margin."""

    verdicts: int = 0
    orders: int = 0
    near: int = 0
    exactly: int = 0
    cleared: int = 0
    undecided_by_size: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take another run's figures in."""
        for name in ("verdicts", "orders", "near", "exactly", "cleared", "undecided_by_size"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.statuses += other.statuses
        self.differences += other.differences


SLOW_LOOKS = ("classify", "separable", "grouping")


def quick_classes(put: Callable[[object, str, object], None] = setattr) -> None:
    """Let the reference remember what it finds out about a term; terms never change, so nothing else does."""
    for name in SLOW_LOOKS:
        put(judge_module, name, _remembered(getattr(classify_module, name)))


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


def rules_of(seed: int, size: int, heavy: float = 0.3) -> tuple[Rule, ...]:
    """The rules of one generated book."""
    return RuleBook.of(rule_texts.book(Random(seed), size, heavy), VOCABULARY).on(DAY)


def with_quantity(order: Facts, quantity: int) -> Facts:
    """The same order for another quantity."""
    return {**order, "order.quantity": Fraction(quantity)}


def same(one: Finding, other: Finding) -> bool:
    """Whether two findings agree, in their figures too."""
    if one.key != other.key:
        return False
    sides = (one.observed, one.limit, one.margin, one.inputs) == (
        other.observed,
        other.limit,
        other.margin,
        other.inputs,
    )
    return one.status is Status.UNDECIDED or sides


@runtime_checkable
class Closes(Protocol):
    """An evaluator that holds something outside Python."""

    def close(self) -> None:
        """Let go of it."""
        ...


class World:
    """One world lived through with one rule book."""

    def __init__(self, rules: Sequence[Rule], plan: Plan, random_: Random, where: str) -> None:
        self.rules = rules
        self.random = random_
        self.where = where
        self.snapshot = worlds.snapshot(random_)
        self.book = CompiledBook(rules, VOCABULARY, self.snapshot, plan)
        self.others = {name: make(rules, VOCABULARY, self.snapshot) for name, make in PLUGINS.items()}
        self.tally = Tally()

    def live(self, steps: int) -> Tally:
        """Let things happen and check orders around the limits."""
        for number in range(steps):
            if number:
                self.apply(happenings.happening(self.random, self.snapshot, number))
            self.around(worlds.order(self.random, number, self.random.choice((1, 2, 3, 4, 6, 9))))
        return self.tally

    def close(self) -> None:
        """Let go of what further evaluators hold."""
        for other in self.others.values():
            if isinstance(other, Closes):
                other.close()

    def apply(self, event: Event) -> None:
        """Let an event happen to the snapshot and to every evaluator."""
        self.snapshot = after(self.snapshot, event)
        self.book.apply(event)
        for other in self.others.values():
            other.apply(event)

    def around(self, order: Facts) -> None:
        """Check an order, orders at the limits around it, sometimes with a limit moved to it, sometimes two at once."""
        quantity = order["order.quantity"]
        assert isinstance(quantity, Fraction)
        more = with_quantity(order, int(quantity) + 1)
        here, there = self.check((order,)), self.check((more,))
        limits = sorted(set(self.boundary(order, here, there)))
        for near in self.random.sample(limits, min(5, len(limits))):
            self.tally.near += 1
            self.check((with_quantity(order, near),))
        if self.random.random() < 0.5:
            self.moved_limit(order, here)
        if self.random.random() < 0.1:
            self.check((with_quantity(order, self.random.randint(1, 4)), worlds.order(self.random, 99, 3)))

    def boundary(self, order: Facts, here: Sequence[Finding], there: Sequence[Finding]) -> Iterator[int]:
        """Quantities on a limit and one share to each side, solved exactly from two margins one share apart."""
        quantity = order["order.quantity"]
        assert isinstance(quantity, Fraction)
        for one, two in zip(here, there, strict=False):
            if one.margin is None or two.margin is None or one.margin == two.margin:
                continue
            root = int(quantity + one.margin / (one.margin - two.margin))
            yield from (q for q in (root - 1, root, root + 1) if 1 <= q <= MOST)

    def moved_limit(self, order: Facts, here: Sequence[Finding]) -> None:
        """Change an account fact so that one rule's margin is nought or one unit of money."""
        name = self.random.choice(("account.nav", "account.cash"))
        now = self.snapshot.accounts[worlds.ACCOUNT].get(name)
        measured = [n for n, f in enumerate(here) if f.margin is not None]
        if not measured or not isinstance(now, Fraction):
            return
        chosen = self.random.choice(measured)
        nudged = after(self.snapshot, AccountChanged(worlds.ACCOUNT, {name: now + 1}))
        margin = here[chosen].margin
        shifted = reference(self.rules, nudged, (order,))[chosen].margin
        if margin is None or shifted is None:
            return
        event = happenings.onto_limit(self.random, self.snapshot, name, shifted - margin, margin)
        if event is not None:
            self.apply(event)
            self.tally.near += 1
            self.check((order,))

    # ---- comparing ---------------------------------------------------------------------------------

    def check(self, orders: tuple[Facts, ...]) -> list[Finding]:
        """Compare all evaluators on some orders; returns what the reference finds."""
        expected = reference(self.rules, self.snapshot, orders)
        self.count(expected)
        if self.random.random() < 0.1 or len(orders) > 1:
            self.differ("closed forms", orders, expected, self.book.findings(worlds.ACCOUNT, orders))
        self.against_answer(orders, expected)
        for name, other in self.others.items():
            self.against_other(name, other, orders, expected)
        return expected

    def count(self, expected: Sequence[Finding]) -> None:
        self.tally.orders += 1
        self.tally.verdicts += len(expected)
        self.tally.statuses.update(f.status.value for f in expected)
        self.tally.exactly += sum(f.margin == 0 for f in expected)
        self.tally.undecided_by_size += sum(f.why.startswith(TOO_MANY) for f in expected)

    def against_answer(self, orders: tuple[Facts, ...], expected: Sequence[Finding]) -> None:
        """Compare with `check`: the count, what is marked, and the evidence of what is marked."""
        answer = self.book.check(worlds.ACCOUNT, orders)
        self.tally.cleared += not answer.keys
        told = {(f.rule, f.subject): f for f in answer.findings()}
        if answer.count != len(expected) or answer.keys != {f.key for f in told.values()}:
            self.note(f"check counts {answer.count} and says {sorted(answer.keys)} for {orders}")
        for one in expected:
            if one.why.startswith(TOO_MANY):
                continue
            two = told.pop((one.rule, one.subject), None)
            if (two is None) != (one.status in PLAIN) or (two is not None and not same(one, two)):
                self.note(f"{one} but check says {two} for {orders}")

    def against_other(self, name: str, other: Second, orders: tuple[Facts, ...], expected: Sequence[Finding]) -> None:
        """Compare a further evaluator's count and marked verdicts."""
        marked = frozenset(f.key for f in expected if f.status not in PLAIN)
        answer = other.check(worlds.ACCOUNT, orders, self.book.check(worlds.ACCOUNT, orders))
        undecidable = {(f.rule, f.subject) for f in expected if f.why.startswith(TOO_MANY)}
        differing = sorted(key for key in marked ^ answer.keys if key[:2] not in undecidable)
        if differing or answer.count != len(expected):
            self.note(f"{name} counts {answer.count} of {len(expected)} and differs on {differing} for {orders}")

    def differ(
        self, name: str, orders: tuple[Facts, ...], expected: Sequence[Finding], found: Sequence[Finding]
    ) -> None:
        if len(expected) != len(found):
            self.note(f"{name}: {len(expected)} verdicts, but {len(found)} for {orders}")
        for one, two in zip(expected, found, strict=False):
            if not one.why.startswith(TOO_MANY) and not same(one, two):
                self.note(f"{name}: {one} but {two} for {orders}")

    def note(self, difference: str) -> None:
        self.tally.differences.append(f"{self.where}: {difference}")


@dataclass(frozen=True)
class Load:
    """How a run spends its time: rules a book, worlds a book, events a world, share of rules judged state by state."""

    size: int = 8
    worlds: int = 4
    steps: int = 4
    heavy: float = 0.3


MASS = Load(size=10, worlds=12, steps=6, heavy=0.02)
"""For millions of cases: mostly rules with a closed form, each book reused."""


def run(seed: int, cases: int, load: Load | None = None, stop: int = 20) -> Tally:
    """Compare at least `cases` verdicts, or until `stop` differences. Repeatable by its arguments."""
    load = load or Load()
    tally, number = Tally(), 0
    while tally.verdicts < cases and len(tally.differences) < stop:
        number += 1
        rules = rules_of(seed * 1_000_003 + number, (load.size, 3, load.size, 1)[number % 4], load.heavy)
        plan = Plan(rules, VOCABULARY)
        for world in range(load.worlds):
            where = f"seed {seed} book {number} world {world}"
            lived = World(rules, plan, Random(f"{seed}/{number}/{world}"), where)
            tally.add(lived.live(load.steps))
            lived.close()
            if len(tally.differences) >= stop:
                break
    return tally
