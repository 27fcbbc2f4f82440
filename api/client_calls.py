"""Every call of the service as data: method, path, parameters, body, and the type of the answer.

In: plain arguments. Out: a `Call`, which `client.Client` and `client.AsyncClient` both send. Guaranteed: each call
exists in the service's OpenAPI document, and each operation there has a call here (a test compares the two).
Refused: nothing here. Why apart from the clients: the two differ only in how they wait. Before: `client_models.py`.
After: `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, Unpack
from urllib.parse import quote

from lexorder.api.client_models import Batch, Decision, Rebalance, RebalanceOptions, Taken, Verification

T = TypeVar("T")
Row = Mapping[str, Any]
Json = dict[str, Any]

LONGEST_S = 600.0
"""Seconds a slow call may take: the service gives solvers two minutes and rule books five, and some may wait."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `template` is the path with its parameters in braces, `account` the one whose worker answers.

    `repeatable`: sending it twice does no more than sending it once. `longest_s`: seconds it may take by its nature.
    """

    method: str
    template: str
    answer: type[T] | None
    named: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    account: str = ""
    key: str = ""
    repeatable: bool = False
    longest_s: float = 0.0

    @property
    def path(self) -> str:
        """The path with its parameters filled in."""
        return self.template.format(**{name: quote(value, safe="") for name, value in self.named.items()})

    def following(self, answer: Json) -> list[Call[T]]:
        """The calls of the pages behind an answer of a list; several where each worker goes on from its own place."""
        told = {} if answer.get("next") is None else {"cursor": answer["next"]}
        own = answer.get("next_by_worker", {})
        pages = [told] if told else [{"shard": shard, "cursor": own[shard]} for shard in sorted(own)]
        return [replace(self, query={**self.query, **page}) for page in pages]


def _get(template: str, answer: type[T] | None = None, query: Row | None = None, **named: str) -> Call[T]:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return Call("GET", template, answer, named, given, account=str(given.get("account", "")), repeatable=True)


def _post(template: str, body: Any = None, answer: type[T] | None = None, **named: str) -> Call[T]:
    return Call("POST", template, answer, named, body=body)


def _slow(call: Call[T]) -> Call[T]:
    """A call that solves, reads rule books or the whole ledger."""
    return replace(call, longest_s=LONGEST_S)


# ---- orders ------------------------------------------------------------------------------------------


def check_order(order: Row, *, reserve: bool = True, key: str = "") -> Call[Decision]:
    """May this order go out? With a key it may be sent again after a lost connection."""
    query = {} if reserve else {"reserve": "false"}
    return Call(
        "POST",
        "/v1/orders/check",
        Decision,
        query=query,
        body=dict(order),
        account=str(order.get("account", "")),
        key=key,
        repeatable=bool(key) or not reserve,
    )


def check_batch(orders: Sequence[Row], mode: str = "cumulative") -> Call[Batch]:
    """Up to 10,000 orders: `cumulative`, `independent` or `basket`."""
    return Call(
        "POST",
        "/v1/orders/check-batch",
        Batch,
        body={"mode": mode, "orders": [dict(order) for order in orders]},
        repeatable=mode == "independent",
    )


def what_if(order: Row) -> Call[Json]:
    """What an order would do, with nothing recorded."""
    account = str(order.get("account", ""))
    return Call("POST", "/v1/orders/what-if", Json, body=dict(order), account=account, repeatable=True)


def request_override(order: str, reason: str) -> Call[Json]:
    """Ask for an override of an order that needs one."""
    return _post("/v1/orders/{id}/override", {"reason": reason}, Json, id=order)


def overrides(*, state: str | None = None, **page: Any) -> Call[Json]:
    """Requests for overrides, newest first. Of every list: `limit`, and `cursor`, the `next` of the page before."""
    return _get("/v1/overrides", Json, {"state": state, **page})


def override(identifier: str) -> Call[Json]:
    """One request."""
    return _get("/v1/overrides/{id}", Json, id=identifier)


def approve_override(identifier: str) -> Call[Json]:
    """Grant a request somebody else made."""
    return _post("/v1/overrides/{id}/approve", None, Json, id=identifier)


def reject_override(identifier: str, reason: str = "") -> Call[Json]:
    """Turn a request down."""
    return _post("/v1/overrides/{id}/reject", {"reason": reason} if reason else None, Json, id=identifier)


# ---- rebalances --------------------------------------------------------------------------------------


def rebalance(
    account: str, trader: str, *, wait: bool | None = None, **options: Unpack[RebalanceOptions]
) -> Call[Rebalance]:
    """Signals, holdings and a model to orders with a certificate. `wait`: for the result; None: where it is small."""
    body = {"account": account, "trader": trader, **options}
    if wait is not None:
        body["wait"] = wait
    return _slow(Call("POST", "/v1/rebalances", Rebalance, body=body, account=account))


def rebalances(**page: Any) -> Call[Json]:
    """Running and recent ones."""
    return _get("/v1/rebalances", Json, page)


def get_rebalance(identifier: str) -> Call[Rebalance]:
    """One of them."""
    return _get("/v1/rebalances/{id}", Rebalance, id=identifier)


def cancel_rebalance(identifier: str) -> Call[Rebalance]:
    """Take it back: it ends without orders. Refused once it has ended."""
    return Call("DELETE", "/v1/rebalances/{id}", Rebalance, {"id": identifier}, repeatable=True)


def follow_rebalance(identifier: str) -> Call[bytes]:
    """Its progress, as server-sent events; the client reads them one by one."""
    return _get("/v1/rebalances/{id}/events", bytes, id=identifier)


def certificate(identifier: str) -> Call[bytes]:
    """Its certificate, byte for byte."""
    return _get("/v1/rebalances/{id}/certificate", bytes, id=identifier)


def report(identifier: str) -> Call[bytes]:
    """Its report, an HTML page."""
    return _get("/v1/rebalances/{id}/report", bytes, id=identifier)


def verify_certificate(text: str) -> Call[Verification]:
    """What the stand-alone verifier says."""
    call: Call[Verification] = _post("/v1/certificates/verify", {"certificate": text}, Verification)
    return _slow(replace(call, repeatable=True))


# ---- state -------------------------------------------------------------------------------------------


def put_snapshot(document: Row) -> Call[Json]:
    """Replace everything known."""
    return Call("POST", "/v1/snapshot", Json, body=dict(document), repeatable=True)


def snapshot() -> Call[Json]:
    """What is known, in short."""
    return _get("/v1/snapshot", Json)


def feeds() -> Call[list[Json]]:
    """Where each feed stands: always all of them, there are seven."""
    return _get("/v1/feeds", list[Json])


def _tell(feed: str, event_id: str, items: Sequence[Row], sequence: int | None, more: Row) -> Call[Taken]:
    numbered = {} if sequence is None else {"sequence": sequence}
    body = {"event_id": event_id, **numbered, "items": [dict(row) for row in items], **more}
    return Call("POST", f"/v1/{feed}", Taken, body=body, repeatable=True)


def tell_accounts(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Accounts; also `traders=`, `strategies=`, `time=`."""
    return _tell("accounts", event_id, items, sequence, more)


def tell_positions(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Holdings; `whole=True` tells all there are."""
    return _tell("positions", event_id, items, sequence, more)


def tell_prices(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Instruments and markets; also `quotes=`, `session=`, `fx=`, `firm=`."""
    return _tell("prices", event_id, items, sequence, more)


def tell_fills(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Executions; `order` names the working order they fill."""
    return _tell("fills", event_id, items, sequence, more)


def tell_working_orders(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Working orders; `action: remove` takes one away."""
    return _tell("working-orders", event_id, items, sequence, more)


def tell_lists(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Restricted, watch and allow lists: `list` and its `entries`."""
    return _tell("lists", event_id, items, sequence, more)


def tell_signals(event_id: str, items: Sequence[Row], sequence: int | None = None, **more: Any) -> Call[Taken]:
    """Signals."""
    return _tell("signals", event_id, items, sequence, more)


def _known(feed: str, account: str | None, symbol: str | None, page: Row) -> Call[Json]:
    return _get(f"/v1/{feed}", Json, {"account": account, "symbol": symbol, **page})


def accounts(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Accounts known."""
    return _known("accounts", account, symbol, page)


def positions(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Holdings known."""
    return _known("positions", account, symbol, page)


def prices(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Instruments known."""
    return _known("prices", account, symbol, page)


def fills(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Executions known."""
    return _known("fills", account, symbol, page)


def working_orders(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Working orders, approved ones among them."""
    return _known("working-orders", account, symbol, page)


def lists(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Lists in force."""
    return _known("lists", account, symbol, page)


def signals(*, account: str | None = None, symbol: str | None = None, **page: Any) -> Call[Json]:
    """Signals known."""
    return _known("signals", account, symbol, page)
