"""Random days of an order desk: what an OMS, a data feed and risk control say, in an order that means something.

`Day(seed)` gives one request after the other; it is told what the service with one worker answered, and goes on from
there: it fills and removes what was approved, sometimes too much of it, and asks for overrides of what needs them.
Quantities lie at limits and one beside.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.worlds import instrument, order, position, world

ACCOUNTS = [f"A{n}" for n in range(6)]
SYMBOLS = ["ACME", "BETA", "COCO"]
FAMILY = "family"
"""The beneficial owner of the first two accounts."""

READS = (
    "accounts", "positions", "prices", "fills", "working-orders", "lists", "signals", "snapshot", "feeds", "limits",
    "breaches", "trading-state", "rulebooks", "rulebooks/active", "overrides", "decisions?limit=1000",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One request. `{override}` in its path is what this service called the last request for an override."""

    method: str
    path: str
    body: Any = None
    by: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def beginning() -> dict[str, Any]:
    """The snapshot of the morning."""
    document = world()
    first = document["accounts"][0]
    document["accounts"] = [{**first, "id": name} for name in ACCOUNTS]
    for account in document["accounts"][:2]:
        account["beneficial_owner"] = FAMILY
    document["working_orders"] = [
        {"id": f"S{n}", "account": account, "symbol": "COCO", "side": "sell", "quantity": "10", "price": "101"}
        for n, account in enumerate(ACCOUNTS)
    ]
    document["positions"] = [position("COCO", 40, account) for account in ACCOUNTS]
    document["traders"] = [{"id": t, "role": "portfolio_manager"} for t in ("T", "U")]
    document["strategies"] = [{"id": s} for s in ("NONE", "M1")]
    document["firm"] = {"exposure": "0", "capital_limit": "60000"}
    return document


class Day:
    """Requests of one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.numbers = iter(range(10**6))
        self.seed = seed
        self.open: dict[str, dict[str, Any]] = {f"S{n}": {} for n in range(len(ACCOUNTS))}
        self.soft: list[str] = []
        self.kinds: list[Callable[[], Iterator[Step]]] = [
            *[self.check] * 8, *[self.batch] * 2, self.what_if, self.fill, self.fill, self.remove, self.tell_working,
            self.positions, self.prices, self.lists, self.accounts, self.signals, self.gap, self.whole, self.stop,
            self.limit, self.override, self.read, self.read, self.mistakes,
        ]  # fmt: skip

    def steps(self, count: int) -> Iterator[Step]:
        """The day: so many turns, and then a look at everything."""
        yield Step("POST", "/v1/snapshot", beginning())
        for _ in range(count):
            yield from self.chance.choice(self.kinds)()
        for path in READS:
            yield Step("GET", f"/v1/{path}")
        for name in ACCOUNTS:
            yield Step("GET", f"/v1/working-orders?account={name}")

    def heard(self, step: Step, answer: Any) -> None:
        """What the service with one worker answered."""
        if step.path.startswith("/v1/orders/check") and isinstance(answer, dict):
            rows = step.body.get("orders", [step.body])
            kept = "reserve=false" not in step.path and step.body.get("mode") != "independent"
            for row, decision in zip(rows, answer.get("decisions", [answer]), strict=False):
                if decision.get("outcome") == "approve" and kept:
                    self.open[row["id"]] = row
                if decision.get("outcome") == "needs_override":
                    self.soft.append(row["id"])

    # ---- orders ----------------------------------------------------------------------------------

    def name(self, kind: str) -> str:
        """An identifier nobody had."""
        return f"{kind}{self.seed}-{next(self.numbers)}"

    def row(self, **facts: Any) -> dict[str, Any]:
        """An order."""
        pick = self.chance.choice
        told = {
            "id": self.name("o"), "account": pick(ACCOUNTS), "symbol": pick(SYMBOLS), "trader": pick(["T", "U"]),
            "strategy": pick(["NONE", "NONE", "M1"]), "price": pick(["99", "100", "100", "101"]),
        }  # fmt: skip
        quantity = pick([1, 10, 99, 100, 100, 101, 200, 201, 400, 500, 1000, 1001])
        return order(pick(["buy", "buy", "sell"]), **{"quantity": str(quantity), **told, **facts})

    def check(self) -> Iterator[Step]:
        """One order, now and then twice under its key, or asked without leaving anything."""
        row, chance = self.row(), self.chance.random()
        key = {"idempotency-key": self.name("k")} if chance < 0.2 else {}
        path = "/v1/orders/check" + ("?reserve=false" if chance > 0.9 else "")
        for _ in range(2 if chance < 0.3 else 1):
            yield Step("POST", path, row, headers=key)

    def batch(self) -> Iterator[Step]:
        """Orders of several accounts, of one of them, or with a mistake in the last."""
        mode = self.chance.choice(["cumulative", "independent", "basket"])
        rows = [self.row(quantity=str(self.chance.choice([10, 100, 101]))) for _ in range(self.chance.randint(1, 6))]
        if self.chance.random() < 0.2:
            rows[-1]["quantity"] = "1.5.2"
        yield Step("POST", "/v1/orders/check-batch", {"mode": mode, "orders": rows})

    def what_if(self) -> Iterator[Step]:
        """Only asked."""
        yield Step("POST", "/v1/orders/what-if", self.row())

    def override(self) -> Iterator[Step]:
        """Asked for, refused to who asked, approved by one and another."""
        if not self.soft:
            return
        yield Step("POST", f"/v1/orders/{self.soft.pop()}/override", {"reason": "agreed by telephone"})
        for who in ("rita", "olga", "rob"):
            yield Step("POST", "/v1/overrides/{override}/approve", by=who)

    # ---- feeds -----------------------------------------------------------------------------------

    def told(self, feed: str, items: list[dict[str, Any]], **more: Any) -> Step:
        """A batch of a feed."""
        return Step("POST", f"/v1/{feed}", {"event_id": self.name("e"), "items": items, **more})

    def fill(self) -> Iterator[Step]:
        """A fill of an order that works: in part, whole, or of more than there is."""
        known = [row for row in self.open.values() if row]
        if not known:
            return
        row = self.chance.choice(known)
        quantity = max(1, int(row["quantity"]) + self.chance.choice([-60, -1, 0, 0, 1]))
        told = {k: row[k] for k in ("account", "symbol", "side", "price")}
        step = self.told("fills", [{"id": self.name("f"), "order": row["id"], "quantity": str(quantity), **told}])
        yield from [step] * self.chance.choice([1, 1, 2])

    def remove(self) -> Iterator[Step]:
        """Orders that work no more, one of them perhaps gone already."""
        gone = self.chance.sample(sorted(self.open), min(len(self.open), self.chance.choice([1, 1, 2])))
        rows: list[dict[str, Any]] = [{"action": "remove", "id": name} for name in gone]
        yield self.told("working-orders", rows)
        if self.chance.random() < 0.7:
            for name in gone:
                self.open.pop(name)

    def tell_working(self) -> Iterator[Step]:
        """Working orders the OMS knows of, for several accounts."""
        rows = []
        for account in self.chance.sample(ACCOUNTS, 2):
            quantity, side = str(self.chance.choice([1, 100, 400])), self.chance.choice(["buy", "sell"])
            row = {"id": self.name("w"), "account": account, "symbol": "BETA", "side": side, "quantity": quantity}
            self.open[row["id"]] = {**row, "price": "100"}
            rows.append({**row, "price": "100"})
        yield self.told("working-orders", rows)

    def positions(self) -> Iterator[Step]:
        """Holdings at the limit of an issuer and beside it."""
        pick = self.chance.choice
        rows = [position(pick(SYMBOLS), pick([0, 100, 399, 400, 401, 500]), pick(ACCOUNTS)) for _ in range(2)]
        yield self.told("positions", rows)

    def prices(self) -> Iterator[Step]:
        """A price, and what the firm has at risk."""
        mark = self.chance.choice(["99.99", "100", "100.01"])
        firm = {"exposure": self.chance.choice(["0", "49999", "50000", "50001"])}
        yield self.told("prices", [instrument(self.chance.choice(SYMBOLS), mark)], firm=firm)

    def lists(self) -> Iterator[Step]:
        """The restricted list."""
        yield self.told("lists", [{"list": "restricted", "entries": self.chance.choice([[], ["COCO"], ["BETA"]])}])

    def accounts(self) -> Iterator[Step]:
        """An account's money, and a trader's day."""
        money = self.chance.choice(["100000", "99999", "80000"])
        traders = [{"id": "U", "traded_today": self.chance.choice(["0", "40000", "49900"])}]
        yield self.told("accounts", [{"id": self.chance.choice(ACCOUNTS), "nav": money}], traders=traders)

    def signals(self) -> Iterator[Step]:
        """A signal, twice under one event id."""
        rows = [{"id": self.name("s"), "symbol": "ACME", "strength": "0.5"}]
        yield from [self.told("signals", rows)] * 2

    def gap(self) -> Iterator[Step]:
        """Numbers that go on, leave one out, and are told whole again; somebody asks in between."""
        start = 100 * (1 + next(self.numbers))
        yield self.told("positions", [position("ACME", 5, account) for account in ACCOUNTS], whole=True, sequence=start)
        yield self.told("positions", [position("ACME", 7, "A2")], sequence=start + 1)
        yield self.told("positions", [position("ACME", 9, "A3")], sequence=start + 3)
        yield from self.check()
        yield Step("GET", "/v1/feeds")
        yield self.told("positions", [position("ACME", 8, "A3")], sequence=start + 2)
        yield self.told("positions", [position("ACME", 9, "A3")], sequence=start + 3)
        yield self.told("positions", [position("ACME", 1, "A3")], sequence=start + 1)
        yield self.told("positions", [position("BETA", 1, "A3")], whole=True)

    def whole(self) -> Iterator[Step]:
        """All working orders there are, seldom."""
        if self.chance.random() < 0.3:
            row = {"id": self.name("w"), "account": "A3", "symbol": "BETA", "side": "sell", "quantity": "5"}
            yield self.told("working-orders", [{**row, "price": "100"}], whole=True)
            self.open = {row["id"]: {**row, "price": "100"}}

    def mistakes(self) -> Iterator[Step]:
        """Rows that are none, among rows that are."""
        good = {"id": self.name("w"), "account": "A4", "symbol": "BETA", "side": "buy", "quantity": "1", "price": "100"}
        yield self.told("working-orders", [good, {"action": "remove", "id": self.name("nobody")}])
        yield self.told("working-orders", [{"action": "set", "id": "x"}])
        yield self.told("fills", [{"id": self.name("f"), "account": "NOBODY", "symbol": "ACME"}])
        yield self.told("positions", [position("ACME", 1, "A4"), position("ACME", 1, "NOBODY")])
        yield Step("POST", "/v1/fills", {"event_id": 5})
        yield Step("GET", "/v1/working-orders")

    # ---- risk control ----------------------------------------------------------------------------

    def stop(self) -> Iterator[Step]:
        """A switch, an order, and back again."""
        scope, name = self.chance.choice(
            [("firm", None), ("account", "A1"), ("account", "A4"), ("strategy", "M1"), ("trader", "U")]
        )
        named = {"scope": scope, **({"id": name} if name else {})}
        if self.chance.random() < 0.5:
            yield Step("POST", "/v1/kill", {**named, "reason": "r"})
        else:
            yield Step("POST", "/v1/trading-state", {**named, "state": "REDUCING", "reason": "r"})
        for _ in range(3):
            yield from self.check()
        yield Step("GET", "/v1/trading-state")
        yield Step("POST", "/v1/trading-state", {**named, "state": "ACTIVE", "reason": "r"}, by="rita")

    def limit(self) -> Iterator[Step]:
        """A limit from its proposal to its end; how much is used of it is asked at every turn."""
        name = self.name("limit-")
        kind, for_each = self.chance.choice(
            [("position-weight", None), ("gross-exposure", None), ("position-value", None), (None, "trader")]
        )
        figure: dict[str, Any] = {"values": {"2026-01-01": self.chance.choice(["30%", "40%"])}, "kind": kind}
        if kind == "position-value":
            figure["values"] = {"2026-01-01": self.chance.choice(["9999", "10000", "10001"])}
        if for_each:
            require = "sum(working_order.quantity) + sum(order.quantity) <= limit"
            figure = {"require": require, "for_each": for_each, "values": {"2026-01-01": "300"}}
        figure = {key: value for key, value in figure.items() if value is not None}
        yield Step("POST", "/v1/limits", {"id": name, **figure}, by="rita")
        yield Step("POST", f"/v1/limits/{name}/check", {})
        yield Step("POST", f"/v1/limits/{name}/approve", by="rita")
        yield Step("POST", f"/v1/limits/{name}/approve", by="rob")
        for _ in range(3):
            yield from self.check()
        yield Step("POST", f"/v1/limits/{name}/check", {"accounts": self.chance.sample(ACCOUNTS, 3)})
        yield Step("POST", f"/v1/limits/{name}/check", {"accounts": ["A1", "NOBODY"]})
        yield Step("PUT", f"/v1/limits/{name}", {**figure, "title": "another"}, by="rita")
        yield Step("POST", f"/v1/limits/{name}/reject", by="rob")
        yield Step("DELETE", f"/v1/limits/{name}", by="rita")
        yield Step("POST", f"/v1/limits/{name}/approve", by="rob")
        yield Step("GET", f"/v1/limits/{name}/history")

    def read(self) -> Iterator[Step]:
        """Something that is known."""
        yield Step("GET", f"/v1/{self.chance.choice(READS)}")
