"""The server process: settings to a running uvicorn, or to several of them.

In: `Settings`. Out: servers until they are told to stop. Guaranteed: logs are JSON without secrets; TLS when a
certificate is given; an interrupted server commits what waits; a worker that dies is started anew and reads its own
ledger first. Refused: what `Service.open` and `division.py` refuse, UsageError `port-unavailable`. With several
workers all listen on the public port (the kernel divides connections), each also on its own port behind it (public + 1
+ shard), and on a socket for the others. Before: `app.py`, `sharding.py`. After: `cli_serve.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Literal

import structlog
import uvicorn
import uvloop

from lexorder.api.service.app import guarded, guarded_shard
from lexorder.api.service.catching_up import CatchingUp
from lexorder.api.service.connections import server_options
from lexorder.api.service.division import hold
from lexorder.api.service.joining import join, keep_looking
from lexorder.api.service.keys import KeyStore, first_key
from lexorder.api.service.logs import configure
from lexorder.api.service.peers import Peers, socket_of
from lexorder.api.service.service import Service
from lexorder.api.service.settings import PREFIX, Settings, made, unknown
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.database import Database

log = structlog.get_logger("lexorder.serving")

WORKER = PREFIX + "IS_WORKER"
"""Set in the environment of a worker."""

AGAIN_S = 0.5
"""Pause before a worker that died is started anew."""


def run(settings: Settings) -> None:
    """Serve until stopped. Raises LedgerError, UsageError, RuleFileError before the first request."""
    _readable(settings)
    if not os.environ.get(WORKER):
        _free(settings)
        hold(settings)
    configure()
    logging.getLogger("alembic").setLevel(logging.WARNING)  # each of its plugins would announce itself
    for name, nearest in () if os.environ.get(WORKER) else unknown().items():
        log.warning("unknown-setting", variable=name, nearest=nearest)
    if settings.workers == 1:
        _alone(Service.open(settings), settings)
    elif os.environ.get(WORKER):
        uvloop.run(_worker(settings))
    else:
        _supervise(settings)


def _alone(service: Service, settings: Settings) -> None:
    """One worker. Raises why it did not start."""
    try:
        _server(guarded(service), settings).run()
    except SystemExit:
        if service.failed is not None:
            raise service.failed from None
        raise


def _readable(settings: Settings) -> None:
    """Nothing when the files of TLS can be read, and a key has its certificate. Raises UsageError."""
    if settings.tls_key and not settings.tls_certificate:
        raise UsageError("bad-setting", f"{PREFIX}TLS_KEY needs {PREFIX}TLS_CERTIFICATE: nothing would be encrypted")
    for flag, file in (("--tls-certificate", settings.tls_certificate), ("--tls-key", settings.tls_key)):
        if file and not os.access(file, os.R_OK):
            raise UsageError("file-unreadable", f"{flag} names no file that can be read")


def _free(settings: Settings) -> None:
    """Nothing when every door can be opened. Raises UsageError before anything is made or read.

    With several workers doors may be shared: another service on them would be given half of the orders.
    """
    own = range(settings.workers) if settings.workers > 1 else ()
    for port in (settings.port, *(settings.port + 1 + shard for shard in own)):
        with socket.socket(_family(settings.host), socket.SOCK_STREAM) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind((settings.host, port))
            except OSError as error:
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
                words = f"{settings.host}:{port} cannot be listened on ({why}): say another --port or --host"
                raise UsageError("port-unavailable", words) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _server(app: object, settings: Settings, *, uds: str | None = None, lifespan: str = "on") -> uvicorn.Server:
    options = server_options(settings)
    if uds is not None:
        options |= {"ssl_certfile": None, "ssl_keyfile": None}
    where = {"uds": uds} if uds is not None else {"host": settings.host, "port": settings.port}
    state: Literal["on", "off"] = "on" if lifespan == "on" else "off"
    config = uvicorn.Config(app, lifespan=state, **where, **options)  # type: ignore[arg-type]
    return uvicorn.Server(config)


# ---- several workers -----------------------------------------------------------------------------


async def _worker(settings: Settings) -> None:
    """One worker: the public door, its own door, and the door for the others."""
    service = Service.open(settings)
    peers = Peers(settings.data_dir, settings.shard, settings.workers)
    place = socket_of(settings.data_dir, settings.shard)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    catching = CatchingUp(service, peers)
    public, inner = guarded_shard(service, peers, catching)
    await service.start()
    await join(service, peers, catching)
    doors = [_listening(settings.host, settings.port), _listening(settings.host, settings.port + 1 + settings.shard)]
    outer_server = _server(public, settings, lifespan="off")
    inner_server = _server(inner, settings, uds=str(place), lifespan="off")
    looking = asyncio.create_task(keep_looking(service, peers, catching))
    leaving = asyncio.create_task(_leave_with(os.getppid(), outer_server))
    serving = [
        asyncio.create_task(inner_server.serve()),
        asyncio.create_task(outer_server.serve(sockets=doors)),
    ]
    # Each server would answer a signal for itself alone: when one stops, so must the other.
    await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
    outer_server.should_exit = inner_server.should_exit = True
    await asyncio.gather(*serving, return_exceptions=True)
    looking.cancel()
    leaving.cancel()
    await peers.close()
    await service.stop()


async def _leave_with(parent: int, server: uvicorn.Server) -> None:
    """Stop when the supervisor is gone: nobody would start this worker anew, or stop it."""
    while os.getppid() == parent:
        await asyncio.sleep(1.0)
    server.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket that other workers may listen on too."""
    door = socket.socket(_family(host), socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    door.bind((host, port))
    door.listen(2048)
    return door


def _supervise(settings: Settings) -> None:
    """Start the workers, start anew what dies, stop them together."""
    made(settings.data_dir)
    database = Database(settings.keys_url)
    database.create()
    first_key(KeyStore(database), settings.data_dir, settings.admin_key)
    database.close()
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    workers = {shard: _started(settings, shard) for shard in range(settings.workers)}
    while not stopping:
        time.sleep(AGAIN_S)
        for shard, process in list(workers.items()):
            if process.poll() is not None and not stopping:
                workers[shard] = _started(settings, shard)
    for process in workers.values():
        process.terminate()
    for process in workers.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def _started(settings: Settings, shard: int) -> subprocess.Popen[bytes]:
    own = {**os.environ, **dict(_as_environment(settings)), PREFIX + "SHARD": str(shard), WORKER: "1"}
    command = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "serve"]
    return subprocess.Popen(command, env=own)  # noqa: S603  (our own command)


def _as_environment(settings: Settings) -> Iterator[tuple[str, str]]:
    """The settings as the variables they can be read from."""
    for known in fields(Settings):
        yield PREFIX + known.name.upper(), str(getattr(settings, known.name))
