"""A running service for tests: its own event loop and folder, a key for each role, requests without a socket.

`House(folder)` starts it, `house.reopen()` stops it and starts another one on the same folder, `state_of` says what of
two floors must be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx

from lexorder.api.service.app import guarded
from lexorder.api.service.floor import Floor
from lexorder.api.service.roles import Role
from lexorder.api.service.service import Service
from lexorder.api.service.settings import Settings
from lexorder.engine.ledger.errors import LedgerError
from tests.worlds import order, world

T = TypeVar("T")

RULES = """
- rule: order-quantity
  title: At most 1,000 shares an order
  require: order.quantity <= 1_000
  tests:
    - name: exactly at the limit
      given: {order: {quantity: 1000}}
      expect: pass
    - name: one share more
      given: {order: {quantity: 1001}}
      expect: {fail: hard, max_order: 1000}
- rule: large-order
  title: Above 100 shares somebody must agree
  severity: soft
  require: order.quantity <= 100
  override: {roles: [risk_officer], reason: required, approvers: 1, expires: 10 min}
  reason: ORDER_SIZE
- rule: issuer-weight
  title: No issuer above 50% of net assets
  phases: [pre_trade, monitor]
  for_each: issuer
  require: sum(abs(position.after.value)) <= 50% * account.nav
  if_already_breached: must_not_worsen
- rule: very-large-order
  title: Above 200 shares two must agree
  severity: soft
  require: order.quantity <= 200
  override: {roles: [risk_officer, approver], reason: required, approvers: 2}
  reason: ORDER_SIZE
"""
"""Enough to approve, to refuse, to need one approver or two."""


class House:
    """One service on one folder. `accounts` A and B are there, 100,000 each."""

    def __init__(self, folder: Path, rules: str = RULES, **settings: Any) -> None:
        self.settings = Settings(data_dir=folder / "data", rules=folder / "rules", **settings)
        self.folder = folder
        if not self.settings.rules.exists():
            self.settings.rules.mkdir(parents=True)
            (self.settings.rules / "house.yaml").write_text(rules, "utf-8")
        self._keys: dict[tuple[Any, ...], str] = {}
        self._open()

    def _open(self) -> None:
        self._closed = False
        self.runner = asyncio.Runner()
        self.service = Service.open(self.settings)
        self.app = guarded(self.service)
        try:
            self.runner.run(self.service.start())
        except BaseException:
            self.close()
            raise

    # ---- callers ---------------------------------------------------------------------------------

    def key(self, role: str, owner: str = "", **fields: Any) -> str:
        """The text of a key of a role, made the first time; its owner is a human of that name."""
        place = (role, owner, *sorted((name, str(value)) for name, value in fields.items()))
        if place not in self._keys:
            text, _ = self.service.access.keys.create(Role(role), f"{role} {owner}", owner=owner or role, **fields)
            self.service.access.refresh()
            self._keys[place] = str(text)
        return self._keys[place]

    def call(self, method: str, path: str, body: Any = None, by: str = "admin", **fields: Any) -> httpx.Response:
        """One request by a caller: `role`, or `role/owner`."""
        return self.run(self.calling(method, path, body, by, **fields))

    async def calling(
        self, method: str, path: str, body: Any = None, by: str = "admin", **fields: Any
    ) -> httpx.Response:
        """The same, to be awaited within the service's loop."""
        role, _, owner = by.partition("/")
        return await self.asking(method, path, body, self.key(role, owner, **fields))

    async def asking(self, method: str, path: str, body: Any, key: str) -> httpx.Response:
        """The same with the text of a key."""
        headers = {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://house", headers=headers) as client:
            return await client.request(method, path, json=body)

    def get(self, path: str, by: str = "admin", **fields: Any) -> Any:
        """The JSON of a GET that must work."""
        return answered(self.call("GET", path, by=by, **fields), 200)

    def post(self, path: str, body: Any = None, by: str = "admin", status: int = 200, **fields: Any) -> Any:
        """The JSON of a POST that must be answered with this status."""
        return answered(self.call("POST", path, body, by, **fields), status)

    def refused(self, method: str, path: str, body: Any = None, by: str = "admin", **fields: Any) -> tuple[int, str]:
        """Status and code of a request that must be refused."""
        response = self.call(method, path, body, by, **fields)
        assert response.headers["content-type"] == "application/problem+json", response.text
        document = response.json()
        assert document["status"] == response.status_code
        return response.status_code, document["code"]

    def check(self, **facts: Any) -> Any:
        """The decision of an order, by a trader."""
        return self.post("/v1/orders/check", order(**facts), by="senior_trader/tess")

    def furnished(self) -> House:
        """With accounts A and B in the snapshot."""
        document = world()
        account = document["accounts"][0]
        document["accounts"].append({**account, "id": "B"})
        self.post("/v1/snapshot", document)
        return self

    # ---- life ------------------------------------------------------------------------------------

    def run(self, work: Awaitable[T]) -> T:
        """Run something in the service's loop."""

        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Let the loop turn until something is so; it must become so."""

        async def waiting() -> None:
            async with asyncio.timeout(seconds):
                while not true():
                    await asyncio.sleep(0.01)

        self.runner.run(waiting())

    def close(self) -> None:
        """Stop the service and its loop; once is enough."""
        if not self._closed:
            self._closed = True
            self.runner.run(self.service.stop())
            self.runner.close()

    def reopen(self) -> None:
        """Stop, and start another service on what this one leaves behind."""
        self.close()
        self._open()


def answered(response: httpx.Response, status: int) -> Any:
    """The JSON of an answer of this status."""
    assert response.status_code == status, (response.status_code, response.text)
    return response.json()


def state_of(floor: Floor) -> dict[str, Any]:
    """What a floor rebuilt from the ledger must have in common with the one that wrote it."""
    return {
        "books": floor.books.uploaded,
        "active": floor.books.active,
        "book history": floor.books.history,
        "limits": floor.limits.versions,
        "limit history": floor.limits.history,
        "overrides": floor.overrides.asked,
        "states": floor.states.known,
        "halted": floor.states.halted,
        "desk": floor.standing.hash,
        "rules": floor.standing.book.hash,
        "working": dict(floor.standing.working),
        "time": floor.standing.time,
    }


class Outage:
    """The ledger's disk fails until `end`. Use it as a context: inside, nothing can be recorded."""

    def __init__(self, house: House) -> None:
        self.house = house

    def __enter__(self) -> Outage:
        ledger = self.house.service.ledger
        assert ledger is not None
        self._ledger = ledger
        self._opened = ledger._opened_store
        ledger._store.write = self._fail  # type: ignore[union-attr,method-assign]
        ledger._opened_store = self._fail  # type: ignore[method-assign]
        return self

    def __exit__(self, *_error: object) -> None:
        self._ledger._opened_store = self._opened  # type: ignore[method-assign]

    @staticmethod
    def _fail(*_arguments: object) -> NoReturn:
        raise LedgerError("ledger-unavailable", "the disk is gone")
