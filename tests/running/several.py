"""Services of one, two or three workers that are asked the same, and what of their answers must be equal.

`Workers(folder, forge, count)` starts one; `gist` leaves out of an answer what names a place, a moment or a worker:
two services never agree on those. Lists are compared as collections, since each worker lists its own part.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.faults.forking import Forge
from tests.faults.served import PATIENCE_S, Served, until
from tests.ports import free_port
from tests.service.house import RULES

MORE = """
- rule: no-self-trade
  title: No order against an order of the same beneficial owner
  require: not order.crosses_own
- rule: trader-day
  title: No trader above 50,000 a day
  for_each: trader
  require: trader.traded_today + sum(order.notional) <= 50_000
- rule: firm-capital
  title: The firm stays within its capital
  for_each: account
  require: firm.exposure + sum(order.notional) <= firm.capital_limit
- rule: restricted
  title: Nothing on the restricted list
  require: not (order.symbol in lists.restricted)
- rule: strategy-size
  title: At most 400 shares work for a strategy in an account
  for_each: strategy
  require: sum(working_order.quantity) + sum(order.quantity) <= 400
- rule: repeated
  title: At most two like it
  severity: warn
  require: order.identical <= 1
"""
"""Rules that read what is beyond one account: its owner's orders, the trader, the firm, lists, strategies."""

PLACES = frozenset(
    {
        "id", "hash", "snapshot_hash", "snapshot_hash_by_worker", "time", "at", "recorded", "instance", "heard", "seq",
        "next", "next_by_worker", "shard", "active_from", "expires", "now", "override", "begun", "begun_at", "since",
        "port", "created", "key", "decided_at", "by", "as_of", "recorded_at",
    }
)  # fmt: skip
"""Keys of moments, places and identifiers that the service makes."""

OWN_IDS = frozenset({"account", "symbol", "side", "quantity", "list", "role", "limit"})
"""A row with one of these carries an id of ours."""


def gist(told: Any) -> Any:
    """An answer without places and moments, lists in an order of their own."""
    if isinstance(told, dict):
        ours = bool(OWN_IDS & told.keys()) and not {"outcome", "needs"} & told.keys()
        return {k: gist(v) for k, v in told.items() if k not in PLACES or (k == "id" and ours)}
    if isinstance(told, list):
        return sorted((gist(each) for each in told), key=lambda each: json.dumps(each, sort_keys=True))
    return told


class Workers(Served):
    """A service of `count` workers, with a key for each of three persons of risk control."""

    def __init__(self, folder: Path, forge: Forge, count: int, **settings: Any) -> None:
        super().__init__(folder, forge, workers=count, **settings)
        (self.folder / "rules" / "house.yaml").write_text(RULES + MORE, encoding="utf-8")
        self.count = count
        self.keys: dict[str, str] = {}
        while self.port + count > 65_000:
            self.port = free_port()
            self.environment["LEXORDER_PORT"] = str(self.port)

    def ready(self) -> bool:
        """Whether every worker says so."""
        with suppress(httpx.HTTPError):
            doors = [self.door(k) for k in range(self.count)]
            return all(httpx.get(f"{door}/readyz", timeout=PATIENCE_S).status_code == 200 for door in doors)
        return False

    def door(self, shard: int) -> str:
        """The address of a worker."""
        return self.address if self.count == 1 else f"http://127.0.0.1:{self.port + 1 + shard % self.count}"

    def persons(self) -> None:
        """Make their keys."""
        for name, role in (("rita", "risk_officer"), ("rob", "risk_officer"), ("olga", "approver")):
            asked = {"role": role, "name": name, "owner": name}
            self.keys[name] = str(self.at(0, "POST", "/v1/keys", asked).json()["key"])
            for shard in range(self.count):
                until(lambda s=shard, n=name: self.at(s, "GET", "/v1/shards", by=n).status_code == 200)  # type: ignore[misc]

    def at(self, shard: int, method: str, path: str, body: Any = None, by: str = "", **more: str) -> httpx.Response:
        """One request at the door of a worker, on a new connection, by a person or the first key."""
        headers = {"authorization": f"Bearer {self.keys.get(by, '') or self.key}", **more}
        return httpx.request(method, self.door(shard) + path, json=body, headers=headers, timeout=PATIENCE_S)
