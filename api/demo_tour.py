"""The demonstration: real prices to signals to orders that provably keep the rules, and what is refused.

In: the rule library, real prices of 20 names, two small models. Out: a guided tour in the terminal, and a folder with
`orders.json`, `certificate.json`, `report.html` and the facts it started from. Guaranteed: deterministic; every
figure shown comes from the run; the verifier's verdict is that of the stand-alone script in a process of its own.
Refused (`UsageError`): prices or scikit-learn are not installed, the folder cannot be written. Before:
`demo_data.py`, `demo_model.py`, `rebalance_view.py`, `report.py`. After: `cli_demo.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lexorder.api.cli_check import print_decision
from lexorder.api.demo_data import ACCOUNT, NAV, TRADER, Market, market, snapshot_document
from lexorder.api.demo_model import Modelled, fits, model_signals
from lexorder.api.figures import number, percent
from lexorder.api.proof import verifier
from lexorder.api.rebalance_view import (
    binding_table,
    conflict_table,
    headroom_table,
    orders_table,
    signals_table,
    summary,
    weights_table,
    words_of,
)
from lexorder.api.report import Page, html
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, shipped_rules
from lexorder.engine.errors import SolverError, UsageError, shown
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.optimizers.outcome import Infeasible, Rebalanced
from lexorder.optimizers.rebalance import Aims, Request, rebalance
from lexorder.optimizers.universe import Trading

MANDATE = """\
# A client asks for this. The firm's rules stand beside it.
- rule: client-energy-floor
  title: At least 15% of net asset value in Energy
  phases: [rebalance]
  for_each: account
  let:
    floor: 15%
  require: sum(position.after.value where position.instrument.sector == "Energy") >= floor * account.nav
  cite: "A client's request, for the demonstration"
"""

REFUSED = {"id": "DEMO-1", "account": ACCOUNT, "symbol": "KO", "side": "buy", "quantity": "7000", "trader": TRADER}
"""An order for the starting portfolio that breaks two rules at once."""

CHOSEN = (
    "firm/concentration.yaml",
    "firm/leverage-and-cash.yaml",
    "firm/losses.yaml",
    "firm/trading.yaml",
    "desk/roles.yaml",
    "reactions/market.yaml",
    "reactions/signals.yaml",
    "regulatory/market-access.yaml",
    "regulatory/short-sales.yaml",
)
"""The files of the library that a long-only equity desk takes; the others ask for facts such a desk does not keep."""

AIMS = Aims(aversion=2.0, periods=5.0, cost=0.0005, prior=Fraction(12, 10_000))
"""A week ahead; a name without a signal is expected to earn 0.12% a week."""

STEPS = 5


@dataclass(frozen=True, slots=True)
class Tour:
    """What the demonstration has worked out so far."""

    market: Market
    modelled: Modelled
    request: Request
    result: Rebalanced
    folder: Path


def show(console: Console, out: Path, weeks: int) -> None:
    """The whole tour; writes its files into `out`. Raises UsageError, SolverError."""
    tour = _worked_out(console, out, weeks)
    show_signals(tour, console)
    show_orders(tour, console)
    with _writing(out):
        verdict = show_proof(tour, console)
        refused = show_refused(tour, console)
        impossible = show_impossible(tour, console)
        write(tour, verdict, refused, impossible)
    _heading(console, "Written")
    for file in ("orders.json", "certificate.json", "report.html"):
        console.print(f"  {out / file}", highlight=False)


# ---- steps -------------------------------------------------------------------------------------------------------


def _worked_out(console: Console, out: Path, weeks: int) -> Tour:
    """Prices, models, rules and the rebalance, under a progress bar."""
    _folder(out)
    with _progress(console, fits(weeks) + STEPS + 2) as step:
        step("reading real prices")
        found = market()
        step("walking the models forward")
        modelled = model_signals(found, weeks=weeks, progress=lambda: step("walking the models forward"))
        book = RuleBook.load(chosen_rules())
        snapshot = load_snapshot(snapshot_document(found, modelled.signals), book.vocabulary)
        trading = Trading(trader=TRADER, prefix="DEMO")
        request = Request(book, snapshot, ACCOUNT, found.returns, trading, AIMS, progress=step)
        result = rebalance(request)
    if not isinstance(result, Rebalanced):
        raise SolverError("demo", "the demonstration's rebalance was found infeasible; the rule library has changed")
    return Tour(found, modelled, request, result, out)


def show_signals(tour: Tour, console: Console) -> None:
    """What the models said and what the rules made of it."""
    _heading(console, "1  Prices become signals, signals pass the rules")
    record = ", ".join(f"{t.strategy} {t.hit_rate:.1%}" for t in tour.modelled.tracks)
    console.print(
        f"  {len(tour.request.book.ids())} rules of the library, those of a long-only equity desk.\n"
        f"  Closes of 20 S&P 500 names up to {tour.market.last}, taken as the marks of {tour.result.time[:10]}.\n"
        f"  Right signs out of sample: {record}. Barely better than a coin: it is the path that is shown here.",
        highlight=False,
    )
    console.print(Padding(signals_table(tour.result.signals), (1, 2)))


def show_orders(tour: Tour, console: Console) -> None:
    """Orders in waves, weights, limits, what binds."""
    _heading(console, "2  Signals become orders that keep every rule")
    console.print(Padding(summary(tour.result), (0, 2)), highlight=False)
    for made in (orders_table, weights_table, headroom_table, binding_table):
        console.print(Padding(made(tour.result), (1, 2, 0, 2)))


def show_proof(tour: Tour, console: Console) -> str:
    """Write the certificate and let the stand-alone verifier judge it; returns its words."""
    _heading(console, "3  A proof that anyone can check")
    file = tour.folder / "certificate.json"
    file.write_text(tour.result.certificate, encoding="ascii")
    said = verifier(file)
    console.print("  $ python verify.py certificate.json", style="dim", highlight=False)
    console.print(Padding(said, (0, 2)), highlight=False)
    return said


def show_refused(tour: Tour, console: Console) -> Decision:
    """An order that breaks two rules at once, against the portfolio as it was."""
    _heading(console, "4  An order that is refused, for two rules at once")
    desk = Desk(tour.request.book, tour.request.snapshot, tour.request.book.vocabulary)
    decision = desk.check(refused_order(tour.market))
    console.print(f"  {asked(tour.market)}", highlight=False)
    print_decision(decision, console)
    return decision


def show_impossible(tour: Tour, console: Console) -> Infeasible:
    """A mandate that the firm's rules do not admit, with the reason."""
    _heading(console, "5  A request that cannot be met, and why")
    file = tour.folder / "mandate.yaml"
    file.write_text(MANDATE, encoding="utf-8")
    book = RuleBook.load([*chosen_rules(), file], tour.request.book.vocabulary)
    answer = rebalance(replace(tour.request, book=book, strict=True, progress=lambda _: None))
    if not isinstance(answer, Infeasible):
        raise SolverError("demo", "the demonstration's impossible request was met; the rule library has changed")
    console.print("  The client asks for at least 15% in Energy.", highlight=False)
    console.print(Padding(conflict_table(answer.clashes), (1, 2, 0, 2)))
    console.print(Padding(words_of(answer), (0, 2)), highlight=False)
    conflict = tour.folder / "conflict-certificate.json"
    conflict.write_text(answer.certificate, encoding="ascii")
    console.print(Padding(verifier(conflict), (1, 2, 0, 2)), highlight=False)
    return answer


def write(tour: Tour, verdict: str, refused: Decision, impossible: Infeasible) -> None:
    """Orders, the refused decision and the report."""
    page = Page(
        title="Rebalance of the demonstration portfolio",
        source=(
            f"Real closing prices of 20 S&P 500 names up to {tour.market.last} (skfolio's data file), taken as marks; "
            f"starting portfolio of {number(int(NAV))} USD in whole shares."
        ),
        result=tour.result,
        verdict=verdict,
        refused=refused,
        asked=asked(tour.market),
        impossible=impossible,
        request="At least 15% of net asset value in Energy.",
    )
    _json(tour.folder / "orders.json", tour.result.to_json())
    _json(tour.folder / "refused.json", refused.to_json())
    _json(tour.folder / "infeasible.json", impossible.to_json())
    (tour.folder / "report.html").write_text(html(page), encoding="utf-8")


# ---- pieces ------------------------------------------------------------------------------------------------------


def chosen_rules() -> list[Path]:
    """The rule files of the demonstration."""
    return [shipped_rules() / name for name in CHOSEN]


def refused_order(found: Market) -> dict[str, str]:
    """The order that breaks two rules: a limit order at the mark."""
    return {**REFUSED, "ord_type": "limit", "price": found.marks[REFUSED["symbol"]]}


def asked(found: Market) -> str:
    """The refused order in words."""
    price = Fraction(found.marks[REFUSED["symbol"]])
    value = price * int(REFUSED["quantity"])
    shares, symbol = number(int(REFUSED["quantity"])), REFUSED["symbol"]
    return f"Buy {shares} {symbol} at {number(price, 2)}: {percent(value / int(NAV), 1)} of net asset value."


def _heading(console: Console, words: str) -> None:
    console.print()
    console.rule(f"[bold]{words}", align="left", style="dim")


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Any]:
    """A progress bar; yields the function to call with the words of each next step."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda words: bar.update(task, description=words, advance=1)


def _folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("file-unwritable", f"{shown(str(out))} cannot be made: {error.strerror}") from None


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What cannot be written into the folder is a mistake of whoever named it. Raises UsageError."""
    try:
        yield
    except OSError as error:
        file = Path(str(error.filename))
        if not file.is_relative_to(out):
            raise
        raise UsageError("file-unwritable", f"{shown(str(file))} cannot be written: {error.strerror}") from None


def _json(file: Path, document: object) -> None:
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
