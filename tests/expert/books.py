"""Rule books and worlds for the expert's tests: rules as text, the reference beside the expert."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.expert.contextbook import ContextBook
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.ports import ExactAnswer, ExpertAnswer
from lexorder.engine.reference import Reference
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY, order, world

DAY = date(2026, 6, 15)
NOTHING = ExactAnswer(frozenset(), 0, lambda: ())
"""An exact answer without findings: what CLIPS finds beside it, it found itself."""


def rules(*texts: str) -> tuple[Rule, ...]:
    """Rules in force on the tests' day, each text a rule's body."""
    items = []
    for text in texts:
        lines = [line for line in text.strip("\n").splitlines() if line.strip()]
        margin = min(len(line) - len(line.lstrip()) for line in lines)
        items.append("- " + "\n  ".join(line[margin:] for line in lines) + "\n")
    return RuleBook.of("".join(items), VOCABULARY).on(DAY)


def simple(require: str, for_each: str = "order", extra: str = "", name: str = "r") -> tuple[Rule, ...]:
    """One rule with this requirement."""
    return rules(f"rule: {name}\ntitle: A rule\nfor_each: {for_each}\nrequire: {require}\n{extra}")


class Pair:
    """The expert and the reference on one world. `make` builds the expert: all of it, or a part of it."""

    make: Callable[..., Any] = ExpertBook

    def __init__(self, book: tuple[Rule, ...], document: dict[str, Any] | None = None) -> None:
        snapshot = load_snapshot(document or world(), VOCABULARY)
        self.expert = type(self).make(book, VOCABULARY, snapshot)
        self.reference = Reference(book, VOCABULARY, snapshot)

    def apply(self, event: Any) -> None:
        """Both take an event over."""
        self.expert.apply(event)
        self.reference.apply(event)

    def alone(self, **facts: Any) -> set[tuple[str, str, str]]:
        """What CLIPS finds by itself, with no exact verdict to lean on."""
        answer = self.expert.check("A", (load_order(order(**facts), VOCABULARY),), NOTHING)
        return {(rule, subject, status.value) for rule, subject, status in answer.keys}

    def both(self, *orders: dict[str, Any]) -> tuple[ExactAnswer, ExpertAnswer]:
        """The answers of reference and expert."""
        facts = tuple(load_order(o, VOCABULARY) for o in orders)
        exact = self.reference.check("A", facts)
        return exact, self.expert.check("A", facts, exact)

    def agree(self, *orders: dict[str, Any]) -> ExpertAnswer:
        """The expert's answer, which must be the reference's."""
        exact, answer = self.both(*orders)
        assert answer.keys == exact.keys
        assert answer.count == exact.count
        return answer


class Leaves(Pair):
    """The part of the expert that prepares leaf facts, for every rule."""

    make = ContextBook
