"""Small worlds for tests: one account, a few instruments, rules as text.

`world(...)` gives a snapshot document that tests change; `desk(rules, document, make)` a live desk on it.
"""

from __future__ import annotations

from typing import Any

from lexorder.engine.desk import Desk, Make, shipped_vocabulary, slow
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook

VOCABULARY: Vocabulary = shipped_vocabulary()
NOON = "2026-06-15T12:00:00-04:00"


def instrument(symbol: str, mark: str = "100", **facts: object) -> dict[str, Any]:
    """An instrument quoted at its mark, its own issuer, in dollars."""
    plain = {"symbol": symbol, "mark": mark, "bid": mark, "ask": mark, "issuer": symbol, "sector": "Tech"}
    return {**plain, "country": "US", "currency": "USD", "adv": "1000000", "group": symbol, **facts}


def world(**sections: Any) -> dict[str, Any]:
    """Account A with 100,000 in cash and net assets; instruments ACME, BETA and COCO at 100."""
    account = {"id": "A", "nav": "100000", "cash": "100000", "equity": "100000", "total_assets": "100000"}
    document: dict[str, Any] = {
        "time": NOON,
        "accounts": [{**account, "currency": "USD", "tags": [], **sections.pop("account", {})}],
        "instruments": [instrument(s) for s in ("ACME", "BETA", "COCO")],
        "positions": [],
        "working_orders": [],
        "traders": [{"id": "T", "role": "portfolio_manager"}],
        "lists": {"restricted": [], "watch": []},
    }
    return {**document, **sections}


def position(symbol: str, quantity: int, account: str = "A") -> dict[str, Any]:
    """A filled holding."""
    return {"account": account, "symbol": symbol, "quantity": str(quantity)}


def working(order: str, symbol: str, side: str, quantity: int, price: str = "100") -> dict[str, Any]:
    """A working order of account A."""
    return {"id": order, "account": "A", "symbol": symbol, "side": side, "quantity": str(quantity), "price": price}


def order(side: str = "buy", quantity: int | str = 1, symbol: str = "ACME", **facts: Any) -> dict[str, Any]:
    """A limit order of account A at 100 unless said otherwise."""
    plain = {"id": f"{side}-{symbol}-{quantity}", "account": "A", "symbol": symbol, "side": side}
    return {**plain, "quantity": str(quantity), "ord_type": "limit", "price": "100", **facts}


def book(*rules: str) -> RuleBook:
    """A rule book from rule texts (each the body of one list item, any indentation)."""
    return RuleBook.of("".join(_item(rule) for rule in rules), VOCABULARY)


def _item(rule: str) -> str:
    lines = [line for line in rule.strip("\n").splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    cut = [line[margin:] for line in lines]
    return "- " + "\n  ".join(cut) + "\n"


def desk(rules: RuleBook, document: dict[str, Any], make: Make = slow) -> Desk:
    """A live desk on a document."""
    return Desk(rules, document, VOCABULARY, make)
