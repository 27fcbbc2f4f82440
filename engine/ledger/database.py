"""One database of the ledger, SQLite or PostgreSQL: its address, its connections, its tables.

In: an address. Out: `Database`, with connections for reading and for writing tables other than the records. Guaranteed:
a password never appears in an error; a database is only created when asked for; half a migration is never left behind.
Refused by `LedgerError`: another address (`ledger-url`), a database out of reach (`ledger-unavailable`).
Before: `tables.py`, `migrate.py`. After: `rows.py`, `sqlite.py`, `postgres.py`, `reader.py`, and the access checks.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pg8000 import dbapi
from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from lexorder.engine.errors import shown
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.migrate import bring_up_to_date, version_of

BUSY_S = 5
"""Seconds that SQLite waits for another process's lock."""

SWITCH_TRIES, SWITCH_PAUSE_MS = 40, 50
"""How often the switch to a log is tried, and the milliseconds between."""

NETWORK_S = 10
"""Seconds after which a silent PostgreSQL server counts as gone."""

SSL_MODES = ("prefer", "disable", "require", "verify-full")
"""`?sslmode=` of a PostgreSQL address, as libpq names them; only the last one checks certificate and name."""


def read_url(text: str) -> URL:
    """The parsed address, with the driver we ship.

    Raises:
        LedgerError: `ledger-url`.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerError("ledger-url", "the address is not one: write `sqlite:////folder/ledger.db`") from None
    if url.drivername in {"postgresql", "postgresql+pg8000"} and url.database:
        if url.query.get("sslmode", "prefer") not in SSL_MODES or not set(url.query) <= {"sslmode"}:
            raise LedgerError("ledger-url", f"the only option is `sslmode`: {', '.join(SSL_MODES)}")
        return url.set(drivername="postgresql+pg8000")
    if url.drivername == "sqlite" and url.database and url.database != ":memory:" and not url.query:
        return url
    raise LedgerError("ledger-url", f"{shown(url.drivername)} with a database name is needed: `sqlite` or `postgresql`")


class Database:
    """Connections to one database; `path` is the file of SQLite, `None` for PostgreSQL."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = read_url(url)
        self.read_only = read_only
        self.path = Path(str(self.url.database)).absolute() if self.url.drivername == "sqlite" else None
        self.engine = self._sqlite_engine(self.path) if self.path else self._postgres_engine()

    def _postgres_engine(self) -> Engine:
        def connected() -> dbapi.Connection:
            return connect_server(self.url)

        return create_engine("postgresql+pg8000://", creator=connected, pool_pre_ping=True, pool_size=4)

    def _sqlite_engine(self, path: Path) -> Engine:
        def connected() -> sqlite3.Connection:
            return open_file(path, read_only=self.read_only)

        return create_engine("sqlite://", creator=connected, poolclass=QueuePool, pool_size=4)

    def create(self) -> None:
        """Make the file where there is none, and bring the tables up to date.

        Raises:
            LedgerError: `ledger-unavailable`.
        """
        if self.path is not None:
            _create_file(self.path)
        with self.begin() as connection:
            bring_up_to_date(connection)

    def require(self) -> None:
        """Raises `ledger-unavailable` when there is no ledger here or it is of another version of lexorder."""
        with self.connect() as connection:
            if version_of(connection) is None:
                raise LedgerError("ledger-unavailable", "the database holds no ledger of this version of lexorder")

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for reading, each statement by itself.

        Raises:
            LedgerError: `ledger-unavailable`, also for what fails inside the block.
        """
        with wrapped(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection in a transaction that commits at the end of the block, for tables other than the records.

        Raises:
            LedgerError: `ledger-unavailable`, also for what fails inside the block.
        """
        with wrapped(), self.engine.connect() as connection, connection.begin():
            if self.path is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


@contextmanager
def wrapped() -> Iterator[None]:
    """Failures of the database as `LedgerError`, without addresses, statements or values."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, DatabaseError, InterfaceError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = cause.strerror if isinstance(cause, OSError) else type(cause).__name__
        code = "ledger-unavailable"
        if isinstance(cause, sqlite3.Error):
            reason = str(cause)
            code = "ledger-full" if getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL else code
        raise LedgerError(code, f"the database does not answer: {reason}") from None


def open_file(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to an SQLite file that exists; one to a missing file fails instead of creating it."""
    address = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
    # Python's own transactions are off: ours begin and end where the code says so.
    connection = sqlite3.connect(
        address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=300
    )
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def connect_server(url: URL) -> dbapi.Connection:
    """A connection to a PostgreSQL server.

    The socket is ours because the driver's own waits 40 ms for more to send (Nagle's algorithm) at every COPY.
    """
    address = (url.host or "localhost", url.port or 5432)
    sock = socket.create_connection(address, NETWORK_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    try:
        return dbapi.connect(
            user=url.username or "",
            password=url.password,
            host=address[0],
            database=url.database,
            sock=sock,
            ssl_context=_tls(str(url.query.get("sslmode", "prefer"))),
        )
    except BaseException:
        sock.close()
        raise


def _tls(mode: str) -> ssl.SSLContext | bool | None:
    """The driver's word for a mode: no, if the server has it, yes, or how to check it."""
    if mode == "verify-full":
        return ssl.create_default_context()
    return {"disable": False, "prefer": None, "require": True}[mode]


def _create_file(path: Path) -> None:
    with wrapped():
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            _sync_folder(path.parent)
        connection = open_file(path)
        try:
            _switch_to_log(connection)
        finally:
            connection.close()


def _switch_to_log(connection: sqlite3.Connection) -> None:
    """Let the file have a log. SQLite does not wait where several do so at once, so this tries again."""
    for tries_left in reversed(range(SWITCH_TRIES)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                raise
            threading.Event().wait(SWITCH_PAUSE_MS / 1000)
        else:
            return


def _sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
