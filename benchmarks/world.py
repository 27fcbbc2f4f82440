"""The world of the decision benchmark: one account, 100 names in 10 sectors; about a third of the orders break a rule.

Everything is drawn from a seeded generator, in integers, so that peers get the same facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

NAMES = 100
SECTORS = 10
NAV = 10_000_000


@dataclass(frozen=True)
class Name:
    """An instrument; price in cents."""

    symbol: str
    sector: str
    cents: int
    adv: int
    held: int
    restricted: bool
    halted: bool


@dataclass(frozen=True)
class Order:
    """A limit order; price in cents."""

    id: str
    name: Name
    side: str
    quantity: int
    cents: int
    locate: bool


def names(seed: int = 1) -> tuple[Name, ...]:
    """The instruments and what is held of them."""
    draw = random.Random(seed)
    made = []
    for n in range(NAMES):
        cents = draw.randrange(1_000, 50_000)
        held = draw.randrange(NAV * 100 // 120) // cents
        flags = draw.random()
        made.append(
            Name(
                f"N{n:03d}",
                f"S{n % SECTORS}",
                cents,
                draw.randrange(100_000, 2_000_000),
                held,
                flags < 0.03,
                flags > 0.98,
            )
        )
    return tuple(made)


def cash(stock: tuple[Name, ...]) -> int:
    """Cash in cents that makes net assets whole."""
    return NAV * 100 - sum(s.cents * s.held for s in stock)


def orders(stock: tuple[Name, ...], count: int, seed: int = 2) -> list[Order]:
    """Orders, mostly sensible; about a third of them break one rule or more."""
    draw = random.Random(seed)
    made = []
    for n in range(count):
        name = draw.choice(stock)
        side = draw.choices(("buy", "sell", "sell_short"), (60, 35, 5))[0]
        most = min(name.adv // 100, 25_000_000 // name.cents, name.held if side == "sell" else 10_000)
        quantity = max(1, int(most * draw.choice((0.05, 0.1, 0.2, 0.3, 1.02))))
        cents = name.cents * draw.choice((99, 100, 101, 104, 106)) // 100
        made.append(Order(f"O{n}", name, side, quantity, max(1, cents), draw.random() < 0.7))
    return made


def document(stock: tuple[Name, ...]) -> dict[str, Any]:
    """The world as a snapshot document."""
    return {
        "time": "2026-06-15T12:00:00-04:00",
        "accounts": [
            {"id": "A", "currency": "USD", "nav": str(NAV), "cash": money(cash(stock)), "equity": str(NAV), "tags": []}
        ],
        "instruments": [
            {
                "symbol": s.symbol,
                "mark": money(s.cents),
                "bid": money(s.cents),
                "ask": money(s.cents),
                "issuer": s.symbol,
                "sector": s.sector,
                "currency": "USD",
                "adv": str(s.adv),
                "halted": s.halted,
            }
            for s in stock
        ],
        "positions": [{"account": "A", "symbol": s.symbol, "quantity": str(s.held)} for s in stock if s.held],
        "lists": {"restricted": [s.symbol for s in stock if s.restricted]},
    }


def order_document(order: Order) -> dict[str, Any]:
    """An order as lexorder takes it."""
    return {
        "id": order.id,
        "account": "A",
        "symbol": order.name.symbol,
        "side": order.side,
        "quantity": str(order.quantity),
        "ord_type": "limit",
        "price": money(order.cents),
        "has_locate": order.locate,
    }


def money(cents: int) -> str:
    """Cents as decimal text."""
    return f"{cents // 100}.{cents % 100:02d}"
