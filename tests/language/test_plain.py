"""Rules in plain English."""

from __future__ import annotations

from datetime import date

import pytest

from lexorder.engine.desk import shipped_rules, shipped_vocabulary
from lexorder.engine.plain import plain_english
from lexorder.engine.rulebook import RuleBook

DAY = date(2026, 6, 15)


def told(body: str, words, head: str = "- rule: r\n  title: R\n") -> list[str]:
    rows = body.strip("\n").split("\n")
    text = head + "".join(f"  {row}\n" for row in rows)
    (rule,) = RuleBook.of(text, words).on(DAY)
    return list(plain_english(rule, words))


def demand(require: str, words, for_each: str = "order") -> str:
    lines = told(f"for_each: {for_each}\nrequire: '{require}'", words)
    return lines[1].removeprefix("It must hold that ").rstrip(".")


@pytest.mark.parametrize(
    ("require", "english"),
    [
        ("order.quantity <= 25_000", "the number of shares ordered is at most 25,000"),
        ("order.quantity < 25_000", "the number of shares ordered is below 25,000"),
        ("account.nav > 5", "the net asset value before the trade is above 5"),
        ("account.nav >= 25_000 USD", "the net asset value before the trade is at least 25,000 USD"),
        ("order.side == buy", "the direction of the order is buy"),
        ("order.side != buy", "the direction of the order is not buy"),
        ("order.side in {buy, sell}", "the direction of the order is one of buy or sell"),
        ("order.side not in {sell}", "the direction of the order is not sell"),
        (
            "order.symbol not in lists.restricted",
            "the instrument ordered is not among the symbols that may not be traded",
        ),
        ("order.has_locate", "shares to borrow have been located for a short sale"),
        ("not order.has_locate", "it is not so that shares to borrow have been located for a short sale"),
        ("order.has_locate == false", "it is not so that shares to borrow have been located for a short sale"),
        ("market.quote_age <= 15 min", "the age of the newest quote is at most 15 min"),
        ("clock.time >= 09:30", "the time of day at the exchange is at least 09:30"),
        (
            "order.quantity <= 10% * instrument.adv",
            "the number of shares ordered is at most 10% of the average daily volume in shares",
        ),
        (
            "order.quantity <= max(100, 10% * instrument.adv)",
            "the number of shares ordered is at most the largest of 100 and 10% of the average daily volume in shares",
        ),
        (
            "order.quantity * (1 + market.volatility) <= 5",
            "the number of shares ordered times (1 plus the volatility over the desk's window) is at most 5",
        ),
        (
            "order.quantity <= (if order.side == buy then 5 else 7)",
            "the number of shares ordered is at most (5 if the direction of the order is buy, otherwise 7)",
        ),
        (
            "order.side == buy or (order.has_locate and order.quantity < 5)",
            (
                "the direction of the order is buy or (shares to borrow have been located for a short sale and "
                "the number of shares ordered is below 5)"
            ),
        ),
        ("order.notional <= 5", "the value of the order at its cash price in the account's currency is at most 5"),
    ],
)
def test_conditions(require, english, words):
    assert demand(require, words) == english


@pytest.mark.parametrize(
    ("require", "english"),
    [
        (
            "sum(abs(position.after.value)) <= 5% * account.nav",
            (
                "the sum over its positions of the size of the market value at the mark in any reachable state "
                "is at most 5% of the net asset value before the trade"
            ),
        ),
        (
            "count(position where position.before.quantity > 0) <= 5",
            "the number of its positions where shares held now is above 0 is at most 5",
        ),
        (
            "any(order.has_locate)",
            "for at least one of its orders, shares to borrow have been located for a short sale",
        ),
        ("all(order.quantity < 5)", "for every one of its orders, the number of shares ordered is below 5"),
        ("account.count(order) < 5", "the number of all orders of the account is below 5"),
        ('issuer != "ACME"', 'the issuer is not "ACME"'),
    ],
)
def test_aggregates(require, english, words):
    assert demand(require, words, "issuer") == english


def test_a_whole_requirement(words):
    lines = told(
        """
for_each: position
phases: [pre_trade, monitor]
severity: soft
scope: {accounts: {tags: [retail, isa]}, except: [ACC-9]}
when: market.regime == VOLATILE
require: position.after.quantity >= 0 and position.after.quantity <= 5
if_missing: fail
override: {roles: [risk_officer, admin], approvers: 2, expires: 1 day}
""",
        words,
    )
    assert lines == [
        "For each position, before each trade and all the time, for accounts tagged retail or isa, except ACC-9.",
        "It applies only when the market regime is VOLATILE.",
        "All of this must hold:",
        "  - shares held in any state the working orders and the orders under test can reach is at least 0",
        "  - shares held in any state the working orders and the orders under test can reach is at most 5",
        "A breach blocks the order until it is overridden.",
        "It can be overridden for 1 day by 2 people in the role risk_officer or admin, giving a reason.",
        "Where it is already broken, an order passes if it makes nothing worse.",
        "A missing fact counts as a breach.",
    ]


def test_named_accounts_and_a_warning(words):
    lines = told("severity: warn\nscope: {accounts: [A, B]}\nrequire: order.quantity < 5", words)
    assert lines[0] == "For each order, before each trade, for accounts A and B."
    assert lines[-1] == "A breach is recorded and blocks nothing."


def test_named_values_are_explained(words):
    lines = told(
        "let: {most: 10% * instrument.adv, few: 5}\nrequire: order.quantity <= most or order.quantity <= few", words
    )
    assert (
        lines[1] == "It must hold that the number of shares ordered is at most `most` "
        "or the number of shares ordered is at most 5."
    )
    assert lines[-1] == "Here `most` is: 10% of the average daily volume in shares."


def test_a_derivation(words):
    assert told("when: market.volatility > 5%\nderive: {market.regime: VOLATILE}", words)[1:] == [
        "It applies only when the volatility over the desk's window is above 5%.",
        "Then the market regime is VOLATILE.",
    ]


@pytest.mark.parametrize(
    ("reaction", "english"),
    [
        ("alert: critical", "an alert of level critical is raised"),
        ("cancel: working_orders", "working orders are cancelled"),
        ("skip: too weak", "it is skipped: too weak"),
        ("halt: {for: 1 h}", "trading halts for 1 h"),
        ("halt: {}", "trading halts"),
        ("set: {trading_state: REDUCING, for: 15 min}", "trading is set to REDUCING for 15 min"),
        ("reduce: {to: 500}", "the position is reduced to 500"),
        ("scale: {target: signal.confidence, factor: 50%}", "the confidence between 0 and 1 is multiplied by 50%"),
        ("cap: {target: order.quantity, at: 500}", "the number of shares ordered is capped at 500"),
        (
            "exit: {fraction: 50%, style: limit, price: instrument.bid * 99%, participation: 10%}",
            (
                "50% of the position is sold or bought back with limit orders at the best bid times 99%, "
                "at most 10% of the volume"
            ),
        ),
        ("exit: {fraction: 100%}", "100% of the position is sold or bought back"),
    ],
)
def test_reactions(reaction, english, words):
    assert told(f"for_each: instrument\nthen: [{{{reaction}}}]", words)[-1] == f"Then {english}."


def test_every_shipped_rule_can_be_told():
    words = shipped_vocabulary()
    book = RuleBook.load(shipped_rules(), words)
    for versions in book.versions:
        lines = plain_english(versions.items[-1][1], words)
        assert len(lines) >= 2
        for line in lines:
            assert "Fraction" not in line
            assert "the the" not in line
            assert "  " not in line.strip()
