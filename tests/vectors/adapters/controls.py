"""Order controls, throttles, pauses and the pre-trade checks of nautilus_trader: cases to snapshots.

These cases trade currencies, coins and bets, so the desk that judges them declares finer scales and larger quantities
than the shipped vocabulary, as a desk does that trades them. Rules and everything else are the shipped ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

from lexorder.engine.desk import Desk, shipped_rules
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vocabulary import vocabulary_of
from tests.vectors import asking
from tests.vectors.adapters.market import SYMBOL, priced, sent
from tests.vectors.case import Case, Fields, NotCoveredError, text

SCALE = 9
"""Decimals of a price and of a quantity at the desk that judges these cases."""
NOW = datetime.fromisoformat(asking.NOON)
SHAPE = (
    "known-instrument",
    "price-above-zero",
    "price-on-tick",
    "quantity-on-lot",
    "instrument-order-size",
    "instrument-order-size-in-quote",
    "quantity-in-quote-is-not-understated",
    "instrument-order-value",
    "reduce-only",
    "account-order-value",
    "account-order-quantity",
    "kill-switch",
    "reducing-only",
    "message-rate",
    "replace-rate",
    "cash-account-within-balance",
)
"""What every order of a currency desk is held against."""
OWNED = "long-sale-needs-shares"
"""Asked of a cash account beside them: it sells what it has."""


@cache
def fine_words() -> Vocabulary:
    """The shipped vocabulary with finer prices and with finer and larger quantities."""
    written = (shipped_rules() / "vocabulary.yaml").read_text(encoding="utf-8")
    wider = re.sub(r"(?m)^.*type: shares.*$", lambda line: line[0].replace(" 10_000_000", " 1_000_000_000"), written)
    finer = re.sub(r"(?m)type: (price|shares|local_money|money),(?!.* scale: )", rf"type: \1, scale: {SCALE},", wider)
    least = asking.plain(Fraction(1, 10**SCALE))
    return vocabulary_of(re.sub(rf"(scale: {SCALE}, min: )(1|0\.0001),", rf"\g<1>{least},", finer))


@cache
def _library() -> RuleBook:
    return RuleBook.load(shipped_rules(), fine_words())


@cache
def only(*identifiers: str) -> RuleBook:
    """The shipped rules with these identifiers, read in the finer vocabulary."""
    whole = _library()
    kept = tuple(v for v in whole.versions if v.id in identifiers)
    stretches = tuple((day, tuple(r for r in rules if r.id in identifiers)) for day, rules in whole.stretches)
    return replace(whole, versions=kept, stretches=stretches)


def decided(snapshot: dict[str, Any], orders: Sequence[dict[str, object]], rules: Iterable[str]) -> str:
    """What a desk with these rules decides about the orders together."""
    numbered = [{**order, "id": f"O-{n}"} for n, order in enumerate(orders, 1)]
    (found,) = Desk(only(*rules), snapshot, fine_words()).check_basket(numbered)
    return found.outcome.value


def asked(case: Case, rule: str, account: dict[str, object] | None = None, **sections: Any) -> str:
    """One rule asked about the orders of a case in an instrument at 100, or as the sections say."""
    stock = sections.pop("instruments", [asking.instrument(SYMBOL, "100")])
    snapshot = asking.document(account=account, instruments=stock, **sections)
    return decided(snapshot, [sent(o, **sections.get("order", {})) for o in case.orders], [rule])


def _worst(answers: Iterable[str]) -> str:
    """The most serious of several answers: what they say together."""
    return min(answers, key=("undecided", "reject", "needs_override", "approve").index)


# ---- single orders -----------------------------------------------------------------------------


def _limits(case: Case, *, quantity: str = "", value: str = "", price: str = "", size: str = "") -> str:
    """Quantity and value limits of the account, from the fields that give them."""
    given = case.given
    stock = asking.instrument(SYMBOL, given.text(price) if price in given else "100")
    if size in given:
        stock["multiplier"] = given.text(size)
    account: dict[str, object] = {}
    asks = []
    for name, rule, limit in (
        (quantity, "account-order-quantity", "max_order_quantity"),
        (value, "account-order-value", "max_order_value"),
    ):
        if name in given:
            account[limit] = given.text(name)
            asks.append(rule)
    for name in ("min_price", "max_price"):
        if name in given:
            account[f"{name.partition('_')[0]}_order_price"] = given.text(name)
            asks.append("account-price-limits")
    if "disallow_market" in given:
        account["market_orders_allowed"] = not given["disallow_market"]
        asks.append("account-market-orders")
    snapshot = asking.document(account=account, instruments=[stock])
    return decided(snapshot, [sent(o) for o in case.orders], asks)


def order_limits(case: Case) -> object:
    """Limits of quantity, value and price, and whether market orders are admitted."""
    value = "max_notional" if "max_notional" in case.given else "max_value"
    return _limits(case, quantity="max_qty", value=value, price="price")


def order_max(case: Case) -> object:
    """Limits of shares and notional at a price."""
    return _limits(case, quantity="max_shares", value="max_notional", price="price")


def order_max_qty(case: Case) -> object:
    """A limit of quantity."""
    return _limits(case, quantity="limit")


def order_max_value(case: Case) -> object:
    """A limit of value with a contract size."""
    return _limits(case, value="limit", price="price", size="contract_size")


def tick(case: Case) -> object:
    """Whether prices are multiples of the tick."""
    stock = {**asking.instrument(SYMBOL, "100"), "tick": case.given.text("tick")}
    return asked(case, "price-on-tick", instruments=[stock])


def duplicate(case: Case) -> object:
    """Whether the next identical order is one too many."""
    account = {"identical_orders_limit": case.given.text("limit")}
    snapshot = asking.document(account=account, instruments=[asking.instrument(SYMBOL, "100")])
    orders = [sent(o, identical=case.given.text("identical_seen_before")) for o in case.orders]
    return decided(snapshot, orders, ["identical-orders"])


# ---- counts and sums ---------------------------------------------------------------------------


def order_count(case: Case) -> object:
    """Orders a day."""
    account: dict[str, object] = {
        "max_orders_per_day": case.given.text("max_per_day"),
        "orders_today": case.given.text("placed_today"),
    }
    return asked(case, "orders-per-day", account)


def message_rate(case: Case) -> object:
    """Messages within a window."""
    given = case.given
    trader = {"message_limit": given.text("limit_per_s"), "messages_in_window": given.text("sent_in_window")}
    return asked(case, "message-rate", traders=[{"id": "T", "role": "algorithm", **trader}])


def repeated_execution(case: Case) -> object:
    """A strategy applied so often, enabled again by a person or not."""
    given = case.given
    strategy: dict[str, object] = {"id": "ALGO", "reenabled": given["reenabled"]}
    strategy["max_repeated_executions"] = given.text("max_repeats")
    strategy["repeated_executions"] = given.text("executions")
    snapshot = asking.document(strategies=[strategy], instruments=[asking.instrument(SYMBOL, "100")])
    orders = [sent(o, strategy="ALGO") for o in case.orders]
    return decided(snapshot, orders, ["repeated-execution-throttle"])


def accumulator(case: Case) -> object:
    """Orders sent and not filled, with the next ones, against a limit of value; one share is worth 1."""
    sent_before = case.given.text("sent_not_filled_value")
    working = {"id": "W-1", "account": asking.ACCOUNT, "symbol": SYMBOL, "side": "buy", "price": "1"}
    snapshot = asking.document(
        account={"credit_limit": case.given.text("max_value")},
        instruments=[asking.instrument(SYMBOL, "1")],
        working_orders=[{**working, "quantity": sent_before}] if case.given["sent_not_filled_value"] else [],
    )
    orders = [asking.order(str(o["side"]), _worth(o), SYMBOL, price="1") for o in case.orders]
    return decided(snapshot, orders, ["account-credit-threshold"])


def _worth(order: Fields) -> str:
    """What an order is worth, said or worked out: it becomes so many shares at 1."""
    order.ignore("symbol", "ordType")
    if "notional" in order:
        return order.text("notional")
    return asking.plain(order.number("orderQty") * order.number("price"))


# ---- pauses ------------------------------------------------------------------------------------


def _closed(minutes_ago: object, n: int = 0, symbol: str = SYMBOL, **facts: object) -> dict[str, object]:
    """A fill that closed a trade some minutes ago."""
    moment = NOW - timedelta(minutes=float(text(minutes_ago)))
    fill = {"id": f"F-{n}", "account": asking.ACCOUNT, "symbol": symbol, "side": "sell", "quantity": "1", "price": "1"}
    return {**fill, "time": moment.isoformat(), "exit_reason": "signal", **facts}


def _minutes(case: Case, **names: str) -> dict[str, object]:
    return {ours: f"{case.given.text(theirs)} min" for ours, theirs in names.items() if theirs in case.given}


def stoploss_guard(case: Case) -> object:
    """Whether stops within a window lock the account."""
    firm = {
        "collar": "0",
        "stop_loss_limit": case.given.text("trade_limit"),
        **_minutes(case, stop_loss_window="lookback_min", stop_loss_pause="stop_duration_min"),
    }
    ago = case.given["stoploss_closed_min_ago"]
    fills = [_closed(minutes, n, exit_reason="stop_loss") for n, minutes in enumerate(ago)]
    return _locked("lockout-after-stops", asking.document(firm=firm, instruments=[priced()], fills=fills))


def max_drawdown(case: Case) -> object:
    """Whether the drawdown of recent trades locks the account."""
    firm = {
        "collar": "0",
        "drawdown_trades": case.given.text("trade_limit"),
        "drawdown_allowed": case.given.text("max_allowed_drawdown"),
        **_minutes(case, drawdown_window="lookback_min", drawdown_pause="stop_duration_min"),
    }
    trades = case.given["profit_ratio_by_close_min_ago"]
    fills = [_closed(minutes, n, trade_growth=text(growth)) for n, (minutes, growth) in enumerate(trades)]
    return _locked("lockout-after-drawdown", asking.document(firm=firm, instruments=[priced()], fills=fills))


def low_profit(case: Case) -> object:
    """Whether too little gained in an instrument locks it."""
    firm = {
        "collar": "0",
        "low_profit_trades": case.given.text("trade_limit"),
        "low_profit_required": text(case.given.get("required_profit", 0)),
        **_minutes(case, low_profit_window="lookback_min", low_profit_pause="stop_duration_min"),
    }
    trades = case.given["profit_ratio_by_close_min_ago"]
    fills = [_closed(minutes, n, trade_growth=text(growth)) for n, (minutes, growth) in enumerate(trades)]
    return _locked("lockout-after-low-profit", asking.document(firm=firm, instruments=[priced()], fills=fills))


def _locked(rule: str, snapshot: dict[str, Any]) -> str:
    """Whether an opening order of one share is refused."""
    opening = asking.order("buy", "1", SYMBOL)
    return "locked" if decided(snapshot, [opening], [rule]) == "reject" else "not_locked"


def cooldown(case: Case) -> object:
    """Whether an order follows too soon on a closed trade in its instrument."""
    case.order.ignore("symbol")
    firm = {"collar": "0", **_minutes(case, cooldown="stop_duration_min")}
    closed = case.given["last_closed_min_ago"]
    fills = [] if closed is None else [_closed(closed)]
    snapshot = asking.document(firm=firm, instruments=[priced()], fills=fills)
    return decided(snapshot, [sent(case.order)], ["cooldown-after-exit"])


# ---- nautilus_trader ---------------------------------------------------------------------------


def _pair(symbol: str, balances: Iterable[str]) -> tuple[str, str]:
    """Base and quote currency of a pair, by its slash or by the balances of the account."""
    if "/" in symbol:
        base, _, quote = symbol.partition("/")
        return base, quote
    quote = next((b for b in sorted(balances, key=len, reverse=True) if symbol.endswith(b) and symbol != b), "USD")
    return symbol.removesuffix(quote), quote


def _instrument(case: Case, symbol: str, quote: str) -> dict[str, object]:
    given = case.given
    facts: dict[str, object] = {"symbol": symbol, "issuer": symbol, "currency": quote}
    facts |= {"bid": given.text("bid"), "ask": given.text("ask"), "mark": given.text("bid")}
    for theirs, ours in (("price_precision", "tick"), ("size_precision", "lot")):
        if theirs in given:
            facts[ours] = asking.plain(Fraction(1, 10 ** int(given[theirs])))
    for theirs, ours in (("qty", "quantity"), ("notional", "value")):
        for end in ("min", "max"):
            if given.get(f"{end}_{theirs}") is not None:
                facts[f"{end}_{ours}"] = given.text(f"{end}_{theirs}")
    given.ignore("instrument_class")
    return facts | {
        "inverse": given.get("inverse", False),
        "negative_prices": given.get("negative_price_allowed", False),
    }


def _account(case: Case, quote: str, balances: Fields) -> dict[str, object]:
    given = case.given
    cash = balances.text(quote) if quote in balances else "0"
    account: dict[str, object] = {"currency": quote, "cash": cash, "kind": given.get("account", "cash")}
    account["may_borrow"] = given.get("borrowing", False)
    account["trading_state"] = given.get("trading_state", "ACTIVE")
    if "max_notional_per_order" in given:
        account["max_order_value"] = given.text("max_notional_per_order")
    return account


def _trader(case: Case) -> dict[str, object]:
    """The trader with the rates of a case, written as `100/1s`."""
    trader: dict[str, object] = {"id": "T", "role": "algorithm"}
    for theirs, counted, limit, count in (
        ("max_submit_rate", "submitted_in_window", "message_limit", "messages_in_window"),
        ("max_modify_rate", "modified_in_window", "replace_limit", "replaces_in_window"),
    ):
        if theirs in case.given:
            trader[limit] = str(case.given[theirs]).partition("/")[0]
            trader[count] = case.given.text(counted)
    return trader


def _ordered(order: Fields, symbol: str) -> dict[str, object]:
    if "msg" in order:
        return asking.order("buy", "1000", symbol, price="1", action=str(order["msg"]))
    flags = {
        "reduce_only": bool(order.get("reduceOnly", False)),
        "quantity_in_quote": bool(order.get("quoteQty", False)),
    }
    return sent(order, symbol, **flags)


def pretrade(case: Case) -> object:
    """Every check of an order at a currency desk."""
    given, balances = case.given, case.given["free_balance"]
    # Nothing goes past the checks here, so the flag changes nothing (see DISPUTED.md).
    given.ignore("bypass")
    symbols = [str(o["symbol"]) for o in case.orders if "symbol" in o] or ["AUD/USD"]
    known = given.get("known_instruments", tuple(symbols))
    base, quote = _pair(known[0], balances)
    held = given.get("position")
    if held is None and base in balances:
        held = balances[base]
    for other in balances:
        balances.ignore(other)
    snapshot = asking.document(
        account=_account(case, quote, balances),
        instruments=[_instrument(case, known[0], quote)],
        positions=[{"account": asking.ACCOUNT, "symbol": known[0], "quantity": text(held)}] if held else [],
        traders=[_trader(case)],
    )
    rules = [*SHAPE, OWNED] if given.get("account", "cash") == "cash" else SHAPE
    orders = [_ordered(o, symbols[0]) for o in case.orders]
    return decided(snapshot, orders, rules)


def liability(case: Case) -> object:
    """What bets can lose against the balance."""
    if case.given["account"] != "betting":
        raise NotCoveredError(f"account {case.given['account']} is not translated")
    balances = case.given["free_balance"]
    (currency,) = balances
    account: dict[str, object] = {"kind": "betting", "currency": currency, "cash": balances.text(currency)}
    stock = {"symbol": SYMBOL, "issuer": SYMBOL, "currency": currency}
    return asked(case, "bets-within-balance", account, instruments=[stock])


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "order.limits": order_limits,
    "order.max": order_max,
    "order.max_qty": order_max_qty,
    "order.max_value": order_max_value,
    "order.count_per_day": order_count,
    "tick": tick,
    "duplicate": duplicate,
    "message_rate": message_rate,
    "repeated_execution_throttle": repeated_execution,
    "pretrade_accumulator": accumulator,
    "throttle.stoploss_guard": stoploss_guard,
    "throttle.max_drawdown": max_drawdown,
    "throttle.cooldown": cooldown,
    "throttle.low_profit": low_profit,
    "nt.pretrade": pretrade,
    "nt.liability": liability,
}
