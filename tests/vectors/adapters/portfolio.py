"""Concentration, ownership, holdings, options and stops: cases to snapshots."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from lexorder.engine.judge import derivations, judge
from lexorder.engine.measures.holdings import best_price
from lexorder.engine.quantity import exact
from lexorder.engine.react import react
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.verdict import Status
from tests.vectors import asking
from tests.vectors.case import Case, Fields, NotCoveredError, Said, number

WHOLE = Fraction(1_000_000)
"""Assets of the funds made up here, in dollars; everything they hold is priced at 1."""

MANY = "1000000000000"
"""Votes of an issuer of which a fund made up here holds next to none."""

SIDES = {"buy": "buy", "sell": "sell", "sell_short": "sell_short", "short": "sell_short"}
UCITS = ("ucits-issuer-limit", "ucits-five-ten-forty")
NOT_DIVERSIFIED, STILL = Said("not_diversified", "non_diversified"), "still_diversified"
KINDS = {"equity": "security", "bond": "security", "transferable_security": "security", "otc": "otc_derivative"}
"""What cases call an instrument where the vocabulary has another word."""
CAUSES = ("market_move", "subscription_rights", "redemption")
"""Why a limit may be exceeded without an acquisition."""
# ---- asking --------------------------------------------------------------------------------------


def _in_force(snapshot: Mapping[str, Any], rules: Iterable[str]) -> tuple[Rule, ...]:
    day = asking.seen(snapshot).snapshot.single["clock.date"]
    assert isinstance(day, date)
    tags = frozenset(snapshot["accounts"][0]["tags"])
    return tuple(rule for rule in asking.only(*rules).on(day) if rule.scope.covers(asking.ACCOUNT, tags))


def _standing(snapshot: Mapping[str, Any], rules: Iterable[str]) -> Status:
    """The most serious of what the rules say of the holdings as they are; `passive` is a breach that no order made."""
    in_force = _in_force(snapshot, rules)
    table = derivations(in_force)
    asked = [rule for rule in in_force if rule.require is not None]
    found = {f.status for rule in asked for f in judge(rule, asking.seen(snapshot), table)}
    if Status.UNDECIDED in found or not found:
        raise NotCoveredError("undecided")
    return next((s for s in (Status.BREACH, Status.PASSIVE) if s in found), Status.PASS)


def _every_ucits() -> tuple[str, ...]:
    """All rules of the library for the weights of a UCITS; what it owns of an issue is not among the cases' facts."""
    ids = asking.library().ids()
    return tuple(name for name in ids if name.startswith("ucits-") and name != "ucits-acquisition-limit")


def _fires(snapshot: Mapping[str, Any], rule: str) -> bool:
    """Whether a reaction closes something."""
    told = react(_in_force(snapshot, [rule]), asking.seen(snapshot), Phase.MONITOR)
    if told.unknown:
        raise NotCoveredError(told.unknown[0].why)
    return any(act.kind == "exit" for act in told.acts)


def _let(rule: str, name: str, given: Fraction) -> None:
    """Refuse a case whose figure is not the one the rule has in force."""
    (own,) = (let.term for r in _in_force(asking.document(), [rule]) for let in r.lets if let.name == name)
    if getattr(own, "value", None) != given:
        raise NotCoveredError(f"the figure of {rule} is not {exact(given)}")


def _outcome(case: Case, snapshot: Mapping[str, Any], rules: Iterable[str], **facts: str) -> str:
    return asking.decided(snapshot, [_order(case.order, **facts)], rules)


def _order(sent: Fields, **facts: str) -> dict[str, object]:
    if "price" in sent:
        facts["price"] = sent.text("price")
    sent.only("ordType", "limit" if "price" in sent else "market")
    return asking.order(SIDES[sent["side"]], sent.text("orderQty"), sent["symbol"], **facts)


def _held(symbol: str, quantity: Fraction, **facts: object) -> dict[str, object]:
    return {"account": asking.ACCOUNT, "symbol": symbol, "quantity": exact(quantity), **facts}


def _working(symbol: str, case: Case) -> list[dict[str, object]]:
    """Working orders of a case that gives their sums by side."""
    sums = {side: number(case.given.get(f"working_{side}s", 0)) for side in ("buy", "sell")}
    return [
        {
            "id": f"W-{side}",
            "account": asking.ACCOUNT,
            "symbol": symbol,
            "side": side,
            "quantity": exact(q),
            "price": "1",
        }
        for side, q in sums.items()
        if q
    ]


def _fund(tags: list[str], holdings: list[tuple[str, Fraction, dict[str, object]]], **account: str) -> dict[str, Any]:
    """A fund of `WHOLE` that holds these parts of it, each an instrument at 1 with further facts."""
    base = {"nav": exact(WHOLE), "total_assets": exact(WHOLE), "cash": "0"}
    return asking.document(
        account={**base, "tags": tags, **account},
        instruments=[asking.instrument(symbol, "1", **{"issuer_votes": MANY, **f}) for symbol, _, f in holdings],
        positions=[_held(symbol, part * WHOLE) for symbol, part, _ in holdings],
    )


# ---- funds ---------------------------------------------------------------------------------------


def five_ten_forty(case: Case) -> object:
    """Issuers by weight."""
    weights = [number(w) for w in case.given["issuer_weights"]]
    held = [(f"I{place}", weight, dict[str, object]()) for place, weight in enumerate(weights, 1)]
    return _ucits(_fund(["ucits"], held), UCITS)


def group(case: Case) -> object:
    """Companies and the groups they belong to."""
    held = [(f"E{place}", e.number("w"), _entity(e)) for place, e in enumerate(case.given["entities"], 1)]
    limit = {"ucits_group_limit": case.given.text("group_limit")} if "group_limit" in case.given else {}
    return _ucits(_fund(["ucits"], held, **limit), _every_ucits())


def _entity(given: Fields) -> dict[str, object]:
    facts: dict[str, object] = {"issuer": given["issuer"], "group": given.get("group", given["issuer"])}
    if "kind" in given:
        facts["kind"] = KINDS.get(given["kind"], given["kind"])
    if "credit_institution" in given:
        facts["credit_institution"] = given["credit_institution"]
    return facts


def _ucits(snapshot: Mapping[str, Any], rules: Iterable[str]) -> str:
    return "compliant" if _standing(snapshot, rules) is Status.PASS else "breach"


def passive_breach(case: Case) -> object:
    """An order while an issuer is over its limit because the market moved."""
    case.given.only("cause", *CAUSES)
    held = [(case.order["symbol"], case.given.number("issuer_weight_before"), dict[str, object]())]
    return _outcome(case, _fund(["ucits"], held), _every_ucits())


def diversified(case: Case) -> object:
    """Holdings of an investment company: some by name, the others up to a size each."""
    given, whole = case.given, case.given.number("total_assets")
    votes: Mapping[str, object] = given.get("pct_of_issuer_voting", {})
    named = {str(name): number(value) / whole for name, value in given["holdings"].items()}
    held = [(name, part, _votes(part, votes.get(name))) for name, part in named.items()]
    for name, kind in (("government", "government"), ("investment_companies", "fund"), ("cash", "deposit")):
        if name in given:
            held.append((kind.upper(), given.number(name) / whole, {"kind": kind}))
    rest, each = given.number("others_total") / whole, given.number("others_each_max") / whole
    while rest > 0:
        held.append((f"O{len(held)}", min(rest, each), {}))
        rest -= each
    good = _standing(_fund(["diversified"], held), ["diversified-company"]) is Status.PASS
    return "diversified" if good else NOT_DIVERSIFIED


def _votes(part: Fraction, share: object) -> dict[str, object]:
    """So many votes a share that the holding has this share of the issuer's votes."""
    if share is None:
        return {}
    return {"issuer_votes": exact(part * WHOLE), "votes_per_share": exact(number(share))}


def acquired(case: Case) -> object:
    """A basket that a market move has left too small, and what is then done."""
    outside = 1 - case.given.number("good_basket_after_market_move")
    moves = [sent for sent in case.orders if sent["side"] != "hold"]
    symbol = moves[0]["symbol"] if moves else "A"
    snapshot = _fund(["diversified"], [(symbol, outside, {})])
    if moves:
        decided = asking.decided(snapshot, [_order(sent) for sent in moves], ["diversified-company"])
        return {"reject": Said("reject", *NOT_DIVERSIFIED), "approve": Said("approve", STILL)}.get(decided, decided)
    found = _standing(snapshot, ["diversified-company"])
    return NOT_DIVERSIFIED if found is Status.BREACH else STILL


def ownership(case: Case) -> object:
    """Shares of a class that the firm owns already, and a further order."""
    _let("beneficial-ownership-five-percent", "threshold", case.given.number("limit"))
    facts = {"shares_outstanding": case.given.text("shares_outstanding"), "firm_shares": case.given.text("firm_shares")}
    traded = asking.instrument(case.order["symbol"], "1", **facts)
    return _outcome(case, asking.document(instruments=[traded]), ["beneficial-ownership-five-percent"])


# ---- positions -----------------------------------------------------------------------------------


def worst_case(case: Case) -> object:
    """The position in the worst fill state."""
    symbol = case.order["symbol"]
    snapshot = asking.document(
        instruments=[asking.instrument(symbol, "1")],
        positions=[_held(symbol, case.given.number("position"))],
        working_orders=_working(symbol, case),
    )
    return asking.measured("order.worst_position", snapshot, [_order(case.order)])


def max_worst_case(case: Case) -> object:
    """A limit on it."""
    symbol = case.order["symbol"]
    snapshot = asking.document(
        instruments=[asking.instrument(symbol, "1", max_position=case.given.text("max_position"))],
        positions=[_held(symbol, case.given.number("position"))],
        working_orders=_working(symbol, case),
    )
    return _outcome(case, snapshot, ["position-quantity-limit"])


def position_limits(case: Case) -> object:
    """Limits on a position in shares and in money, for one symbol or for all."""
    given, symbol = case.given, case.order["symbol"]
    limited = given.get("limit_symbol", None) in (None, symbol)
    words = {"max_shares": "max_position", "max_notional": "max_position_value"}
    limits = {words[name]: given.text(name) for name in words if name in given and given[name] is not None}
    price = given.text("price") if "price" in given else "1"
    snapshot = asking.document(
        instruments=[asking.instrument(symbol, price, **(limits if limited else {}))],
        positions=[_held(symbol, given.number("position"))],
        working_orders=_working(symbol, case),
    )
    return _outcome(case, snapshot, ["position-quantity-limit", "position-value-limit"])


def long_only(case: Case) -> object:
    """An account that may not be short."""
    symbol = case.order["symbol"]
    snapshot = asking.document(
        account={"tags": ["long-only"]},
        instruments=[asking.instrument(symbol, "1")],
        positions=[_held(symbol, case.given.number("position"))],
        working_orders=_working(symbol, case),
    )
    return _outcome(case, snapshot, ["long-only"])


def listing(case: Case) -> object:
    """The days on which an instrument trades."""
    given, symbol = case.given, case.order["symbol"]
    day = f"{given['today']}{asking.NOON[10:]}"
    traded = asking.instrument(symbol, "1", listed_from=given["listed_from"], listed_until=given["listed_to"])
    return _outcome(case, asking.document(time=day, instruments=[traded]), ["listed-on-the-day"])


def leverage(case: Case) -> object:
    """Shares of a price that is all of the account, so that one is a leverage of one."""
    symbol, ordered = case.order["symbol"], case.order.number("orderQty")
    held = case.given.number("position_after") - (ordered if case.order["side"] == "buy" else -ordered)
    snapshot = asking.document(
        account={"nav": "100", "max_leverage": case.given.text("max_leverage")},
        instruments=[asking.instrument(symbol, "100")],
        positions=[_held(symbol, held)],
    )
    return _outcome(case, snapshot, ["account-leverage-limit"])


def restricted(case: Case) -> object:
    """A list of symbols that are not traded, or, where the case only logs, that are watched."""
    symbol = case.order["symbol"]
    named = [{"name": name, "elsewhere": True} for name in case.given["restricted"]]
    stops = case.given.only("mode", "fail", "log") == "fail"
    lists = {"restricted": named if stops else [], "watch": [] if stops else named}
    snapshot = asking.document(instruments=[asking.instrument(symbol, "1")], lists=lists)
    return _outcome(case, snapshot, ["restricted-list", "watch-list"])


# ---- options -------------------------------------------------------------------------------------

_OPTION = re.compile(r"(?P<underlying>[A-Z.]{1,6})(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
"""An option symbol of the Options Clearing Corporation: underlying, expiry, C or P, strike in thousandths."""


COVERED = ("covered-call", "covered-call-or-spread", "spread-legs-cover")


def _option(symbol: str, given: Fields, **facts: object) -> dict[str, object]:
    """An option from its symbol; one that is no such symbol is a call."""
    read = _OPTION.fullmatch(symbol)
    multiplier = given.text("contract_multiplier") if "contract_multiplier" in given else "100"
    if read is None:
        return asking.instrument(symbol, "1", kind="option", right="call", underlying=symbol, multiplier=multiplier)
    facts |= {"right": {"C": "call", "P": "put"}[read["right"]], "strike": exact(Fraction(int(read["strike"]), 1000))}
    return asking.instrument(symbol, "1", kind="option", underlying=read["underlying"], multiplier=multiplier, **facts)


def option_level(case: Case) -> object:
    """An option under an account's level of approval."""
    snapshot = asking.document(
        account={"option_level": case.given.text("option_level")},
        instruments=[_option(case.order["symbol"], case.given)],
    )
    return _outcome(case, snapshot, ["option-level"], position_effect=case.order["effect"])


def covered_call(case: Case) -> object:
    """Calls written on shares that are held."""
    written = _option(case.order["symbol"], case.given)
    shares = str(written["underlying"])
    snapshot = asking.document(
        account={"option_level": case.given.text("option_level")},
        instruments=[written, asking.instrument(shares, "100", underlying=shares)],
        positions=[_held(shares, case.given.number("underlying_shares"))],
    )
    return _outcome(case, snapshot, ["option-level", *COVERED], position_effect=case.order["effect"])


def secured_put(case: Case) -> object:
    """Puts written against cash."""
    given = case.given
    written = _option(case.order["symbol"], given)
    if "strike" in given:
        written["strike"] = given.text("strike")
    snapshot = asking.document(
        account={"option_level": given.text("option_level"), "cash": given.text("cash")},
        instruments=[written],
    )
    return _outcome(case, snapshot, ["option-level", "cash-secured-put"], position_effect=case.order["effect"])


# ---- stops ---------------------------------------------------------------------------------------


def portfolio_drawdown(case: Case) -> object:
    """The value of all holdings against what it was."""
    start = case.given.number("start_value")
    account = {"peak_nav": exact(start), "nav": exact(start + case.given.number("change"))}
    snapshot = asking.document(
        account={**account, "tags": ["drawdown-stop"], "drawdown_stop": case.given.text("limit")},
        instruments=[asking.instrument("XYZ", "1")],
        positions=[_held("XYZ", Fraction(1))],
    )
    return "liquidate" if _fires(snapshot, "portfolio-drawdown-exit") else "ok"


def security_drawdown(case: Case) -> object:
    """One holding against its cost."""
    cost = case.given.number("cost")
    price = exact(cost + case.given.number("unrealized"))
    snapshot = asking.document(
        account={"tags": ["position-stop"], "position_stop": case.given.text("limit")},
        instruments=[asking.instrument("XYZ", price)],
        positions=[_held("XYZ", Fraction(1), average_price=exact(cost))],
    )
    return "liquidate" if _fires(snapshot, "position-loss-exit") else "ok"


def trailing_stop(case: Case) -> object:
    """Whether the stop fires at each price in turn."""
    long = case.given.only("side", "long", "short") == "long"
    entry, prices = case.given.number("initial_price"), [number(p) for p in case.given["prices"]]
    account = {"tags": ["trailing-stop"], "trailing_stop": case.given.text("limit")}
    fired = []
    for place, price in enumerate(prices, 1):
        best = exact(best_price(long, entry, prices[:place]))
        snapshot = asking.document(
            account=account,
            instruments=[asking.instrument("XYZ", exact(price))],
            positions=[_held("XYZ", Fraction(1 if long else -1), best_price=best)],
        )
        fired.append(int(_fires(snapshot, "trailing-stop-exit")))
    return fired


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "asset.date_bounds": listing,
    "beneficial_ownership": ownership,
    "drawdown.portfolio": portfolio_drawdown,
    "drawdown.security": security_drawdown,
    "ica.5b1": diversified,
    "ica.5c_passive": acquired,
    "leverage.max": leverage,
    "long_only": long_only,
    "options.cash_secured_put": secured_put,
    "options.covered_call": covered_call,
    "options.level": option_level,
    "passive_breach": passive_breach,
    "position.max": position_limits,
    "position.max_worst_case": max_worst_case,
    "position.worst_case": worst_case,
    "restricted_list": restricted,
    "trailing_stop": trailing_stop,
    "ucits.5_10_40": five_ten_forty,
    "ucits.5_10_40.group": group,
}
