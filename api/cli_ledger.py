"""`lexorder ledger`: verify the record, prove that something is in it, export it, list and sign its heads.

In: the address of a ledger, by default the one that `lexorder serve` uses with the same folder or environment. Out:
text, or one JSON document for each proof; `verify` exits with 1 when it finds something. Guaranteed: records are only
read. Refused by `LedgerError`, which `cli.py` words: no ledger there, no such shard, no such record. Before:
`engine/ledger/`. After: `cli.py`.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lexorder.api.cli_export import export
from lexorder.api.cli_retain import retain
from lexorder.api.service.heads_task import KEY_FILE
from lexorder.api.service.settings import SHARD_MAX, Settings, from_environment
from lexorder.engine.errors import UsageError, shown
from lexorder.engine.ledger import audit, verify_ledger
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.heads import HeadLog, signing_key
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.reader import require_shard
from lexorder.engine.ledger.record import instant

app = typer.Typer(help="Verify, prove and export what was recorded.", no_args_is_help=True)
app.command()(export)
app.command()(retain)

Address = Annotated[
    str | None, typer.Option("--ledger", help="sqlite:////folder/file or postgresql://…; the service's by default.")
]
Shard = Annotated[int, typer.Option(help="Which chain.", min=0, max=SHARD_MAX)]
Heads = Annotated[Path | None, typer.Option("--heads", help="Folder of the signed heads; the service's by default.")]
Key = Annotated[Path | None, typer.Option("--key", help="Public key; the one beside the heads by default.")]

Folder = Annotated[Path | None, typer.Option("--data-dir", help="The service's folder; LEXORDER_DATA_DIR by default.")]
Archives = Annotated[
    list[Path] | None, typer.Option("--archive", help="Records that were cut by `retain`; repeat it, oldest first.")
]


@app.command()
def verify(
    *,
    ledger: Address = None,
    shard: Shard = 0,
    heads: Heads = None,
    key: Key = None,
    archive: Archives = None,
    data_dir: Folder = None,
) -> None:
    """Recompute every hash and compare with the signed heads. Exit code 1 if anything is wrong."""
    service = from_environment(shard=shard, data_dir=data_dir)
    signed, beside = audit.trusted_heads(_heads_folder(heads, service), shard)
    trusted = key or beside
    with closing(Database(ledger or service.url, read_only=True)) as database:
        result = audit.audit(database, shard, signed, trusted, archive or ())
        if not result.size and not result.findings:
            require_shard(database, shard)
    for finding in result.findings:
        typer.echo(finding)
    typer.echo(verify_ledger.summary(result, bool(signed)))
    if result.findings:
        raise typer.Exit(1)


@app.command()
def prove(
    ref: Annotated[str, typer.Argument(metavar="ID", help="Decision or event id.", show_default=False)],
    *,
    kind: Annotated[str | None, typer.Option(help="Only records of this kind.")] = None,
    ledger: Address = None,
    shard: Shard = 0,
    heads: Heads = None,
    data_dir: Folder = None,
) -> None:
    """Print the proof that a record is in the ledger; `verify_ledger.py` checks it."""
    service = from_environment(shard=shard, data_dir=data_dir)
    signed, _ = audit.trusted_heads(_heads_folder(heads, service), shard)
    reader = Ledger.open(ledger or service.url, shard, read_only=True)
    try:
        require_shard(reader.database, shard)
        typer.echo(audit.proof(reader, audit.record_about(reader, ref, kind), signed))
    finally:
        reader.close()


@app.command()
def consistency(
    old: Annotated[int, typer.Argument(metavar="A", help="The smaller number of records.", min=0)],
    new: Annotated[int, typer.Argument(metavar="B", help="The larger one.", min=0)],
    ledger: Address = None,
    shard: Shard = 0,
    data_dir: Folder = None,
) -> None:
    """Print the proof that the first A records were unchanged when there were B."""
    service = from_environment(shard=shard, data_dir=data_dir)
    reader = Ledger.open(ledger or service.url, shard, read_only=True)
    try:
        require_shard(reader.database, shard)
        typer.echo(audit.consistency(reader, old, new))
    finally:
        reader.close()


@app.command("heads")
def list_heads(
    *,
    ledger: Address = None,
    shard: Shard = 0,
    heads: Heads = None,
    key: Key = None,
    sign: Annotated[bool, typer.Option("--sign", help="Sign what the ledger holds now, first.")] = False,
    data_dir: Folder = None,
) -> None:
    """List the signed heads. Exit code 1 if a signature is wrong."""
    service = from_environment(shard=shard, data_dir=data_dir)
    folder = _heads_folder(heads, service, new=sign)
    if sign:
        _sign(ledger or service.url, shard, folder, service.data_dir / KEY_FILE)
    signed, beside = audit.trusted_heads(folder, shard)
    if not signed:
        typer.echo(f"there are no signed heads of shard {shard} in {folder}", err=True)
    trusted = key or beside
    good = audit.signatures(signed, trusted) if trusted else []
    for head, valid in zip(signed, good, strict=True):
        typer.echo(f"{head.at}  {head.size:>10}  {head.root}  {'signed' if valid else 'NOT SIGNED BY THIS KEY'}")
    if not all(good):
        raise typer.Exit(1)


def _sign(address: str, shard: int, folder: Path, file: Path) -> None:
    """One head more, with the service's key."""
    key = signing_key(file)
    reader = Ledger.open(address, shard, read_only=True)
    try:
        require_shard(reader.database, shard)
        HeadLog(folder, shard, key).write(reader, instant(datetime.now(UTC)))
    finally:
        reader.close()


def _heads_folder(given: Path | None, service: Settings, *, new: bool = False) -> Path:
    """The folder of signed heads. Raises UsageError when one is named that is not there: nothing would be compared."""
    if given is not None and not new and not given.is_dir():
        raise UsageError("no-heads", f"--heads {shown(str(given))} is no folder")
    return given or service.second_place
