"""Rules for funds under Directive 2009/65/EC: the figures of `properties.py`, from Articles 52 to 56."""

from __future__ import annotations

from typing import Any

from tests.rules.library import held, instrument, world
from tests.rules.properties import SELL, Document, Entry, Limit

Facts = dict[str, object]
FUND = {
    "kind": "margin",
    "nav": "20000",
    "total_assets": "20000",
    "ucits_group_limit": "20%",
    "ucits_fund_limit": "20%",
}


def ucits(*holdings: tuple[str, int], stock: Facts | None = None, tag: str = "", **facts: Facts) -> Document:
    """A fund of 20,000 with everything at 100, so that 2 shares are one percent. `facts` are those of other names."""
    names = [
        instrument("ACME", **(stock or {})),
        *(instrument(n, **facts.get(n, {})) for n, _ in holdings if n != "ACME"),
    ]
    account = {**FUND, "tags": ["ucits", tag] if tag else ["ucits"]}
    return world(account=account, instruments=names, positions=[held(quantity, name) for name, quantity in holdings])


def alike(names: str, **facts: object) -> Any:
    """The same facts for each of these names."""
    return {name: dict(facts) for name in names.split()}


TENTHS = tuple((name, 20) for name in ("AA", "BB", "CC", "DD"))
BANKS = tuple((name, 50) for name in ("AA", "BB", "CC"))
BOND, STATE, CLAIM, DEPOSIT = ({"kind": k} for k in ("covered_bond", "government", "otc_derivative", "deposit"))
SIX = tuple((name, 30) for name in ("ACME", "AA", "BB", "CC", "DD", "EE"))
OF_ONE_STATE = alike("AA BB CC DD EE", kind="government", issuer="ACME")
ARTICLE_54 = "ucits-article-54"

ARTICLE_52: tuple[Entry, ...] = (
    Limit("ucits-issuer-limit", 20, ucits()),
    # Four bodies of 10% are 40%; a fifth does not count up to 5%.
    Limit("ucits-five-ten-forty", 10, ucits(*TENTHS)),
    Limit("ucits-group-limit", 20, ucits(("BB", 20), stock={"group": "G"}, BB={"group": "G"})),
    Limit("ucits-deposit-limit", 40, ucits(stock={**DEPOSIT})),
    Limit(
        "ucits-group-deposit-limit",
        16,
        ucits(("BB", 24), stock={**DEPOSIT, "group": "G"}, BB={**DEPOSIT, "group": "G"}),
    ),
    # 5%, and 10% where the counterparty is a credit institution.
    Limit("ucits-counterparty-limit", 10, ucits(stock={**CLAIM, "credit_institution": "false"})),
    Limit("ucits-counterparty-limit", 20, ucits(stock={**CLAIM, "credit_institution": "true"})),
    Limit("ucits-group-counterparty-limit", 10, ucits(stock={**CLAIM, "credit_institution": "false"})),
    Limit("ucits-combined-limit", 16, ucits(("BB", 24), BB={**DEPOSIT, "issuer": "ACME"})),
    Limit("ucits-group-combined-limit", 16, ucits(("BB", 24), stock={"group": "G"}, BB={**DEPOSIT, "group": "G"})),
    Limit("ucits-body-total", 30, ucits(("BB", 40), stock={**BOND}, BB={**DEPOSIT, "issuer": "ACME"})),
    Limit("ucits-covered-bond-limit", 50, ucits(stock={**BOND})),
    # Three banks of 25% are 75%; a fourth does not count up to 5%.
    Limit("ucits-covered-bond-total", 10, ucits(*BANKS, stock={**BOND}, **alike("AA BB CC", **BOND))),
    Limit("ucits-government-limit", 70, ucits(stock={**STATE})),
)

ARTICLE_54_OWN: tuple[Entry, ...] = (
    # Without six issues the fund stays within the usual 35%.
    Limit("ucits-article-54-six-issues", 70, ucits(stock={**STATE}, tag=ARTICLE_54)),
    # With 90% in one state, the sixth issue may not be sold out.
    Limit("ucits-article-54-issues-kept", 29, ucits(*SIX, stock={**STATE}, tag=ARTICLE_54, **OF_ONE_STATE), SELL),
    # Above 35% in one state no issue is above 30%.
    Limit(
        "ucits-government-issue-limit",
        60,
        ucits(("BB", 12), stock={**STATE}, tag=ARTICLE_54, BB={**STATE, "issuer": "ACME"}),
    ),
)

ARTICLES_53_TO_56: tuple[Entry, ...] = (
    Limit("ucits-index-issuer-limit", 40, ucits(tag="ucits-index")),
    Limit("ucits-fund-limit", 40, ucits(stock={"kind": "fund", "ucits": "true"})),
    Limit("ucits-other-funds-limit", 60, ucits(stock={"kind": "fund", "ucits": "false"})),
    # 10% of the debt of one body, 25% of the units of one fund.
    Limit("ucits-acquisition-limit", 30, ucits(stock={"form": "debt", "shares_outstanding": "300"})),
    Limit("ucits-acquisition-limit", 75, ucits(stock={"kind": "fund", "shares_outstanding": "300"})),
)

ENTRIES: tuple[Entry, ...] = (*ARTICLE_52, *ARTICLE_54_OWN, *ARTICLES_53_TO_56)
