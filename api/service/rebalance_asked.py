"""What is asked of a rebalance: the body of `POST /v1/rebalances`, and the task that becomes of it.

In: an account, a model, aims, past returns, and the facts the service has. Out: a `Task` about one account and its
names. Guaranteed: figures stay text until a solver reads them, weights are exact; a setting the model has no use for is
refused. Refused by `Problem` 422: tables whose rows are no decimal texts, one for each symbol, named once
(`bad-returns`); weights of symbols that are not known (`unknown-symbol`); models, measures, goals and settings as
`optimizers/models.py` does.
Before: `rebalance_worker.py`. After: `rebalancing.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_worker import Task
from lexorder.engine import literals
from lexorder.engine.errors import UsageError
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.units import RATIO
from lexorder.optimizers.models import GOALS, MEASURES, MODELS, NATIVE, Model

NUMBER = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?$"
SHARE = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?%?$"
WEIGHT = r"^-?(0|[1-9][0-9]{0,2})(\.[0-9]{1,18})?%?$"
SIGNED = re.compile(r"-?(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,18})?")
"""Decimals as everywhere (`literals.told`), within wide bounds; not `\\d`, which has the digits of every alphabet."""


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
    """One rebalance. `symbols` adds names to those held, worked on, signalled or weighted.

    `model`: `mean_variance` follows expected returns, risk and costs by itself. The others track target weights, which
    are a proposal: of PyPortfolioOpt (`max_utility`), of Riskfolio-Lib (`mean_risk`, `risk_parity`) or the caller's own
    (`target_weights`, in `targets`). `invested`: the share of NAV a library invests; `max_weight`: its largest weight.
    """

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(min_length=1, max_length=128)]
    trader: Annotated[str, Field(min_length=1, max_length=128)]
    model: Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(MODELS)})] = NATIVE
    risk_measure: Annotated[str | None, Field(max_length=64, json_schema_extra={"enum": [*MEASURES, None]})] = None
    goal: Annotated[str | None, Field(max_length=64, json_schema_extra={"enum": [*GOALS, None]})] = None
    invested: Annotated[str | None, Field(pattern=SHARE)] = None
    max_weight: Annotated[str | None, Field(pattern=SHARE)] = None
    targets: Annotated[dict[str, Annotated[str, Field(pattern=WEIGHT)]] | None, Field(max_length=3000)] = None
    aims: Aims = Aims()
    returns: Returns | None = None
    symbols: Annotated[list[str], Field(max_length=3000)] = []
    strict: bool = False
    wait: bool | None = None


def task_of(asked: Asked, book: RuleBook, snapshot: Snapshot) -> Task:
    """The task, with the facts that it is about. Raises Problem 422."""
    aims = {k: float(v) for k, v in asked.aims.model_dump(exclude_none=True).items()}
    seen = narrowed(snapshot, asked)
    try:
        model = _model(asked)
        model.refuse_unused(list(aims))
        model.refuse_without(returns=asked.returns is not None, signals=bool(seen.signals))
    except UsageError as error:
        raise Problem(422, error.code, f"{error.message}.") from None
    if not (asked.targets or {}).keys() <= snapshot.instruments.keys():
        raise Problem(422, "unknown-symbol", "`targets` has a symbol that is not known here.")
    return Task(book, seen, asked.account, asked.trader, aims, _columns(asked.returns), asked.strict, model)


def _model(asked: Asked) -> Model:
    """The model and its settings, exact. Raises UsageError."""
    return Model(
        asked.model,
        risk_measure=asked.risk_measure,
        goal=asked.goal,
        invested=None if asked.invested is None else _share(asked.invested),
        max_weight=None if asked.max_weight is None else _share(asked.max_weight),
        targets=None if asked.targets is None else {s: _share(w) for s, w in asked.targets.items()},
    )


def _share(text: str) -> Fraction:
    """What a pattern above has let through, as everywhere else."""
    found = literals.told(text, RATIO)
    assert isinstance(found, Fraction)
    return found


def _columns(returns: Returns | None) -> tuple[list[str], list[list[str]]] | None:
    """The table, checked. Raises Problem 422."""
    if returns is None:
        return None
    width = len(returns.symbols)
    if len(set(returns.symbols)) != width:
        raise Problem(422, "bad-returns", "`symbols` of `returns` names each symbol once.")
    if any(len(row) != width or not all(SIGNED.fullmatch(cell) for cell in row) for row in returns.rows):
        raise Problem(422, "bad-returns", "`rows` are decimal texts, one for each of `symbols`.")
    return returns.symbols, returns.rows


def narrowed(snapshot: Snapshot, asked: Asked) -> Snapshot:
    """The facts one account's rebalance is about: its holdings, working orders, signals, and their instruments."""
    account = asked.account
    held = snapshot.positions.get(account, {})
    working = tuple(w for w in snapshot.working_orders if w["working_order.account"] == account)
    signals = tuple(s for s in snapshot.signals if s.get("signal.account", "NONE") in (account, "NONE"))
    names = {*held, *asked.symbols, *(asked.targets or {}), *(str(w["working_order.symbol"]) for w in working)}
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
