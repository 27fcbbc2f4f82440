"""Maintenance margin: what a margin account must keep, what it lacks, and how much must be sold to cover.

In: holdings at their marks, cash, the house rate. Out: `account.equity` (where the books do not give it),
`account.maintenance_requirement`, `account.maintenance_call`, `account.liquidation_to_cover` and
`account.maintenance_trigger_value`. Guaranteed: exact; amounts finer than 10⁻⁴, the scale of money, are rounded up
(equity down), against the account. Refused: MissingFactError for holdings other than equity securities, whose margin
is defined elsewhere, for unpriced holdings, and before the rule was in force.

Source: FINRA Rule 4210(c)(1) to (3), in force 2010-12-02 (SR-FINRA-2010-024); figures explained in Regulatory Notice
11-16. A leveraged exchange-traded fund needs its leverage times the share of its value, at most all of it (Regulatory
Notice 09-53, in force 2009-12-01). A security that is not margin eligible has no loan value: 100% of its value. Before:
`reading.py`. After: `intraday_margin.py`, `buying_power.py`, rules in `regulatory/margin.yaml`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil, floor

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

NONE = Fraction(0)
WHOLE = Fraction(1)
EQUITY_CLASSES = frozenset({"equity", "stock", "etf", "adr"})
"""Values of `instrument.asset_class` that this rule margins; an instrument without one is taken for an equity."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares of market value, and dollars a share, that 4210(c) asks for; `cheap` is the price that divides shorts."""

    long: Fraction
    cheap: Fraction
    cheap_per_share: Fraction
    cheap_share: Fraction
    short_per_share: Fraction
    short_share: Fraction


TABLE: tuple[tuple[date, Figures], ...] = (
    (
        date(2010, 12, 2),
        Figures(
            long=Fraction("0.25"),
            cheap=Fraction(5),
            cheap_per_share=Fraction("2.50"),
            cheap_share=Fraction(1),
            short_per_share=Fraction(5),
            short_share=Fraction("0.30"),
        ),
    ),
)
"""FINRA Rule 4210(c)(1) long, (c)(2) short below 5.00, (c)(3) short from 5.00, by the day they came into force."""


def figures_on(day: date) -> Figures:
    """The figures in force on a day. Raises MissingFactError before 2010-12-02."""
    place = bisect_right([start for start, _ in TABLE], day)
    if place == 0:
        raise MissingFactError("the maintenance requirement", day.isoformat(), "is not known before FINRA Rule 4210")
    return TABLE[place - 1][1]


def long_rate(figures: Figures, house: Fraction, marginable: bool, leverage: Fraction = WHOLE) -> Fraction:
    """The share of its value that a long position needs: the higher of the rule's and the house's, or all of it.

    `leverage` is that of a fund: the rule's share is multiplied by it and is at most all of the value (09-53).
    """
    return max(min(WHOLE, figures.long * leverage), house) if marginable else WHOLE


def short_per_share(figures: Figures, price: Fraction, leverage: Fraction = WHOLE) -> Fraction:
    """Dollars for a share short at `price`: the greater of 2.50 and 100% below 5.00, of 5.00 and 30% from there.

    The 30% are multiplied by the leverage of a fund and are at most all of its value.
    """
    if price < figures.cheap:
        return max(figures.cheap_per_share, figures.cheap_share * price)
    return max(figures.short_per_share, min(WHOLE, figures.short_share * leverage) * price)


@dataclass(frozen=True, slots=True)
class Security:
    """On what terms a security is margined: whether it has loan value, and how leveraged a fund it is (1: not)."""

    marginable: bool = True
    leverage: Fraction = WHOLE


PLAIN = Security()


def requirement(
    quantity: Fraction, price: Fraction, figures: Figures, house: Fraction, security: Security = PLAIN
) -> Fraction:
    """What a position needs, in dollars, by its signed quantity and its price in dollars. Exact."""
    if quantity >= 0:
        return long_rate(figures, house, security.marginable, security.leverage) * quantity * price
    return -quantity * short_per_share(figures, price, security.leverage)


def covering_sale(call: Fraction, rate: Fraction) -> Fraction:
    """Value to sell so that a call is met: a sale leaves equity as it is and frees `rate` of what is sold. Exact."""
    return call / rate


def trigger_value(debit: Fraction, rate: Fraction) -> Fraction:
    """Value of the long positions at which a call arises: equity, value less debit, is then `rate` of value. Exact.

    Raises MissingFactError at a rate of 100%, where no value is enough.
    """
    if rate >= 1:
        raise MissingFactError("the trigger value", "", "does not exist at a rate of 100%")
    return debit / (1 - rate)


# ---- the account -------------------------------------------------------------------------------


def up(value: Fraction) -> Fraction:
    """Rounded up to 10⁻⁴."""
    return Fraction(ceil(value * 10_000), 10_000)


def down(value: Fraction) -> Fraction:
    """Rounded down to 10⁻⁴."""
    return Fraction(floor(value * 10_000), 10_000)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an account is margined: the figures in force and the house rate for long positions."""

    figures: Figures
    house: Fraction


def terms_of(seen: Projection, account: Subject) -> Terms:
    """The terms for an account on the date of the decision."""
    return Terms(figures_on(reading.today(seen)), reading.number(seen, account, "account.house_maintenance"))


def marginable(seen: Projection, instrument: Subject) -> bool:
    """Whether an instrument has loan value. Raises MissingFactError for what is no equity security."""
    if instrument.facts.get("instrument.asset_class", "equity") not in EQUITY_CLASSES:
        raise MissingFactError("the maintenance requirement", instrument.key, "is defined for equity securities only")
    return bool(reading.fact(seen, instrument, "instrument.marginable"))


def security_of(seen: Projection, instrument: Subject) -> Security:
    """How an instrument is margined. Raises MissingFactError for what is no equity security."""
    return Security(marginable(seen, instrument), reading.number(seen, instrument, "instrument.leverage"))


def dollars(seen: Projection, instrument: Subject) -> Fraction:
    """US dollars, in which the rule speaks, for one unit of the instrument's currency."""
    return reading.number(seen, instrument, "instrument.fx") / reading.number(seen, instrument, "fx.USD")


def position_requirement(seen: Projection, terms: Terms, symbol: str, quantity: Fraction) -> Fraction:
    """What one holding needs, in the account's money, at its mark. Exact. Raises MissingFactError."""
    instrument = reading.instrument_of(seen, symbol)
    price = reading.number(seen, instrument, "instrument.mark") * dollars(seen, instrument)
    needed = requirement(quantity, price, terms.figures, terms.house, security_of(seen, instrument))
    return needed * reading.number(seen, instrument, "fx.USD")


@measure("account.equity")
def equity(seen: Projection, account: Subject) -> Value:
    """Cash (a debit balance is negative) and holdings at their marks, rounded down to 10⁻⁴."""
    worth = reading.number(seen, account, "account.cash")
    for symbol, quantity in reading.holdings(seen):
        instrument = reading.instrument_of(seen, symbol)
        rate = reading.number(seen, instrument, "instrument.fx")
        worth += quantity * reading.number(seen, instrument, "instrument.mark") * rate
    return down(worth)


@measure("account.maintenance_requirement")
def maintenance_requirement(seen: Projection, account: Subject) -> Value:
    """What the account must keep for its holdings as filled now, rounded up to 10⁻⁴."""
    terms = terms_of(seen, account)
    return up(sum((position_requirement(seen, terms, s, q) for s, q in reading.holdings(seen)), NONE))


@measure("account.maintenance_call")
def maintenance_call(seen: Projection, account: Subject) -> Value:
    """By how much equity falls short of the requirement; 0 when it does not."""
    needed = reading.given_or(
        account, "account.maintenance_requirement", lambda: maintenance_requirement(seen, account)
    )
    return max(NONE, needed - reading.given_or(account, "account.equity", lambda: equity(seen, account)))


@measure("account.liquidation_to_cover")
def liquidation_to_cover(seen: Projection, account: Subject) -> Value:
    """Value of margin eligible long positions to sell to meet the call, rounded up to 10⁻⁴; may exceed what is held.

    Positions that are not leveraged funds: of these, which free more of their value, less would do.
    """
    terms = terms_of(seen, account)
    call = reading.given_or(account, "account.maintenance_call", lambda: maintenance_call(seen, account))
    return up(covering_sale(call, long_rate(terms.figures, terms.house, marginable=True)))


@measure("account.maintenance_trigger_value")
def maintenance_trigger_value(seen: Projection, account: Subject) -> Value:
    """Value of the long positions below which a call arises, rounded up to 10⁻⁴.

    Raises MissingFactError while positions are short or in leveraged funds: then the value alone does not decide.
    """
    for symbol, quantity in reading.holdings(seen):
        leverage = reading.number(seen, reading.instrument_of(seen, symbol), "instrument.leverage")
        if quantity < 0 or leverage != WHOLE:
            why = "is defined for long positions only, and for no leveraged funds"
            raise MissingFactError("account.maintenance_trigger_value", account.key, why)
    terms = terms_of(seen, account)
    debit = max(NONE, -reading.number(seen, account, "account.cash"))
    return up(trigger_value(debit, long_rate(terms.figures, terms.house, marginable=True)))
