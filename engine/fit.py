"""What operators and functions need of their operands, and the words when they do not get it.

In: a syntax node (for its text and position) and the term it became. Out: nothing, or the common unit. Guaranteed: the
message quotes the author's own words and names both units. Refused (RuleFileError): `wrong-type`, `unit-mismatch`.
Before: `units.py`, `syntax.py`. After: `typecheck.py`.
"""

from __future__ import annotations

from typing import NoReturn

from lexorder.engine.codes import refuse
from lexorder.engine.errors import shown
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Term
from lexorder.engine.units import Kind, Unit


def a_unit(unit: Unit) -> str:
    """A unit in a sentence: `money`, `a ratio`, `a text`, `one of buy, sell`."""
    word = unit.describe()
    return _ARTICLES.get(word, word)


_ARTICLES = {
    **{word: f"a {word}" for word in ("ratio", "price", "text", "duration", "timestamp", "date", "set")},
    "bool": "a condition",
    "time": "a time of day",
    "exchange rate": "an exchange rate",
}


def be_condition(node: Syntax, term: Term) -> None:
    """Refuse a term that is not true or false."""
    if term.unit.kind is not Kind.BOOL:
        refuse(
            "wrong-type",
            f"{shown(node.text)} is {a_unit(term.unit)}; a condition that is true or false is needed, "
            "such as a comparison",
            node.span,
        )


def be_amount(node: Syntax, term: Term, user: str) -> None:
    """Refuse a term that is no number or duration; `user` is the operator or function."""
    if term.unit.kind not in {Kind.NUMBER, Kind.DURATION}:
        refuse(
            "wrong-type",
            f"{user} needs a number, but {shown(node.text)} is {a_unit(term.unit)}",
            node.span,
        )


def fitting(node: Syntax, term: Term, want: Unit) -> None:
    """Refuse a term whose unit is not the wanted one."""
    if term.unit.joined(want) is None:
        refuse(
            "unit-mismatch",
            f"{shown(node.text)} is {a_unit(term.unit)}, but {a_unit(want)} is needed",
            node.span,
        )


def joined(one: Syntax, left: Term, other: Syntax, right: Term, use: str) -> Unit:
    """The common unit of two terms, put to a `use` that `_USES` words."""
    unit = left.unit.joined(right.unit)
    if unit is None:
        mismatch(one, left.unit, other, right.unit, use)
    return unit


def mismatch(one: Syntax, left: Unit, other: Syntax, right: Unit, use: str) -> NoReturn:
    """Refuse two units that differ."""
    refuse(
        "unit-mismatch",
        f"{shown(one.text)} is {a_unit(left)} but {shown(other.text)} is {a_unit(right)}: "
        f"{_USES[use]}{_advice(left, right)}",
        other.span,
    )


_USES = {
    "added": "only equal units can be added",
    "subtracted": "only equal units can be subtracted",
    "compared": "only equal units can be compared",
    "alternatives": "alternatives must have equal units",
}


def _advice(left: Unit, right: Unit) -> str:
    """How two common confusions are mended."""
    names = {left.describe(), right.describe()}
    if names == {"money", "shares"}:
        return "; shares become money times a price and an exchange rate, as in `order.notional`"
    if names == {"money", "ratio"}:
        return "; a percentage of an amount is written `5% * account.nav`"
    if names == {"money", "local money"}:
        return "; local money becomes money times `instrument.fx`"
    if Kind.DURATION in {left.kind, right.kind} and Kind.NUMBER in {left.kind, right.kind}:
        return "; a duration is written with its unit, `15 min`"
    return ""
