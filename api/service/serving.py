"""The server process: settings to a running uvicorn.

In: `Settings`. Out: a server until it is told to stop. Guaranteed: logs are JSON without secrets; TLS when a
certificate is given; an interrupted server commits what waits. Refused: what `Service.open` refuses. Before: `app.py`.
After: `cli_serve.py`.
"""

from __future__ import annotations

import socket

import uvicorn

from lexorder.api.service.app import guarded
from lexorder.api.service.logs import configure
from lexorder.api.service.service import Service
from lexorder.api.service.settings import Settings


def run(settings: Settings) -> None:
    """Serve until stopped. Raises LedgerError, UsageError, RuleFileError before the first request."""
    configure()
    server(settings).run()


def server(settings: Settings, sockets: list[socket.socket] | None = None) -> uvicorn.Server:  # noqa: ARG001
    """The server of one shard."""
    service = Service.open(settings)
    config = uvicorn.Config(
        guarded(service),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        limit_concurrency=None,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    return uvicorn.Server(config)
