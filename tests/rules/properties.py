"""What every rule promises, as data: from which order on it stops, and how it takes a larger order and a split one.

The tables are in the files beside this one, by folders of the library; figures in them are worked out by hand from what
the rule's source says. `test_properties.py` puts them together and asks both pairs of evaluators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rules.library import held, instrument, world

Document = Mapping[str, Any]
Facts = Mapping[str, object]


@dataclass(frozen=True)
class Limit:
    """A rule that stops an order from `most` + 1 shares on, in `world`.

    `split` says how it takes an order in two parts: `whole` like the order they come from, `each` part by part, as a
    control of single orders does on purpose.
    """

    rule: str
    most: int
    world: Document
    order: Facts = field(default_factory=dict)
    split: str = "whole"


@dataclass(frozen=True)
class Fact:
    """A rule about a fact, whatever the quantity: `inside` and `outside` lie one unit apart, on both sides of it."""

    rule: str
    inside: Document
    outside: Document
    order: Facts = field(default_factory=dict)
    order_outside: Facts | None = None


@dataclass(frozen=True)
class Count:
    """A rule that counts orders, whatever their quantity: `most` of them go. Two parts of an order are two orders."""

    rule: str
    most: int
    world: Document
    order: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """A rule that asks for a size and so may admit a larger order where it stops a smaller one; `why` says so.

    `judged` has quantities with whether they go; parts are judged part by part.
    """

    rule: str
    why: str
    judged: tuple[tuple[int, bool], ...]
    world: Document
    order: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """A rule that is asked of an account and not of an order, when it is watched."""

    rule: str
    inside: Document
    outside: Document


@dataclass(frozen=True)
class Trigger:
    """A rule that derives or reacts: silent in the first worlds and firing in the others, from mild to severe."""

    rule: str
    silent: tuple[Document, ...]
    firing: tuple[Document, ...]


Entry = Limit | Fact | Count | Shape | Standing | Trigger


def margin(stock: Facts | None = None, /, **account: object) -> dict[str, Any]:
    """A margin account with these facts, and ACME with those of `stock`."""
    return world(
        account={"kind": "margin", **account}, instruments=[instrument("ACME", **(stock or {})), instrument("BETA")]
    )


def at(time: str, document: Document) -> dict[str, Any]:
    """The same at another time of 15 June 2026, a Monday."""
    return {**document, "time": f"2026-06-15T{time}-04:00"}


def holding(quantity: int, document: Document) -> dict[str, Any]:
    """The same with that much of ACME."""
    return {**document, "positions": [held(quantity)]}


def limit_order(price: str, **facts: object) -> dict[str, object]:
    """What makes an order a limit order at a price."""
    return {"price": price, **facts}


SELL, SHORT = {"side": "sell"}, {"side": "sell_short", "has_locate": "true"}
