"""`lexorder ledger export`: a range of the ledger as lines of JSON, CSV or Parquet, as recorded or anonymised.

In: the address of a ledger, a range, a format. Out: a new file, and how many records it holds. Guaranteed: the ledger
is only read, and a file that is there is never replaced. Refused by `UsageError` and `LedgerError`, which `cli.py`
words. Before: `service/export.py`. After: `cli_ledger.py`.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Annotated

import typer

from lexorder.api.service.anonymise import KEY_BYTES, Anonymiser
from lexorder.api.service.export import Format, range_of
from lexorder.api.service.export import export as write
from lexorder.api.service.settings import SHARD_MAX, from_environment
from lexorder.engine.desk import shipped_rules, shipped_vocabulary
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.reader import require_shard
from lexorder.engine.rulebook import RuleBook

KEY_VARIABLE = "LEXORDER_PSEUDONYM_KEY"


def export(
    target: Annotated[Path, typer.Argument(help="File to write; must not exist.", show_default=False)],
    *,
    first: Annotated[str | None, typer.Option("--from", help="First record: number, day (UTC) or time.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The end, not included: number, day or time.")] = None,
    form: Annotated[Format, typer.Option("--format", help="jsonl can be verified by verify_ledger.py.")] = Format.JSONL,
    kind: Annotated[str | None, typer.Option(help="Only records of this kind.")] = None,
    anonymised: Annotated[
        bool, typer.Option("--anonymised", help="Pseudonyms for whoever and whatever is named; no free text.")
    ] = False,
    ledger: Annotated[str | None, typer.Option("--ledger", help="The service's by default.")] = None,
    shard: Annotated[int, typer.Option(help="Which chain.", min=0, max=SHARD_MAX)] = 0,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="The service's folder; LEXORDER_DATA_DIR by default.")
    ] = None,
) -> None:
    """Write a range of the ledger to a file. See docs/operations.md for the columns."""
    within = range_of(first, last)
    anonymiser = _anonymiser() if anonymised else None
    reader = Ledger.open(ledger or from_environment(shard=shard, data_dir=data_dir).url, shard, read_only=True)
    try:
        require_shard(reader.database, shard)
        count = write(reader, target, form, within, kind=kind, anonymiser=anonymiser)
    finally:
        reader.close()
    typer.echo(f"{count} records")


def _anonymiser() -> Anonymiser:
    """With the key of the environment, or a fresh one that nobody keeps: then no two exports can be joined."""
    given = os.environ.get(KEY_VARIABLE, "")
    key = _key(given) if given else os.urandom(KEY_BYTES)
    if not given:
        typer.echo(f"pseudonyms of this export only: set {KEY_VARIABLE} to get the same ones again", err=True)
    vocabulary = shipped_vocabulary()
    book = RuleBook.load(shipped_rules(), vocabulary)
    return Anonymiser(key, vocabulary, (rule.id for rule in book.versions))


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError("bad-pseudonym-key", f"{KEY_VARIABLE} must be {KEY_BYTES} bytes in base64")
    return key
