"""How measures read facts: the value of a name for a subject, of the type its declaration promises.

In: a projection, a subject, a name. Out: a Fraction, date, timestamp, text or truth value. Guaranteed: the vocabulary's
defaults and age limits apply as they do to rules; rounding is half up and always written out by who asks for it.
Refused: MissingFactError when the fact is absent, stale, or not of the type. Before: `snapshot.py`. After: the other
files of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from fractions import Fraction
from math import floor

from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject, read
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Value


def fact(seen: Projection, subject: Subject, name: str) -> Value:
    """The value of `name` as `subject` sees it. Raises MissingFactError."""
    return read(seen, (account_subject(seen), subject), name, "")


def number(seen: Projection, subject: Subject, name: str) -> Fraction:
    """A number, exactly. Raises MissingFactError."""
    found = fact(seen, subject, name)
    if not isinstance(found, Fraction):
        raise MissingFactError(name, subject.key, "is not a number")
    return found


def number_or_none(seen: Projection, subject: Subject, name: str) -> Fraction | None:
    """A number, or None when it is absent or stale."""
    try:
        return number(seen, subject, name)
    except MissingFactError:
        return None


def given_or(subject: Subject, name: str, measured: Callable[[], Value]) -> Fraction:
    """A number the snapshot gives under `name`, or what is measured when it gives none. Raises MissingFactError."""
    found = subject.facts[name] if name in subject.facts else measured()
    if not isinstance(found, Fraction):
        raise MissingFactError(name, subject.key, "is not a number")
    return found


def word(seen: Projection, subject: Subject, name: str) -> str:
    """A text or a value of an enumeration. Raises MissingFactError."""
    found = fact(seen, subject, name)
    if not isinstance(found, str):
        raise MissingFactError(name, subject.key, "is not a text")
    return found


def day(seen: Projection, subject: Subject, name: str) -> date:
    """A date. Raises MissingFactError."""
    found = fact(seen, subject, name)
    if isinstance(found, datetime) or not isinstance(found, date):
        raise MissingFactError(name, subject.key, "is not a date")
    return found


def moment(seen: Projection, subject: Subject, name: str) -> datetime:
    """A timestamp with its offset. Raises MissingFactError."""
    found = fact(seen, subject, name)
    if not isinstance(found, datetime):
        raise MissingFactError(name, subject.key, "is not a timestamp")
    return found


def today(seen: Projection) -> date:
    """The trade date of the decision. Raises MissingFactError."""
    return day(seen, account_subject(seen), "clock.date")


def account(seen: Projection) -> Subject:
    """The account the projection is seen from."""
    return account_subject(seen)


def instrument_of(seen: Projection, symbol: str) -> Subject:
    """The instrument of a symbol; without facts when the snapshot has none."""
    return Subject("instrument", symbol, seen.snapshot.instruments.get(symbol, {}))


def holdings(seen: Projection) -> Iterator[tuple[str, Fraction]]:
    """The account's holdings as filled now: symbol and signed quantity, zeros left out."""
    for symbol, facts in seen.positions.items():
        quantity = facts.get("position.before.quantity", Fraction(0))
        if isinstance(quantity, Fraction) and quantity != 0:
            yield symbol, quantity


def signed_quantity(member: Facts, collection: str) -> Fraction:
    """The quantity of a fill or an order with its sign: purchases are positive. Raises MissingFactError."""
    found = member.get(f"{collection}.quantity")
    if not isinstance(found, Fraction):
        raise MissingFactError(f"{collection}.quantity", str(member.get(f"{collection}.id")))
    return found if member.get(f"{collection}.side") == BUY else -found


def rounded_half_up(value: Fraction, places: int = 4) -> Fraction:
    """`value` rounded half up to `places` decimals (by default 4, the scale of prices and money)."""
    return Fraction(floor(value * 10**places + Fraction(1, 2)), 10**places)
