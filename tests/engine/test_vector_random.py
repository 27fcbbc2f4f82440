"""Random rules over random worlds and events: neither form alone clears an order that does not pass plainly.

The rules are those the two evaluators are compared on (`tests/agreement/rules.py`): every shape, with figures near the
world's. Rules that derive facts, or read derived ones, have no vectorised form and are left out.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from lexorder.engine.desk import Desk, slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.judge import derivations, judge
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.terms import Field
from lexorder.engine.vector import VectorBook
from tests.agreement import compare, happenings, worlds
from tests.engine.forms_alone import PLAIN, overheard


class Ruled(Desk):
    """A desk whose rules are given here."""

    given: tuple[Rule, ...] = ()

    def rules_of(self, account: str) -> tuple[Rule, ...]:
        """The same for every account."""
        return self.given


def plain_rules(seed: int) -> list[Rule]:
    """Rules of a random book that read no derived fact."""
    names = compare.VOCABULARY.names
    found = [r for r in compare.rules_of(seed, 12, 0.1) if r.require is not None]
    terms = [(r, [t for t in (r.when, r.require) if t is not None]) for r in found]
    return [
        r for r, ts in terms
        if not any(isinstance(n, Field) and names[n.name].derived for t in ts for n in t.walk())
    ]  # fmt: skip


def passes(live: Ruled, order: Facts, left: frozenset[str]) -> bool:
    """Whether every rule but those left out passes plainly."""
    seen = live.live.projection(worlds.ACCOUNT, (order,))
    found = [f for r in live.given for f in judge(r, seen, derivations(live.given))]
    return all(f.status in PLAIN for f in found if f.rule not in left)


def life(seed: int) -> tuple[int, int]:
    """One world with one or two rules; how many orders were cleared, and how many were not."""
    random_ = Random(seed)
    live = Ruled(RuleBook.of("", compare.VOCABULARY), worlds.snapshot(random_), compare.VOCABULARY, slow)
    rules = plain_rules(seed)
    live.given = tuple(random_.sample(rules, min(len(rules), random_.choice((1, 2)))))
    vector = VectorBook(live, small=0)
    clear = stopped = 0
    for number in range(3):
        orders = [worlds.order(random_, n, random_.randint(1, 9)) for n in range(8)]
        with overheard(vector) as heard:
            vector.decide(orders)
        forms = vector.book.seats[0].forms if vector.book.seats else None
        left = forms.second.left if forms else set[str]()
        for place, order in enumerate(orders):
            if place in heard[0]:
                assert passes(live, order, frozenset()), ("compiled", seed, place)
            if place in heard[1]:
                assert passes(live, order, frozenset(left)), ("expert", seed, place)
            clear, stopped = clear + (place in heard[0]), stopped + (place not in heard[0])
        with suppress(SnapshotError):
            live.apply(happenings.anything(random_, live.snapshot, number))
    assert not [reason for reason in vector.tally().single if "failed" in reason]
    return clear, stopped


@pytest.mark.parametrize("block", range(3))
def test_no_form_alone_clears_what_does_not_pass(block):
    counts = [life(seed) for seed in range(block * 8, block * 8 + 8)]
    assert sum(clear for clear, _ in counts) > 30, "else nothing is compared"
    assert sum(stopped for _, stopped in counts) > 30


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_nor_in_many_worlds(block):
    for seed in range(1_000 + block * 60, 1_060 + block * 60):
        life(seed)
