"""`lexorder ledger retain`: move old records to a signed archive, keep their hashes.

In: the address of a ledger nobody writes, a day, time or number, a folder. Out: what would be moved, or with `--apply`
what was. Guaranteed: without `--apply` nothing changes anywhere. Refused by `LedgerError` and `UsageError`, which
`cli.py` words: a service that still runs, a range that is none. Before: `service/retain.py`. After: `cli_ledger.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lexorder.api.service.export import range_of
from lexorder.api.service.heads_task import KEY_FILE
from lexorder.api.service.settings import SHARD_MAX, from_environment
from lexorder.engine.ledger.heads import signing_key
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.reader import require_shard
from lexorder.engine.ledger.record import instant


def retain(
    *,
    before: Annotated[str, typer.Option(help="Records before this number, day (UTC) or time.", show_default=False)],
    archive: Annotated[Path, typer.Option(help="Folder of the archives.", show_default=False)],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; otherwise only say what would be done.")] = False,
    ledger: Annotated[str | None, typer.Option("--ledger", help="The service's by default.")] = None,
    shard: Annotated[int, typer.Option(help="Which chain.", min=0, max=SHARD_MAX)] = 0,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="The service's folder; LEXORDER_DATA_DIR by default.")
    ] = None,
) -> None:
    """Archive old records and empty them in the ledger. Stop the service first; see docs/operations.md."""
    from lexorder.api.service.retain import carry_out, plan

    settings = from_environment(shard=shard, data_dir=data_dir)
    writer = Ledger.open(ledger or settings.url, shard, read_only=not apply)
    try:
        require_shard(writer.database, shard)
        what = plan(writer, range_of(None, before, last_flag="--before"))
        typer.echo(f"{what.stop - what.start} records, {what.start} up to {what.stop}, not included")
        if what.why:
            typer.echo(f"no more than that, because {what.why}")
        if apply:
            key = signing_key(settings.data_dir / KEY_FILE)
            count = carry_out(writer, what, archive, key, instant(datetime.now(UTC)))
            where = f"; the archive is {archive / what.file(shard)}" if what.stop > what.start else ""
            typer.echo(f"{count} records emptied{where}")
        else:
            typer.echo("nothing was changed: --apply does it")
    finally:
        writer.close()
