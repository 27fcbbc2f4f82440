"""`lexorder keys`: make, list and revoke API keys.

In: flags. Out: the key's text, once; a table, or JSON. Guaranteed: nothing but `create` ever prints a key, and it goes
to standard output alone, so that it can be piped into a secret store; a running service follows within a second.
Refused (`UsageError`): `bad-key-field`, `unknown-role`, `unknown-scope`, `bad-duration`, `unknown-key`;
(`LedgerError`): a database out of reach. Before: `service/keys.py`, `service/settings.py`. After: `cli.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from lexorder.api.service.roles import Role, Scope
from lexorder.api.service.settings import from_environment, made
from lexorder.api.terminal import console
from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import UsageError, shown

if TYPE_CHECKING:
    from lexorder.api.service.keys import KeyRecord, KeyStore

app = typer.Typer(help="Make, list and revoke the keys of the service.", no_args_is_help=True)

Named = TypeVar("Named", bound=StrEnum)
DURATION = re.compile(r"([1-9][0-9]{0,5})([hd])")
SECONDS = {"h": 3600, "d": 86_400}

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The service's folder; LEXORDER_DATA_DIR by default.")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", help="The ledger's address; LEXORDER_DATABASE by default.")
]


@app.command()
def create(
    *,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(Role)}.")],
    name: Annotated[str, typer.Option(help="What the key is for, such as `OMS`.")],
    owner: Annotated[str, typer.Option(help="The human who answers for it; the name by default.")] = "",
    accounts: Annotated[str, typer.Option(help="Accounts with commas; all by default.")] = "",
    scopes: Annotated[
        str, typer.Option(help=f"Any of {', '.join(Scope)}, with commas; all of the role by default.")
    ] = "",
    expires: Annotated[str, typer.Option(help="A time such as 90d or 12h, or `never`.")] = "90d",
    data_dir: DataDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a key and print it. It cannot be shown again."""
    with _store(data_dir, database) as store:
        text, record = store.create(
            _chosen(Role, role),
            name,
            owner=owner,
            accounts=_listed(accounts),
            scopes=None if (words := _listed(scopes)) is None else [_chosen(Scope, word) for word in words],
            lifetime_s=_seconds(expires),
        )
    typer.echo(str(text))
    typer.echo(
        f"{record.id}: {record.role.value} key of {record.owner}, {_until(record)}; it is shown only now", err=True
    )


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: DataDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Show all keys, revoked and expired ones too, never their text."""
    with _store(data_dir, database) as store:
        records = store.records()
    if as_json:
        typer.echo(json.dumps([record.to_json() for record in records], indent=2))
        return
    table = Table("id", "name", "owner", "role", "accounts", "scopes", "state")
    for record in records:
        accounts = "all" if record.accounts is None else ", ".join(sorted(record.accounts))
        scopes = "all" if record.scopes is None else ", ".join(sorted(record.scopes))
        table.add_row(record.id, record.name, record.owner, record.role.value, accounts, scopes, _until(record))
    console().print(table)


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(help="The key's id.", show_default=False)],
    data_dir: DataDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Close a key for good. A running service follows within a second."""
    with _store(data_dir, database) as store:
        record = store.revoke(identifier)
    typer.echo(f"{record.id}: {_until(record)}")


@contextmanager
def _store(data_dir: Path | None, database: str | None) -> Iterator[KeyStore]:
    from lexorder.api.service.keys import KeyStore  # databases and HTTP: other commands start without
    from lexorder.engine.ledger.database import Database

    settings = from_environment(data_dir=data_dir, database=database)
    if not settings.database:
        made(settings.data_dir)
    opened = Database(settings.keys_url)
    try:
        opened.create()
        yield KeyStore(opened)
    finally:
        opened.close()


def _chosen(kind: type[Named], word: str) -> Named:
    try:
        return kind(word)
    except ValueError:
        near = nearest_name(word, list(kind))
        hint = f"; did you mean `{near}`?" if near else f"; known are {', '.join(kind)}"
        what = kind.__name__.lower()
        raise UsageError(f"unknown-{what}", f"there is no {what} {shown(word)}{hint}") from None


def _listed(text: str) -> list[str] | None:
    """Words with commas; None when nothing was written, which means all."""
    if not text:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError("bad-key-field", "a list must not hold an empty word: it could be meant to be `all`")
    return words


def _seconds(text: str) -> int | None:
    if text == "never":
        return None
    found = DURATION.fullmatch(text)
    if found is None:
        raise UsageError("bad-duration", f"{shown(text)} is no duration: write 90d, 12h or never")
    return int(found.group(1)) * SECONDS[found.group(2)]


def _until(record: KeyRecord) -> str:
    if record.revoked is not None:
        return f"revoked {record.revoked:%Y-%m-%d %H:%M} UTC"
    if record.expires is None:
        return "does not expire"
    word = "expired" if record.expires <= datetime.now(UTC) else "until"
    return f"{word} {record.expires:%Y-%m-%d %H:%M} UTC"
