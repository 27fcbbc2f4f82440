"""`lexorder replay`: recorded decisions computed again, as they were or under other rules.

In: a data folder or database, a range of records, optionally another rules folder. Out: every decision that differs,
and totals; exit code 0 when none does, 1 when one does, 2 for input that cannot be used. Guaranteed: the ledger is only
read. Refused: LedgerError, RuleFileError, UsageError. Before: `service/replay.py`. After: `cli.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexorder.engine.errors import LexorderError, UsageError

if TYPE_CHECKING:
    from lexorder.api.service.replay import Compared, Replay

DIFFERENT = 1


def replay(
    *,
    data_dir: Annotated[Path | None, typer.Option(help="The service's data folder.")] = None,
    database: Annotated[str | None, typer.Option(help="The ledger's database instead.")] = None,
    shard: Annotated[int, typer.Option(min=0, help="Which shard.")] = 0,
    start: Annotated[int, typer.Option("--from", min=0, help="First record.")] = 0,
    stop: Annotated[int | None, typer.Option("--to", min=0, help="Last record; the newest by default.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Decide under these rules instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Decide recorded orders again. Exit code 0 when nothing differs, 1 when something does."""
    if stop is not None and stop < start:
        raise UsageError("bad-range", f"--from {start} is behind --to {stop}: no record is in between")
    count = differing = 0
    for compared in _replay(data_dir, database, shard, rules).run(start, None if stop is None else stop + 1):
        count += 1
        if not compared.same:
            differing += 1
            typer.echo(json.dumps(_document(compared)) if as_json else _line(compared))
    what = "decided otherwise under the other rules" if rules else "differ from what was recorded"
    typer.echo(f"{count} decisions replayed, {differing} {what}", err=as_json)
    raise typer.Exit(DIFFERENT if differing else 0)


def _replay(data_dir: Path | None, database: str | None, shard: int, rules: Path | None) -> Replay:
    from lexorder.api.service.floor import Floor
    from lexorder.api.service.replay import Replay
    from lexorder.api.service.running_clock import RunningClock
    from lexorder.api.service.settings import feed_ages, from_environment
    from lexorder.engine.desk import shipped_vocabulary
    from lexorder.engine.ledger.ledger import Ledger
    from lexorder.engine.ledger.reader import require_shard
    from lexorder.engine.rulebook import RuleBook
    from lexorder.engine.vocabulary import load

    settings = from_environment(data_dir=data_dir, database=database, shard=shard)
    if not settings.database and not (settings.data_dir / "ledger.sqlite").exists():
        raise UsageError("no-ledger", f"{settings.data_dir} holds no ledger; name it with --data-dir")
    own = settings.rules / "vocabulary.yaml"
    vocabulary = load(own) if own.is_file() else shipped_vocabulary()
    ledger = Ledger.open(settings.url, shard, read_only=True)
    try:
        require_shard(ledger.database, shard)
        book = RuleBook.load(rules, vocabulary) if rules is not None else None
    except LexorderError:
        ledger.close()
        raise
    # Whether a feed was silent too long is a setting, not a record: give the replay the service's.
    return Replay(Floor(vocabulary, RunningClock("feed"), feed_ages(settings.feed_ages)), ledger, book)


def _document(compared: Compared) -> dict[str, Any]:
    return {
        "seq": compared.seq,
        "at": compared.at,
        "account": compared.account,
        "orders": list(compared.orders),
        "then": compared.then,
        "now": compared.now,
    }


def _line(compared: Compared) -> str:
    then, now = compared.then, compared.now
    orders = ", ".join(compared.orders)
    return f"{compared.seq}  {orders} for {compared.account}: {_said(then)} -> {_said(now)}"


def _said(decision: Any) -> str:
    """The outcome, and the rules that object."""
    rules = sorted({f["rule"] for part in ("violations", "undecided") for f in decision[part]})
    return str(decision["outcome"]) + (f" ({', '.join(rules)})" if rules else "")
