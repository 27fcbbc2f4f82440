"""Among how many workers the accounts of a ledger are divided: said once, and held at every start.

In: settings. Out: nothing, and a note in the data folder at the first start. Guaranteed: a service never starts on
records that another number of workers made, since accounts would come to workers that know nothing of their orders,
limits and halts. Refused by UsageError: `workers-changed`. Why not divided anew: what an account has working stands in
the chain of its worker and cannot be moved without breaking the proof of it; a new folder (or database) begins with
what is told it. Before: `settings.py`. After: `serving.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from lexorder.api.service.settings import Settings, made
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger import rows
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError

NOTE = "workers"
"""The file in the data folder that says among how many."""

FILE = re.compile(r"ledger(?:-([0-9]{1,3}))?\.sqlite")


def hold(settings: Settings) -> None:
    """Nothing when the records are of as many workers, which is noted. Raises UsageError, LedgerError."""
    if settings.ledger == "off":
        return
    note, shards = settings.data_dir / NOTE, set(_shards(settings))
    if shards:  # the note may be of a folder that was put back, or of another database
        known = max(_noted(note), *(shard + 1 for shard in shards))
        if known != settings.workers:
            words = (
                f"these records were made by {known} worker{'s' * (known > 1)}, and accounts cannot be divided anew: "
                f"start with --workers {known}, or with another data folder and database"
            )
            raise UsageError("workers-changed", words)
    made(settings.data_dir)
    note.write_text(f"{settings.workers}\n", "ascii")


def _noted(note: Path) -> int:
    """The number in the note, 0 where there is none. Raises UsageError for a note that says nothing."""
    if not note.exists():
        return 0
    written = note.read_text("ascii", errors="replace").strip()
    if not re.fullmatch("[1-9][0-9]?", written):
        raise UsageError("workers-changed", f"`{NOTE}` in the data folder does not say how many workers there are")
    return int(written)


def _shards(settings: Settings) -> Iterator[int]:
    """The shards that have records."""
    if settings.database:
        database = Database(settings.database)
        database.create()
        yield from _recorded(database)
        return
    for file in settings.data_dir.glob("ledger*.sqlite"):
        name = FILE.fullmatch(file.name)
        if name is not None:
            try:
                yield from _recorded(Database(f"sqlite:///{quote(str(file.resolve()))}", read_only=True))
            except LedgerError:  # it cannot be read: what it holds is somebody's
                yield int(name[1] or 0)


def _recorded(database: Database) -> Iterable[int]:
    """The shards in a database; it is closed then."""
    try:
        with database.connect() as connection:
            return rows.shards(connection)
    finally:
        database.close()
