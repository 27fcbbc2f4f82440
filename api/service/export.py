"""A range of the ledger as a file: lines of JSON, CSV or Parquet, as recorded or anonymised.

In: a ledger, a range of numbers or times, a format, and for an anonymised export what makes it so. Out: a file that was
not there before. Guaranteed: every record of the range, in order, each field exactly as recorded (a reader can
recompute the hashes from any of the formats); a file under the name given is whole: until then it has another one.
Refused by `UsageError`: a range that is none (`bad-range`), a file that is there already (`file-exists`), a body that
is no text (`not-text`: CSV and Parquet hold text), a disk that refuses (`file-unwritable`). Why no figures are taken
out of the bodies into columns: what a column means would change with the version, a body never does.
Before: `anonymise.py`, `engine/ledger/`. After: `cli_export.py`, `retain.py`.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lexorder.api.service.anonymise import Anonymiser
from lexorder.engine.errors import UsageError, shown
from lexorder.engine.ledger.lines import line_of
from lexorder.engine.ledger.record import Record, instant

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

PAGE = 10_000
"""Records written at a time; the memory an export needs does not grow with the range."""

COLUMNS = ("shard", "seq", "kind", "at", "ref", "account", "body", "prev", "hash")
"""Columns of an export as recorded; hashes are hexadecimal."""

ANONYMISED = COLUMNS[:-2]
"""Columns of an anonymised one: a hash of the original could confirm a guess at it."""


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Readable(Protocol):
    """What is exported."""

    shard: int

    def read(self, start: int = 0, stop: int | None = None, kind: str | None = None) -> Iterator[Record]:
        """Durable records in order."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """Records from `start` on and before `stop`, by number, that were made from `since` on and before `until`."""

    start: int = 0
    stop: int | None = None
    since: str = ""
    until: str = ""

    def holds(self, record: Record) -> bool:
        """Whether a record of the numbers was also made in the time. Not by position: a wall clock may be set back."""
        return self.since <= record.at and (not self.until or record.at < self.until)


def range_of(first: str | None, last: str | None, last_flag: str = "--to") -> Range:
    """The range `--from` and `--to` name: numbers, days (UTC) or times with their offset; the end is not included.

    `last_flag` is what the caller calls `--to`.

    Raises:
        UsageError: `bad-range`.
    """
    start, since = _edge("--from", first)
    stop, until = _edge(last_flag, last)
    if (stop is not None and start is not None and stop < start) or (until and until < since):
        raise UsageError("bad-range", f"{last_flag} lies before --from")
    return Range(start or 0, stop, since, until)


def _edge(flag: str, text: str | None) -> tuple[int | None, str]:
    """A number, or a time as records write it."""
    if text is None:
        return None, ""
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return int(text), ""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            day = date.fromisoformat(text)
            return None, instant(datetime(day.year, day.month, day.day, tzinfo=UTC))
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            "bad-range", f"{flag} is {shown(text)}: give a record's number, a day or a time with its offset"
        )
    return None, instant(moment)


def export(
    ledger: Readable,
    target: Path,
    form: Format,
    within: Range,
    *,
    kind: str | None = None,
    anonymiser: Anonymiser | None = None,
) -> int:
    """Write the records of a range to a file that is not there yet; returns how many.

    Raises:
        UsageError: `file-exists`, `file-unwritable`, `not-text`.
        LedgerError: the ledger cannot be read.
    """
    found = (r for r in ledger.read(within.start, within.stop, kind=kind) if within.holds(r))
    records = found if anonymiser is None else map(anonymiser.record, found)
    write = {Format.JSONL: _jsonl, Format.CSV: _csv, Format.PARQUET: _parquet}[form]
    with created(target) as partial:
        return write(partial, records, _Shape(ledger.shard, anonymiser is not None))


@contextmanager
def created(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when everything went well and is durable; otherwise nothing is left.

    Raises:
        UsageError: `file-exists`, `file-unwritable`.
    """
    partial = target.parent / f".{target.name}.{os.getpid()}"
    try:
        if target.exists():
            raise UsageError("file-exists", f"{shown(target.name)} is there already: an export never replaces a file")
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.link(partial, target)  # unlike a rename, refuses when somebody else was faster
    except FileExistsError:
        raise UsageError("file-exists", f"{shown(target.name)} is there already") from None
    except OSError as error:
        raise UsageError("file-unwritable", f"{shown(target.name)} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a row has besides the record."""

    shard: int
    anonymised: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return ANONYMISED if self.anonymised else COLUMNS

    def row(self, record: Record) -> tuple[Any, ...]:
        r = record
        values = (self.shard, r.seq, r.kind, r.at, r.ref, r.account, _text(r), r.prev.hex(), r.hash.hex())
        return values[: len(self.columns)]


def _text(record: Record) -> str:
    try:
        return record.body.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("not-text", f"the body of record {record.seq} is no text: export it as jsonl") from None


def _jsonl(path: Path, records: Iterable[Record], shape: _Shape) -> int:
    """Lines as `verify_ledger.py` reads them; anonymised ones have no hashes and are no evidence."""
    count = 0
    with path.open("x", encoding="ascii") as file:
        for count, record in enumerate(records, 1):  # noqa: B007  the last one is how many
            line = json.dumps(dict(zip(shape.columns, shape.row(record), strict=True)), separators=(",", ":"))
            file.write((line if shape.anonymised else line_of(record)) + "\n")
    return count


def _csv(path: Path, records: Iterable[Record], shape: _Shape) -> int:
    """RFC 4180 with a header line."""
    count = 0
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(shape.columns)
        for count, record in enumerate(records, 1):  # noqa: B007
            writer.writerow(shape.row(record))
    return count


def _parquet(path: Path, records: Iterable[Record], shape: _Shape) -> int:
    """Zstandard-compressed; `at` is a timestamp in UTC, exact to the microsecond, everything else as in CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = _schema(pa, shape)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for page in _pages(records):
            count += len(page)
            columns = list(zip(*(_exact_time(shape.row(record)) for record in page), strict=True))
            writer.write_table(
                pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
            )
    return count


def _exact_time(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:3], datetime.fromisoformat(row[3]), *row[4:])


def _schema(pa: Any, shape: _Shape) -> pyarrow.Schema:
    types = {"shard": pa.int32(), "seq": pa.int64(), "at": pa.timestamp("us", tz="UTC")}
    return pa.schema([pa.field(name, types.get(name, pa.string()), nullable=False) for name in shape.columns])


def _pages(records: Iterable[Record]) -> Iterator[Sequence[Record]]:
    left = iter(records)
    page: Callable[[], list[Record]] = lambda: list(islice(left, PAGE))  # noqa: E731
    yield from iter(page, [])
