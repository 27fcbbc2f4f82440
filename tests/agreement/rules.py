"""Seeded rule books as text: the shapes rules are written in, with random figures, and random expressions.

Every class of requirement occurs: facts-only, linear, convex, mixed-integer; guards, lets, derived facts, all subjects.
"""

from __future__ import annotations

from random import Random

GROUPS = ("issuer", "sector", "country", "group", "account", "currency")
PERCENT = ("5%", "10%", "20%", "25%", "40%", "100%", "150%")

SHAPES: tuple[tuple[str, str], ...] = (
    ("{group}", "sum(abs(position.after.value)) <= {pct} * account.nav"),
    ("{group}", "sum(abs(position.after.value)) / account.nav {lt} {pct}"),
    ("account", "sum(abs(position.after.value)) <= {pct} * account.after.nav"),
    ("account", "account.after.cash >= {pct} * account.nav"),
    ("account", "account.after.cash >= min(0, account.cash)"),
    ("issuer", "sum(position.after.value) <= {pct} * account.after.nav"),
    ("order", "order.quantity {lt} {count}"),
    ("order", "order.notional {lt} {money}"),
    ("order", "order.notional <= {money} USD"),
    ("order", "order.quantity <= {pct} * instrument.adv"),
    ("order", "order.symbol not in lists.restricted and not instrument.halted"),
    ("order", "order.cash_price <= instrument.ask * 110% and order.cash_price >= instrument.bid * 90%"),
    ("order", "abs(order.cash_price - instrument.mark) <= {pct} * instrument.mark"),
    ("instrument", "sum(order.filled) + sum(working_order.filled) + sum(fill.quantity) <= {pct} * instrument.adv"),
    ("position", "position.after.quantity <= max(0, position.before.quantity)"),
    ("position", "position.after.quantity >= {lo} and position.after.quantity {lt} {count}"),
    ("position", "abs(position.after.value) {lt} {money}"),
    ("account", "max(sum(position.after.value), 0) + sum(abs(position.after.value)) <= {pct} * account.nav"),
    ("account", "sum(max(position.after.value, 0)) - sum(min(position.after.value, 0)) <= {pct} * account.nav"),
    ("account", "account.day_trades < 4 or account.equity >= 500"),
)
"""(for_each, requirement) whose worst state has a closed form."""
HEAVY_SHAPES: tuple[tuple[str, str], ...] = (
    ("order", "order.notional <= (if trader.role == junior_trader then {money} else {count} * {money})"),
    ("trader", "trader.traded_today + sum(order.notional where order.trader == trader) <= {money}"),
    ("position", "position.after.quantity != {count}"),
    ("account", "count(position where position.after.quantity != 0) <= {few}"),
    ("account", "sum(position.after.value where position.after.value > {pct} * account.nav) <= 40% * account.nav"),
    ("account", "all(position.after.quantity >= {lo})"),
    ("account", "any(position.after.value >= {money}) or sum(position.after.value) <= {pct} * account.nav"),
    ("account", "sum(position.after.value * position.after.value) <= account.nav * {money} * account.nav / 1000"),
    ("account", "sum(position.after.value) == {money} or sum(position.after.value) < {money}"),
    ("account", "sum(abs(position.after.value)) {gt} {pct} * account.nav"),
)
"""Those for which the reference looks at every fill state."""
GUARDS = (
    "order.side == sell_short",
    "order.side in {{buy, sell}}",
    "account.kind == margin",
    "order.ord_type in {{limit, stop_limit}}",
    "market.regime == VOLATILE",
    "market.volatility > 5%",
    "trader.role == junior_trader",
    "order.quantity > {few}",
    "order.price > instrument.bid",
)
ACCOUNT_GUARDS = ("account.kind == margin", "any(order.side == buy)", "sum(position.after.value) > {money}")
REGIME = """
- rule: regime
  title: Volatile markets
  for_each: market
  when: market.volatility > 5% and market.volume_spike > 2
  derive: {market.regime: VOLATILE}
"""


def fill_in(text: str, random_: Random) -> str:
    """A shape with its figures."""
    return text.format(
        group=random_.choice(GROUPS),
        pct=random_.choice(PERCENT),
        lt=random_.choice(("<=", "<=", "<")),
        gt=random_.choice((">=", ">")),
        count=random_.choice((1, 3, 5, 8, 10)),
        few=random_.choice((1, 2, 3)),
        lo=random_.choice((-5, 0, 1)),
        money=random_.choice((50, 100, 250, 1000)),
    )


def amount(random_: Random, depth: int) -> str:
    """A random amount of money over the account's positions and orders."""
    if depth == 0 or random_.random() < 0.25:
        return random_.choice(ATOMS)
    left = amount(random_, depth - 1)
    right = amount(random_, depth - 1)
    return random_.choice(
        (
            f"({left} + {right})",
            f"({left} - {right})",
            f"abs({left})",
            f"max({left}, {right})",
            f"min({left}, {right})",
            f"(if account.kind == margin then {left} else {right})",
            f"({random_.choice(('2', '50%', '-1', '3'))} * {left})",
            f"(if {left} > {right} then {left} else {right})",
        )
    )


ATOMS = (
    "sum(position.after.value)",
    "sum(abs(position.after.value))",
    "sum(position.before.value)",
    "sum(max(position.after.value, 100))",
    'sum(position.after.value where position.symbol in {"ACME", "BETA"})',
    "account.nav",
    "account.cash",
    "account.after.cash",
    "account.after.nav",
    "sum(order.notional)",
    "10% * account.nav",
    "sum(order.filled * order.cash_per_share where order.side == buy)",
)


def random_requirement(random_: Random) -> tuple[str, str]:
    """A comparison of two random amounts, sometimes two joined."""
    op = random_.choice(("<=", "<=", "<", ">=", ">", "==", "!="))
    text = f"{amount(random_, 2)} {op} {amount(random_, 1)}"
    if random_.random() < 0.2:
        joiner = random_.choice(("and", "or"))
        text = f"{text} {joiner} {amount(random_, 1)} <= {amount(random_, 0)}"
    return random_.choice(("account", "account", "sector", "issuer")), text


def requirement(random_: Random, heavy: float) -> tuple[str, str]:
    """(for_each, require) of one rule; `heavy` is the share of rules that are slow to judge by looking at states."""
    chance = random_.random()
    if chance < heavy / 2:
        return random_requirement(random_)
    group, shape = random_.choice(HEAVY_SHAPES if chance < heavy else SHAPES)
    return fill_in(group, random_), fill_in(shape, random_)


def rule(random_: Random, number: int, heavy: float) -> str:
    """One rule as text."""
    group, text = requirement(random_, heavy)
    lines = [f"- rule: r{number:02}", "  title: Generated", f"  for_each: {group}"]
    if group == "order" and random_.random() < 0.3:
        lines.append(f"  when: {fill_in(random_.choice(GUARDS), random_)}")
    elif group == "account" and random_.random() < 0.2:
        lines.append(f"  when: {fill_in(random_.choice(ACCOUNT_GUARDS), random_)}")
    lines.append(f"  require: {text}")
    if random_.random() < 0.2:
        lines.append("  if_already_breached: block")
    if random_.random() < 0.1:
        lines.append("  if_missing: fail")
    if random_.random() < 0.2:
        lines.append(f"  severity: {random_.choice(('soft', 'warn'))}")
    return "\n".join(lines) + "\n"


def book(random_: Random, size: int, heavy: float = 0.3) -> str:
    """A rule book as text."""
    return REGIME + "".join(rule(random_, n, heavy) for n in range(size))
