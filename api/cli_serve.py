"""`lexorder serve`: run the decision service.

In: flags, and `LEXORDER_*` variables they override. Out: a server until it is stopped; exit code 2 when it cannot
start. Guaranteed: by default one process on the loopback address with an SQLite ledger in the data folder. Refused:
settings that do not parse, a ledger that is broken or in use. Before: `service/app.py`. After: `cli.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    *,
    port: Annotated[int | None, typer.Option(help="Port; 8000 by default.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Ledger, keys, signed heads.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rule book of a first start; the library by default.")] = None,
    database: Annotated[
        str | None, typer.Option(help="Ledger's database; SQLite in the data folder by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes; accounts are divided among them.")
    ] = None,
    clock: Annotated[str | None, typer.Option(help="snapshot, wall or feed.")] = None,
    ledger: Annotated[str | None, typer.Option(help="full; normal and off are for measuring only.")] = None,
    tls_certificate: Annotated[str | None, typer.Option(help="PEM file; with --tls-key.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="PEM file.")] = None,
) -> None:
    """Run the decision service. Settings are LEXORDER_* variables or the flags here; see docs/operations.md."""
    from lexorder.api.service.serving import run
    from lexorder.api.service.settings import from_environment

    run(
        from_environment(
            port=port,
            host=host,
            data_dir=data_dir,
            rules=rules,
            database=database,
            workers=workers,
            clock=clock,
            ledger=ledger,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
        )
    )
