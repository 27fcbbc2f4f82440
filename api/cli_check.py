"""`lexorder check`: decide orders from files.

In: a rules folder, a snapshot JSON, an order JSON (one, or a list). Out: the decision as a table or as JSON, and an
exit code: 0 approve, 1 reject, 3 needs override, 4 undecided, 2 usage or input error. Guaranteed: a list is decided
cumulatively, account by account, and the strictest outcome gives the code. Before: `engine/desk.py`. After: `cli.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from lexorder.api.terminal import console
from lexorder.engine.audience import for_trader, to_json
from lexorder.engine.dated_lists import Entry
from lexorder.engine.decision import Decision, Outcome, Report
from lexorder.engine.desk import Desk, fast, shipped_rules, shipped_vocabulary, slow
from lexorder.engine.errors import SnapshotError, UsageError
from lexorder.engine.facts import load_order, load_snapshot, plain, read_json
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Audience
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Status
from lexorder.engine.vocabulary import load as load_vocabulary

EXIT = {Outcome.APPROVE: 0, Outcome.REJECT: 1, Outcome.NEEDS_OVERRIDE: 3, Outcome.UNDECIDED: 4}
"""Exit codes by outcome; 2 is for usage and input errors."""

STRICTNESS = (Outcome.UNDECIDED, Outcome.REJECT, Outcome.NEEDS_OVERRIDE, Outcome.APPROVE)


class Format(StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


class Reader(StrEnum):
    """Who reads the answer."""

    COMPLIANCE = "compliance"
    TRADER = "trader"


_ALL = Reader.COMPLIANCE
_AUDIENCES = {Reader.COMPLIANCE: Audience.COMPLIANCE, Reader.TRADER: Audience.EVERYONE}


def check(  # noqa: PLR0917  options of a command, named on the command line
    snapshot: Annotated[Path, typer.Option(help="Snapshot JSON: accounts, positions, prices, …")],
    order: Annotated[Path, typer.Option(help="Order JSON: one order, or a list decided together.")],
    rules: Annotated[Path | None, typer.Option(help="Rules folder; the shipped library by default.")] = None,
    output: Annotated[Format, typer.Option("--format", help="text or json.")] = Format.TEXT,
    reference: Annotated[bool, typer.Option(help="Use the slow reference evaluator for both sides.")] = False,
    audience: Annotated[Reader, typer.Option(help="compliance reads all, trader no more than a trader may.")] = _ALL,
) -> None:
    """Decide an order, or several together. Exit code 0 approve, 1 reject, 3 needs override, 4 undecided."""
    decisions = decide_files(rules or shipped_rules(), snapshot, order, reference)
    if output is Format.JSON:
        documents = [to_json(d, _AUDIENCES[audience]) for d in decisions]
        typer.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
    else:
        for decision in decisions:
            print_decision(decision if audience is Reader.COMPLIANCE else for_trader(decision), console())
    strictest = min((d.outcome for d in decisions), key=STRICTNESS.index)
    raise typer.Exit(EXIT[strictest])


def decide_files(rules: Path, snapshot: Path, order: Path, reference: bool = False) -> tuple[Decision, ...]:
    """Decide what the files hold. Raises RuleFileError, SnapshotError, UsageError."""
    book, facts, vocabulary = read_world(rules, snapshot)
    raw = read_file(order)
    orders = raw if isinstance(raw, list) else [raw]
    if not orders:
        raise UsageError("no-orders", f"{order} holds no order")
    loaded = [load_order(o, vocabulary, f"order[{n}]") for n, o in enumerate(orders)]
    return Desk(book, facts, vocabulary, slow if reference else fast).check_basket(loaded)


def read_world(rules: Path, snapshot: Path) -> tuple[RuleBook, Snapshot, Vocabulary]:
    """What both say, by the folder's own vocabulary if it has one. Raises RuleFileError, SnapshotError, UsageError."""
    own = rules / "vocabulary.yaml"
    vocabulary = load_vocabulary(own) if own.exists() else shipped_vocabulary()
    return RuleBook.load(rules, vocabulary), load_snapshot(_document(snapshot, Mapping), vocabulary), vocabulary


def read_file(path: Path) -> Any:  # a JSON document has no narrower type
    """The JSON document in a file. Raises UsageError when it cannot be read, SnapshotError when it is not JSON."""
    try:
        return read_json(path.read_bytes())
    except OSError as error:
        raise UsageError("file-unreadable", f"{path} cannot be read: {error.strerror}") from None
    except SnapshotError as error:
        raise SnapshotError(
            error.code, f"{path}: {error.where}", error.message.removeprefix(f"{error.where}: ")
        ) from None


def _document(path: Path, kind: type) -> Any:
    document = read_file(path)
    if not isinstance(document, kind):
        raise SnapshotError("wrong-shape", str(path), "must be one JSON object")
    return document


COLOURS = {
    Outcome.APPROVE: "bold green",
    Outcome.REJECT: "bold red",
    Outcome.NEEDS_OVERRIDE: "bold yellow",
    Outcome.UNDECIDED: "bold magenta",
}


def print_decision(decision: Decision, console: Console) -> None:
    """The decision for a person: outcome, every finding with its figures, the largest compliant quantity."""
    orders = ", ".join(decision.orders)
    words = decision.outcome.value.upper().replace("_", " ")
    console.print(f"[{COLOURS[decision.outcome]}]{words}[/]  {orders} for {decision.account}", highlight=False)
    for report in decision.reports:
        _print_report(report, console)
    if decision.largest is not None:
        stops = f"; stopped by {', '.join(decision.largest.binding)}" if decision.largest.binding else ""
        note = f" ({decision.largest.note})" if decision.largest.note else ""
        console.print(f"Largest compliant quantity: {decision.largest.quantity:,}{stops}{note}", highlight=False)
    for fact in decision.derived:
        console.print(f"Derived: {fact.name} of {fact.subject} = {plain(fact.value)} by {fact.rule}", highlight=False)
    if decision.outcome is not Outcome.UNDECIDED and decision.verdicts:
        count = f"{decision.verdicts} verdict{'' if decision.verdicts == 1 else 's'}"
        console.print(f"{count}, the two evaluators agree on each", style="dim", highlight=False)


def _print_report(r: Report, console: Console) -> None:
    mark = r.severity.value if r.status is Status.BREACH else r.status.value
    subject = f" · {r.subject}" if r.subject else ""
    console.print(Text.assemble((f"  {mark:<9} ", "bold"), (r.rule, "bold"), subject))
    console.print(Padding(Text(r.message or r.title), (0, 0, 0, 12)))
    for name, entry in r.listed:
        console.print(Padding(Text(_entry_words(name, entry), style="dim"), (0, 0, 0, 12)))
    source = f" · {r.cite}" if r.cite else ""
    console.print(Padding(Text(f"{r.reason}, FIX 103={r.fix}{source}", style="dim"), (0, 0, 0, 12)))


def _entry_words(name: str, entry: Entry) -> str:
    """An entry of a list, for compliance."""
    kind = f"{entry.kind} " if entry.kind else ""
    days = f" from {entry.since}" * bool(entry.since) + f" until {entry.until}" * bool(entry.until)
    return f"On the list `{name}` as {kind}{entry.name}{days}{f': {entry.reason}' if entry.reason else ''}"
