"""Terms to text in the rule language.

In: a typed term. Out: its text. Guaranteed: `parse` and `typecheck` of the text, for the same subject and
vocabulary, give an equal term; parentheses stand only where they are needed. Refused: nothing, except values that
cannot be written, which the typechecker never makes (an assertion).
Why: shown to authors, in reasons and in reports; and the round trip tests parser and typechecker against each other.
Before: `terms.py`, `literals.py`. After: `classify.py`, `plain.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date, time
from fractions import Fraction

from lexorder.engine.literals import SECONDS, decimal_text
from lexorder.engine.names import Vocabulary
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    And,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Key,
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
)
from lexorder.engine.units import LOCAL_MONEY, Kind

_CHOICE, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _ATOM = range(9)
"""Binding strength, loosest first, as in `grammar.lark`."""


def render(term: Term) -> str:
    """The term as an author could have written it, definitions put in."""
    return _text(term)[0]


def folded(term: Term, vocabulary: Vocabulary) -> str:
    """The term with definitions taken back to their names: `position.after.value` instead of what it means."""
    return render(fold(term, definitions(vocabulary)))


def definitions(vocabulary: Vocabulary) -> dict[Term, str]:
    """Defined names by what they mean."""
    return {name.means: name.name for name in vocabulary.names.values() if name.means is not None}


def fold(term: Term, known: Mapping[Term, str]) -> Term:
    """The term with every part that is a definition replaced by a field of its name."""
    found = known.get(term)
    if found is not None:
        return Field(term.unit, found, span=term.span)
    changes: dict[str, object] = {}
    for item in fields(term):
        value = getattr(term, item.name)
        if isinstance(value, Term):
            changes[item.name] = fold(value, known)
        elif isinstance(value, tuple):
            changes[item.name] = tuple(fold(part, known) if isinstance(part, Term) else part for part in value)
    return replace(term, **changes) if changes else term  # type: ignore[arg-type]


def _text(term: Term) -> tuple[str, int]:
    """Text and binding strength of its outermost operator."""
    match term:
        case Literal():
            return literal(term), _ATOM
        case Field():
            return (f"{term.via}.{term.name}" if term.via else term.name), _ATOM
        case Key():
            return term.entity, _ATOM
        case Negate(operand=x):
            return "-" + _at(x, _UNARY), _UNARY
        case Absolute(operand=x):
            return f"abs({render(x)})", _ATOM
        case Extreme(which=which, items=items):
            return f"{which}({_list(items)})", _ATOM
        case Binary():
            return _binary(term)
        case Aggregate():
            return _aggregate(term), _ATOM
        case If():
            return _if(term), _CHOICE
    return _condition(term)


def _condition(term: Term) -> tuple[str, int]:
    match term:
        case Compare(op=op, left=left, right=right):
            return f"{_at(left, _SUM)} {op} {_at(right, _SUM)}", _COMPARE
        case In(item=item, container=container):
            return f"{_at(item, _SUM)} in {_at(container, _SUM)}", _COMPARE
        case SetOf(items=items):
            return "{" + _list(items) + "}", _ATOM
        case Not(operand=x):
            return "not " + _at(x, _NOT), _NOT
        case And(items=items):
            return " and ".join(_at(x, _NOT) for x in items), _AND
        case Or(items=items):
            return " or ".join(_at(x, _AND) for x in items), _OR
    raise AssertionError(f"not a term: {term}")


def _at(term: Term, strength: int) -> str:
    """The text where at least `strength` is needed, in parentheses if it binds less."""
    text, own = _text(term)
    return text if own >= strength else f"({text})"


def _list(items: tuple[Term, ...]) -> str:
    return ", ".join(render(item) for item in items)


def _binary(term: Binary) -> tuple[str, int]:
    if term.op == "*" and _is_money(term):
        assert isinstance(term.left, Literal)
        assert isinstance(term.right, Field)
        assert isinstance(term.left.value, Fraction)
        return f"{decimal_text(term.left.value)} {term.right.name.split('.')[1]}", _ATOM
    own = _SUM if term.op in "+-" else _PRODUCT
    return f"{_at(term.left, own)} {term.op} {_at(term.right, own + 1)}", own


def _is_money(term: Binary) -> bool:
    literal_left = isinstance(term.left, Literal) and term.left.unit == LOCAL_MONEY
    return literal_left and isinstance(term.right, Field) and term.right.name.startswith("fx.")


def _if(term: If) -> str:
    return f"if {render(term.condition)} then {render(term.yes)} else {render(term.no)}"


def _aggregate(term: Aggregate) -> str:
    inside = term.collection if term.body is None else render(term.body)
    where = "" if term.where is None else f" where {render(term.where)}"
    owner = f"{term.owner}." if term.owner else ""
    return f"{owner}{term.kind}({inside}{where})"


def literal(term: Literal) -> str:
    """A constant as it is written: `25_000`, `5%`, `15 min`, `2026-06-04`, `"ACME"`, `buy`, `true`."""
    value = term.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Fraction):
        if term.unit.kind is Kind.DURATION:
            return duration_text(value)
        percent = not term.unit.bare and term.unit.dimensions == (0, 0, 0)
        return decimal_text(value * 100) + "%" if percent else decimal_text(value)
    if isinstance(value, date | time):
        return value.isoformat() if isinstance(value, date) else _time(value)
    assert isinstance(value, str)
    if term.unit.kind is Kind.ENUM:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _time(value: time) -> str:
    return value.strftime("%H:%M:%S" if value.second else "%H:%M")


def duration_text(seconds: Fraction) -> str:
    """A duration in the largest unit that divides it."""
    for unit in ("days", "h", "min", "s"):
        amount = seconds / SECONDS[unit]
        if seconds and amount.denominator == 1:
            return f"{decimal_text(amount)} {'day' if unit == 'days' and amount == 1 else unit}"
    return "0 s" if not seconds else f"{decimal_text(seconds * 1000)} ms"
