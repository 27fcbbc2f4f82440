"""`lexorder rebalance`: files to orders with their proof, or to the rules in conflict.

In: a rules folder, CSV or JSON files (see `rebalance_files.py`) and a model (`model_options.py`). Out: a folder with
`orders.json`, `orders.csv`, `certificate.json`, `report.html` and `decisions/`, a summary, and an exit code: 0 done, 1
the rules exclude each other, 2 usage or input error, 4 no answer (undecided: nothing may be traded). Guaranteed: orders
are written only when every wave was approved and the stand-alone verifier accepted the certificate. Refused: see
`rebalance_files.py`, `model_options.py`, `rebalance`. Before: `rebalance_files.py`, `rebalance_view.py`, `report.py`.
After: `cli.py`.
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812  (the option is called date)
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexorder.api import terminal
from lexorder.api.model_options import AVERSION, Chosen
from lexorder.engine.errors import SolverError, UsageError
from lexorder.optimizers.models import GOALS, MEASURES, MODELS, NATIVE

if TYPE_CHECKING:
    from rich.console import Console

    from lexorder.api.rebalance_files import Paths
    from lexorder.optimizers.outcome import Infeasible, Rebalanced
    from lexorder.optimizers.rebalance import Request

INFEASIBLE, UNDECIDED = 1, 4


def rebalance(
    *,
    portfolio: Annotated[Path, typer.Option(help="Positions and cash: CSV with a CASH row, or JSON.")],
    prices: Annotated[Path, typer.Option(help="Marks (symbol,mark,…), or a price history (date,SYMBOL,…).")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    signals: Annotated[
        Path | None, typer.Option(help="Signals: symbol, expected_return, confidence, … Some models do without.")
    ] = None,
    rules: Annotated[list[Path] | None, typer.Option(help="Rules folder or file; may be repeated.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Reference data: symbol, issuer, sector, …")] = None,
    lists: Annotated[
        Path | None, typer.Option(help="Folder of dated lists; `lists` beside the rules by default.")
    ] = None,
    returns: Annotated[Path | None, typer.Option(help="Returns a period: date, SYMBOL, …")] = None,
    date: Annotated[str, typer.Option(help="Trade date, YYYY-MM-DD; today by default.")] = "",
    time: Annotated[str, typer.Option(help="Time of day in New York.")] = "12:00",
    account: Annotated[str, typer.Option(help="Account identifier.")] = "ACC-1",
    trader: Annotated[str, typer.Option(help="Who enters the orders.")] = "REBALANCER",
    role: Annotated[str, typer.Option(help="Role of the trader.")] = "portfolio_manager",
    model: Annotated[str, typer.Option(help=f"What to steer by: {', '.join(MODELS)}.")] = NATIVE,
    risk_measure: Annotated[
        str | None, typer.Option(help=f"Risk measure of mean_risk and risk_parity: {', '.join(MEASURES)}.")
    ] = None,
    goal: Annotated[str | None, typer.Option(help=f"Goal of mean_risk: {', '.join(GOALS)}.")] = None,
    target: Annotated[
        Path | None, typer.Option(help="Target weights of target_weights: symbol, weight; the rest is cash.")
    ] = None,
    invested: Annotated[
        str | None, typer.Option(help="Share of NAV that a library's weights sum to, e.g. 95%.")
    ] = None,
    max_weight: Annotated[
        str | None, typer.Option(help="Largest weight max_utility or mean_risk may propose, e.g. 5%.")
    ] = None,
    aversion: Annotated[
        float | None, typer.Option(min=0.0, help=f"Risk aversion; {AVERSION:g} where the model has one.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="An old breach that cannot be cured is infeasible.")] = False,
) -> None:
    """Turn signals into orders that provably keep the rules. Exit code 0 done, 1 infeasible, 2 input, 4 undecided."""
    from lexorder.api.rebalance_files import Paths
    from lexorder.engine.desk import shipped_rules

    console = terminal.console()
    folder = lists or (rules[0] if rules else shipped_rules()) / "lists"
    paths = Paths(portfolio, prices, signals, reference, returns, folder)
    settings = {"risk_measure": risk_measure, "goal": goal, "aversion": aversion}
    chosen = Chosen(model, settings, target, {"invested": invested, "max_weight": max_weight})
    chosen.check(signals=signals is not None)
    moment = moment_of(date, time)
    request = request_of(paths, rules, moment, account=account, trader=trader, role=role, chosen=chosen)
    raise typer.Exit(answer(request, out, console, strict=strict))


def moment_of(day: str, clock: str) -> str:
    """The moment of the decision as ISO 8601 with New York's offset. Raises UsageError."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    today = day or datetime.now(zone).date().isoformat()
    try:
        return datetime.fromisoformat(f"{Date.fromisoformat(today)}T{clock}").replace(tzinfo=zone).isoformat()
    except ValueError:
        raise UsageError("bad-date", "--date is YYYY-MM-DD and --time HH:MM, such as 2026-06-15 and 12:00") from None


def request_of(
    paths: Paths, rules: list[Path] | None, moment: str, *, account: str, trader: str, role: str, chosen: Chosen
) -> Request:
    """The request the files and options describe. Raises RuleFileError, SnapshotError, UsageError."""
    from lexorder.api.rebalance_files import PLAIN_VOLATILITY, read
    from lexorder.engine.desk import shipped_rules, shipped_vocabulary
    from lexorder.engine.rulebook import RuleBook
    from lexorder.engine.vocabulary import load
    from lexorder.optimizers.rebalance import Aims, Request, independent
    from lexorder.optimizers.universe import Trading

    folders = rules or [shipped_rules()]
    own = folders[0] / "vocabulary.yaml"
    vocabulary = load(own) if own.is_file() else shipped_vocabulary()
    book = RuleBook.load(folders, vocabulary)
    given = read(paths, vocabulary, moment, account=account, trader=trader, role=role)
    model = chosen.model(given.snapshot.instruments)
    model.refuse_without(returns=given.returns is not None, signals=bool(given.snapshot.signals))
    history = given.returns
    risk = independent(len(given.snapshot.instruments), PLAIN_VOLATILITY) if history is None else history
    aims = Aims(aversion=AVERSION if chosen.aversion is None else chosen.aversion)
    return Request(book, given.snapshot, given.account, risk, Trading(trader=trader), aims, model=model)


def answer(request: Request, out: Path, console: Console, *, strict: bool) -> int:
    """Rebalance, write, show; returns the exit code."""
    from dataclasses import replace

    from lexorder.optimizers.outcome import Infeasible
    from lexorder.optimizers.rebalance import rebalance as solve

    try:
        with console.status("rebalancing") as status:
            progress = replace(request, strict=strict, progress=status.update)
            result = solve(progress)
    except SolverError as error:
        console.print(
            f"[bold magenta]UNDECIDED[/]  nothing may be traded\n{error.code}: {error.message}", highlight=False
        )
        return UNDECIDED
    if isinstance(result, Infeasible):
        return _infeasible(result, out, console)
    return _rebalanced(result, out, console)


def _rebalanced(result: Rebalanced, out: Path, console: Console) -> int:
    from lexorder.api.proof import verifier
    from lexorder.api.rebalance_view import (
        binding_table,
        headroom_table,
        orders_table,
        signals_table,
        summary,
        targets_table,
    )
    from lexorder.api.rebalance_written import written

    verdict = written(result, out, verifier)
    tables = [signals_table(result.signals)] if result.signals.signals else []
    tables += [targets_table(result)] if result.steered.tracks else []
    for made in (*tables, orders_table(result), headroom_table(result), binding_table(result)):
        console.print(made)
    console.print(summary(result), highlight=False)
    console.print(verdict, style="dim", highlight=False)
    console.print(f"written to {out}", highlight=False)
    return 0


def _infeasible(result: Infeasible, out: Path, console: Console) -> int:
    from lexorder.api.proof import verifier
    from lexorder.api.rebalance_view import conflict_table, words_of
    from lexorder.api.rebalance_written import written_conflict

    verdict = written_conflict(result, out, verifier)
    console.print("[bold red]INFEASIBLE[/]")
    console.print(conflict_table(result.clashes))
    console.print(words_of(result), highlight=False)
    console.print(verdict, style="dim", highlight=False)
    console.print(f"written to {out}", highlight=False)
    return INFEASIBLE
