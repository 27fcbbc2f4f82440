"""A PostgreSQL server of the test's own: on loopback, in a temporary folder, under a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from pg8000 import dbapi

from tests.ports import free_port

USER = "lexorder"
UNPRIVILEGED = ("postgres", "nobody")
START_S = 60


def binaries() -> Path | None:
    """The folder of the newest server's programs, 15 or later; `None` when there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_ctl")):
            return folder
    return None


class Server:
    """One cluster; `url` gives the address of a fresh database in it."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="lexorder-pg-"))
        self._account = _unprivileged()
        if self._account:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self.port = 0
        self._free: list[str] = []
        self._given: list[str] = []
        self._run("initdb", "--pgdata", self._data, "--username", USER, "--auth", "trust", "--encoding", "UTF8",
                  "--no-locale", "--no-sync")  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Start, on a port that was free a moment ago; the first start chooses it."""
        if not self.port:
            self.port = free_port()
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories= -c shared_buffers=16MB"
        )
        self._run("pg_ctl", "start", "--wait", f"--timeout={START_S}", "--pgdata", self._data, "--options", options,
                  "--log", str(self.folder / "log"))  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` asks the sessions to end, `immediate` is as good as a crash."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata", self._data, "--mode", mode)

    def running(self) -> bool:
        """Whether the server runs."""
        try:
            self._run("pg_ctl", "status", "--pgdata", self._data)
        except subprocess.CalledProcessError:
            return False
        return True

    def url(self) -> str:
        """The address of an empty database."""
        name = self._free.pop() if self._free else f"ledger_{len(self._given) + 1}"
        if name not in self._known():
            self.execute(f"CREATE DATABASE {name}")
        self._given.append(name)
        return f"postgresql+pg8000://{USER}@127.0.0.1:{self.port}/{name}"

    def offer_tls(self, certificate: bytes, key: bytes) -> None:
        """Let clients that ask for it speak TLS."""
        for name, content in (("server.crt", certificate), ("server.key", key)):
            path = Path(self._data) / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self._account:
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self.execute("ALTER SYSTEM SET ssl = on")
        self.execute("SELECT pg_reload_conf()")

    def refuse_tls(self) -> None:
        """Speak no TLS any more."""
        self.execute("ALTER SYSTEM RESET ssl")
        self.execute("SELECT pg_reload_conf()")

    def empty_all(self) -> None:
        """Empty the databases whose addresses were given. Dropping them would take a checkpoint of the server each."""
        while self._given:
            name = self._given[-1]
            self.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            )
            self.execute("DROP SCHEMA public CASCADE", name)
            self.execute("CREATE SCHEMA public", name)
            self._free.append(self._given.pop())

    def _known(self) -> set[object]:
        return {row[0] for row in self.execute("SELECT datname FROM pg_database")}

    def execute(self, statement: str, database: str = "postgres") -> list[Sequence[object]]:
        """Run one statement outside any transaction, return its rows."""
        with closing(self.connect(database)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def connect(self, database: str = "postgres") -> dbapi.Connection:
        """A connection of the test's own; waits while the server is starting."""
        until = time.monotonic() + START_S
        while True:
            try:
                return dbapi.connect(user=USER, host="127.0.0.1", port=self.port, database=database, timeout=START_S)
            except Exception as error:
                if time.monotonic() > until:
                    error.add_note((self.folder / "log").read_text(errors="replace")[-2000:])
                    raise
                time.sleep(0.1)

    def remove(self) -> None:
        """Stop and delete everything."""
        with suppress(subprocess.CalledProcessError):  # it was not running
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        subprocess.run(
            [str(self.programs / program), *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2 * START_S,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )


def _unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server when the tests run as root; `None` when they do not."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)
