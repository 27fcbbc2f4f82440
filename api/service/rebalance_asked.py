"""What is asked of a rebalance: the body of `POST /v1/rebalances`, and the task that becomes of it.

In: an account, aims, past returns, and the facts the service has. Out: a `Task` about one account and its names.
Guaranteed: figures stay text until a solver reads them. Refused by `Problem` 422 `bad-returns`: tables whose rows are
no decimal texts, one for each symbol. Before: `rebalance_worker.py`. After: `rebalancing.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_worker import Task
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot

NUMBER = r"^\d{1,9}(\.\d{1,12})?$"
SIGNED = re.compile(r"-?\d{1,6}(\.\d{1,18})?")


class Aims(BaseModel):
    """What is optimised; see the documentation of `lexorder rebalance`."""

    model_config = ConfigDict(extra="forbid")

    aversion: Annotated[str | None, Field(pattern=NUMBER)] = None
    periods: Annotated[str | None, Field(pattern=NUMBER)] = None
    cost: Annotated[str | None, Field(pattern=NUMBER)] = None


class Returns(BaseModel):
    """Past returns: a column for each symbol, a row for each period, as decimal text."""

    model_config = ConfigDict(extra="forbid")

    symbols: Annotated[list[str], Field(max_length=3000)]
    rows: Annotated[list[list[str]], Field(min_length=2, max_length=2000)]


class Asked(BaseModel):
    """One rebalance. `symbols` adds names to those held, worked on or signalled."""

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(min_length=1, max_length=128)]
    trader: Annotated[str, Field(min_length=1, max_length=128)]
    aims: Aims = Aims()
    returns: Returns | None = None
    symbols: Annotated[list[str], Field(max_length=3000)] = []
    strict: bool = False
    wait: bool | None = None


def task_of(asked: Asked, book: RuleBook, snapshot: Snapshot) -> Task:
    """The task, with the facts that it is about. Raises Problem 422."""
    aims = {k: float(v) for k, v in asked.aims.model_dump(exclude_none=True).items()}
    seen = narrowed(snapshot, asked)
    return Task(book, seen, asked.account, asked.trader, aims, _columns(asked.returns), asked.strict)


def _columns(returns: Returns | None) -> tuple[list[str], list[list[str]]] | None:
    """The table, checked. Raises Problem 422."""
    if returns is None:
        return None
    width = len(returns.symbols)
    if any(len(row) != width or not all(SIGNED.fullmatch(cell) for cell in row) for row in returns.rows):
        raise Problem(422, "bad-returns", "`rows` are decimal texts, one for each of `symbols`.")
    return returns.symbols, returns.rows


def narrowed(snapshot: Snapshot, asked: Asked) -> Snapshot:
    """The facts one account's rebalance is about: its holdings, working orders, signals, and their instruments."""
    account = asked.account
    held = snapshot.positions.get(account, {})
    working = tuple(w for w in snapshot.working_orders if w["working_order.account"] == account)
    signals = tuple(s for s in snapshot.signals if s.get("signal.account", "NONE") in (account, "NONE"))
    names = {*held, *asked.symbols, *(str(w["working_order.symbol"]) for w in working)}
    names |= {str(s["signal.symbol"]) for s in signals}
    return replace(
        snapshot,
        accounts={account: snapshot.accounts[account]},
        positions={account: held},
        working_orders=working,
        signals=signals,
        instruments={s: facts for s, facts in snapshot.instruments.items() if s in names},
        fills=tuple(f for f in snapshot.fills if f["fill.account"] == account),
    )
