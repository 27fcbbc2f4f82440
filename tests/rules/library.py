"""The shipped library, and one rule of it judged in a small world.

`found(rule, document, *orders)` gives the findings of one rule by the reference meaning (`judge`); tests compare them
with plain integer arithmetic of their own. Money in worlds is whole dollars or whole cents, prices 10⁻⁴ dollars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

import lexorder.engine
from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.judge import derivations, judge
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Projection, project
from lexorder.engine.verdict import Finding, Status

ROOT = Path(lexorder.engine.__file__).parent.parent
LIBRARY = ROOT / "rules"
FOLDERS = ("regulatory", "firm", "desk", "reactions")
NOON = "2026-06-15T12:00:00-04:00"
TODAY = date(2026, 6, 15)

PASS, BREACH, PASSIVE = Status.PASS, Status.BREACH, Status.PASSIVE
UNDECIDED, NOT_APPLICABLE = Status.UNDECIDED, Status.NOT_APPLICABLE


def forall(**values: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`given`, small and without a deadline: the first example loads the library."""

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        return settings(deadline=None, max_examples=60)(given(**values)(test))

    return decorated


@cache
def words() -> Vocabulary:
    """The shipped vocabulary."""
    return vocabulary_file.load(LIBRARY / "vocabulary.yaml")


@cache
def book() -> RuleBook:
    """The shipped library."""
    return RuleBook.load(LIBRARY, words())


@cache
def only(*identifiers: str) -> RuleBook:
    """The shipped library cut down to these rules and all that derive facts: a desk of it is there at once."""
    whole = book()
    unknown = sorted(set(identifiers) - set(whole.ids()))
    assert not unknown, f"the library has no rule {', '.join(unknown)}"
    kept = tuple(v for v in whole.versions if v.id in identifiers or v.items[-1][1].derive)
    names = {v.id for v in kept}
    stretches = tuple((day, tuple(r for r in rules if r.id in names)) for day, rules in whole.stretches)
    return replace(whole, versions=kept, stretches=stretches)


def rule(identifier: str, day: date = TODAY) -> Rule:
    """One rule of the library as in force on a day."""
    named = book().rule(identifier, day)
    assert named is not None, f"{identifier} is not in force on {day}"
    return named


def cents(amount: int) -> str:
    """Whole cents as a decimal text."""
    return decimal(amount, 2)


def ticks(amount: int) -> str:
    """A price in units of 10⁻⁴ as a decimal text."""
    return decimal(amount, 4)


def decimal(amount: int, places: int) -> str:
    """An integer number of 10^-places as a decimal text."""
    whole, rest = divmod(abs(amount), 10**places)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:0{places}d}"


def instrument(symbol: str = "ACME", **facts: object) -> dict[str, object]:
    """An instrument at 100, its own issuer."""
    plain = {"symbol": symbol, "issuer": symbol, "sector": "Industrials", "country": "US", "currency": "USD"}
    quotes = {"mark": "100", "bid": "100", "ask": "100", "adv": "1000000", "group": symbol, "asset_class": "equity"}
    return {**plain, **quotes, **facts}


def world(*, account: Mapping[str, object] | None = None, **sections: Any) -> dict[str, Any]:
    """One account A worth a million dollars, all in cash; ACME and BETA at 100; no orders move the market."""
    money = dict.fromkeys(("nav", "cash", "equity", "total_assets", "start_of_day_nav", "peak_nav"), "1000000")
    document: dict[str, Any] = {
        "time": NOON,
        "accounts": [{"id": "A", "currency": "USD", "tags": [], **money, **(account or {})}],
        "instruments": [instrument("ACME"), instrument("BETA")],
        "traders": [{"id": "T", "role": "portfolio_manager"}],
        "lists": {"restricted": [], "watch": []},
        "firm": {"collar": "0"},
    }
    return {**document, **sections}


def held(quantity: int, symbol: str = "ACME") -> dict[str, str]:
    """A holding of account A."""
    return {"account": "A", "symbol": symbol, "quantity": str(quantity)}


def working(side: str, quantity: int, symbol: str = "ACME", name: str = "W", price: str = "100") -> dict[str, str]:
    """A working order of account A."""
    return {"id": name, "account": "A", "symbol": symbol, "side": side, "quantity": str(quantity), "price": price}


def order(side: str = "buy", quantity: int = 1, symbol: str = "ACME", **facts: object) -> dict[str, object]:
    """An order of account A, at the market unless it has a price."""
    plain = {"id": f"{side}-{symbol}", "account": "A", "trader": "T", "symbol": symbol, "side": side}
    return {**plain, "quantity": str(quantity), "ord_type": "limit" if "price" in facts else "market", **facts}


def projected(document: Mapping[str, Any], *orders: Mapping[str, object]) -> Projection:
    """The world with these orders under test."""
    facts = tuple(load_order(o, words()) for o in orders)
    return project(load_snapshot(document, words()), words(), "A", facts)


def found(identifier: str, document: Mapping[str, Any], *orders: Mapping[str, object]) -> tuple[Finding, ...]:
    """What one rule of the library says; nothing when it is not in force on the world's date."""
    seen = projected(document, *orders)
    today = seen.snapshot.single["clock.date"]
    assert isinstance(today, date)
    named = book().rule(identifier, today)
    if named is None:
        return ()
    measured, _ = with_measures(seen, _measured(identifier, today))
    return judge(named, measured, derivations(book().on(today)))


@cache
def _measured(identifier: str, day: date) -> tuple[str, ...]:
    """The measured names that one rule, or a rule it may chain on, reads."""
    return measured_names([r for r in book().on(day) if r.id == identifier or r.derive])


def status(identifier: str, document: Mapping[str, Any], *orders: Mapping[str, object]) -> Status:
    """The most serious status of one rule over its subjects."""
    found_here = {f.status for f in found(identifier, document, *orders)}
    worst = (BREACH, UNDECIDED, PASSIVE, PASS)
    return next((s for s in worst if s in found_here), NOT_APPLICABLE)
