"""The same twelve rules in plain integer Python, in zen-engine and in Cedar.

The peers are given every aggregate ready-made (built outside the timed part): exposures before the order and the
order's own effect. lexorder keeps and looks up those itself within its time, so the comparison favours the peers. Peers
say yes or no; lexorder also gives every violated rule with its figures, from two evaluators.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.world import NAV, Name, Order, cash

Context = dict[str, Any]
Judge = Callable[[Context], bool]


def contexts(stock: tuple[Name, ...], orders: list[Order]) -> list[Context]:
    """What each peer is asked, amounts in cents: totals of the others, and the name's reachable ends."""
    total = sum(s.cents * s.held for s in stock)
    by_sector: dict[str, int] = {}
    for s in stock:
        by_sector[s.sector] = by_sector.get(s.sector, 0) + s.cents * s.held
    available = cash(stock)
    return [_context(o, total, by_sector[o.name.sector], available) for o in orders]


def _context(o: Order, total: int, sector: int, available: int) -> Context:
    s, value = o.name, o.name.cents * o.name.held
    moved = s.cents * o.quantity * (1 if o.side == "buy" else -1)
    worst = max(abs(value), abs(value + moved))
    return {
        "nav": NAV * 100,
        "issuer": worst,
        "sector": sector - value + worst,
        "gross": total - value + worst,
        "net": total + max(0, moved),
        "quantity": o.quantity,
        "notional": o.quantity * o.cents,
        "price": o.cents,
        "mark": s.cents,
        "adv": s.adv,
        "restricted": s.restricted,
        "halted": s.halted,
        "short": o.side == "sell_short",
        "locate": o.locate,
        "cash": available - (o.quantity * o.cents if o.side == "buy" else 0),
    }


def plain(c: Context) -> bool:
    """Plain integer Python."""
    return (
        c["issuer"] * 20 <= c["nav"]
        and c["sector"] * 5 <= c["nav"]
        and c["gross"] * 2 <= c["nav"] * 3
        and c["net"] <= c["nav"]
        and c["quantity"] <= 10_000
        and c["notional"] <= 25_000_000
        and c["price"] * 100 <= c["mark"] * 105
        and c["price"] * 100 >= c["mark"] * 95
        and c["quantity"] * 100 <= c["adv"]
        and not c["restricted"]
        and not c["halted"]
        and (not c["short"] or c["locate"])
        and c["cash"] * 50 >= c["nav"]
    )


EXPRESSIONS = {
    "issuer_weight": "issuer * 20 <= nav",
    "sector_weight": "sector * 5 <= nav",
    "gross_leverage": "gross * 2 <= nav * 3",
    "net_leverage": "net <= nav",
    "order_quantity": "quantity <= 10000",
    "order_notional": "notional <= 25000000",
    "price_collar": "price * 100 <= mark * 105 and price * 100 >= mark * 95",
    "participation": "quantity * 100 <= adv",
    "restricted_list": "not restricted",
    "halted_name": "not halted",
    "locate_needed": "not short or locate",
    "cash_buffer": "cash * 50 >= nav",
}


def zen() -> Judge:
    """zen-engine: one expression node with the twelve rules."""
    import zen as library

    rows = [{"id": str(n), "key": key, "value": text} for n, (key, text) in enumerate(EXPRESSIONS.items())]
    at = {"position": {"x": 0, "y": 0}}
    graph = {
        "nodes": [
            {"id": "in", "type": "inputNode", "name": "in", **at},
            {"id": "rules", "type": "expressionNode", "name": "rules", "content": {"expressions": rows}, **at},
            {"id": "out", "type": "outputNode", "name": "out", **at},
        ],
        "edges": [
            {"id": "1", "sourceId": "in", "targetId": "rules", "type": "edge"},
            {"id": "2", "sourceId": "rules", "targetId": "out", "type": "edge"},
        ],
    }
    decision = library.ZenEngine().create_decision(json.dumps(graph))
    keys = tuple(EXPRESSIONS)

    def judge(context: Context) -> bool:
        result = decision.evaluate(context)["result"]
        return all(result[key] is True for key in keys)

    return judge


def cedar() -> Judge:
    """Cedar: one permit and twelve forbids over the request's context."""
    import cedarpy as library

    forbids = [
        "context.issuer * 20 > context.nav",
        "context.sector * 5 > context.nav",
        "context.gross * 2 > context.nav * 3",
        "context.net > context.nav",
        "context.quantity > 10000",
        "context.notional > 25000000",
        "context.price * 100 > context.mark * 105 || context.price * 100 < context.mark * 95",
        "context.quantity * 100 > context.adv",
        "context.restricted",
        "context.halted",
        "context.short && !context.locate",
        "context.cash * 50 < context.nav",
    ]
    text = "permit(principal, action, resource);\n"
    text += "".join(f"forbid(principal, action, resource) when {{ {f} }};\n" for f in forbids)
    policies = library.PolicySet.from_str(text)
    entities = library.Entities.from_json_str("[]")

    def judge(context: Context) -> bool:
        request = {
            "principal": 'User::"t"',
            "action": 'Action::"trade"',
            "resource": 'Account::"a"',
            "context": context,
        }
        return bool(library.is_authorized(request, policies, entities).allowed)

    return judge
