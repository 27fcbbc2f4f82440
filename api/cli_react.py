"""`lexorder react`: what the rules ask for now that the market has moved.

In: a rules folder, a snapshot JSON, an account. Out: the reactions composed, exit orders with the decision on each,
working orders to cancel, what could not be looked at; as a table or as JSON; and an exit code: 0 nothing is asked for,
1 something is, 4 something could not be looked at, 2 usage or input error. Guaranteed: nothing is sent; an exit order
is decided by the same rules as any order. Before: `engine/acting.py`, `cli_check.py`. After: `cli.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding

from lexorder.api.cli_check import COLOURS, Format, read_world
from lexorder.api.terminal import console
from lexorder.engine.acting import Acted, ExitOrder, act
from lexorder.engine.compose import Effect, Exit
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, shipped_rules
from lexorder.engine.errors import SnapshotError
from lexorder.engine.quantity import exact

NOTHING, ASKED, UNKNOWN = 0, 1, 4
"""Exit codes."""

_Decided = tuple[ExitOrder, Decision]


def react(
    snapshot: Annotated[Path, typer.Option(help="Snapshot JSON: accounts, positions, market facts, …")],
    account: Annotated[str | None, typer.Option(help="Whose positions; may be left out where there is one.")] = None,
    trader: Annotated[str, typer.Option(help="Who would send the exits; orders of nobody may be undecided.")] = "",
    rules: Annotated[Path | None, typer.Option(help="Rules folder; the shipped library by default.")] = None,
    output: Annotated[Format, typer.Option("--format", help="text or json.")] = Format.TEXT,
) -> None:
    """Say what the rules ask for now: halts, exits, alerts. Exit code 0 nothing, 1 something, 4 not all is known."""
    acted, decided = look(rules or shipped_rules(), snapshot, account, trader)
    if output is Format.JSON:
        typer.echo(json.dumps(document(acted, decided), indent=2))
    else:
        print_acted(acted, decided, console())
    raise typer.Exit(UNKNOWN if acted.unknown else ASKED if acted.effects else NOTHING)


def look(rules: Path, snapshot: Path, account: str | None, trader: str = "") -> tuple[Acted, tuple[_Decided, ...]]:
    """Look, and decide each exit order by itself. Raises RuleFileError, SnapshotError, UsageError, ExpertError."""
    book, facts, vocabulary = read_world(rules, snapshot)
    if account is None and len(facts.accounts) != 1:
        raise SnapshotError("account-missing", str(snapshot), f"has {len(facts.accounts)} accounts: say --account")
    acted = act(book, facts, vocabulary, account or next(iter(facts.accounts)))
    desk = Desk(book, facts, vocabulary)
    return acted, tuple((order, desk.check(order.facts(acted.account, trader))) for order in acted.exits)


def document(acted: Acted, decided: tuple[_Decided, ...]) -> dict[str, Any]:
    """Plain data; amounts are decimal strings, or fractions such as `1/3` where no decimal is exact."""
    return {
        "account": acted.account,
        "effects": [{"entity": t.entity, "key": t.key, **_effect(t.effect)} for t in acted.effects],
        "exits": [
            {
                **order.facts(acted.account),
                **_limit(order),
                "rules": list(order.rules),
                "outcome": decision.outcome.value,
            }
            for order, decision in decided
        ],
        "cancels": list(acted.cancels),
        "unknown": [{"rule": u.rule, "subject": u.subject, "why": u.why} for u in acted.unknown],
        "rulebook_hash": acted.rulebook_hash,
        "snapshot_hash": acted.snapshot_hash,
    }


def _limit(order: ExitOrder) -> dict[str, str]:
    return {} if order.participation is None else {"participation": exact(order.participation)}


def _effect(effect: Effect) -> dict[str, Any]:
    """What somebody asks for; the rest is left out."""
    out = effect.exit
    told: dict[str, Any] = {
        "trading_state": effect.trading_state,
        "seconds": _written(effect.seconds),
        "exit": None if out is None else _exit(out),
        **{name: {k: exact(v) for k, v in getattr(effect, name).items()} for name in ("reduce_to", "factors", "caps")},
        "skip": list(effect.skip),
        "cancel": "working_orders" if effect.cancel else None,
        "alert": effect.alert,
        "rules": list(effect.rules),
    }
    return {name: found for name, found in told.items() if found}


def _exit(out: Exit) -> dict[str, str]:
    amounts = {"fraction": out.fraction, "price": out.price, "participation": out.participation}
    return {"style": out.style, **{name: exact(amount) for name, amount in amounts.items() if amount is not None}}


def _written(amount: Fraction | None) -> str | None:
    return None if amount is None else exact(amount)


def print_acted(acted: Acted, decided: tuple[_Decided, ...], console: Console) -> None:
    """For a person: what is asked for, by whom, and what comes of it."""
    words = "CALM" if not acted.effects else "ACT"
    colour = "bold green" if not acted.effects else "bold red"
    if acted.unknown:
        words, colour = f"{words}, BUT NOT ALL IS KNOWN", "bold magenta"
    console.print(f"[{colour}]{words}[/]  {acted.account}", highlight=False)
    for told in acted.effects:
        console.print(f"  {told.entity} [bold]{told.key}[/]  {', '.join(_words(told.effect))}", highlight=False)
        console.print(Padding(f"by {', '.join(told.effect.rules)}", (0, 0, 0, 12)), style="dim", highlight=False)
    for order, decision in decided:
        price = "at the market" if order.price is None else f"at {exact(order.price)}"
        share = "" if order.participation is None else f", at most {percent(order.participation)} of the volume"
        outcome = decision.outcome
        console.print(
            f"  exit  {order.side} {exact(order.quantity)} {order.symbol} {price}{share}: "
            f"[{COLOURS[outcome]}]{outcome.value}[/]",
            highlight=False,
        )
        for report in decision.violations + decision.undecided:
            console.print(Padding(f"{report.rule}: {report.message or report.title}", (0, 0, 0, 12)), highlight=False)
    if acted.cancels:
        console.print(f"  cancel  {', '.join(acted.cancels)}", highlight=False)
    for one in acted.unknown:
        console.print(f"  unknown  [bold]{one.rule}[/] · {one.subject}: {one.why}", highlight=False)


def _words(effect: Effect) -> Iterator[str]:
    if effect.trading_state is not None:
        until = f" for {exact(effect.seconds)} s" if effect.seconds is not None else ""
        yield f"{effect.trading_state}{until}"
    if effect.exit is not None:
        yield f"exit {percent(effect.exit.fraction)}"
    yield from (f"reduce to {exact(left)} {unit}" for unit, left in effect.reduce_to.items())
    yield from (f"{target} times {exact(factor)}" for target, factor in effect.factors.items())
    yield from (f"{target} at most {exact(most)}" for target, most in effect.caps.items())
    yield from (f"skip: {reason}" for reason in effect.skip)
    if effect.cancel:
        yield "cancel working orders"
    if effect.alert is not None:
        yield f"alert {effect.alert}"


def percent(ratio: Fraction) -> str:
    """A ratio in percent, exact."""
    return f"{exact(ratio * 100)}%"
