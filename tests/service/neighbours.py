"""Another worker for tests: an application behind the socket on which `Peers` look for it.

`Neighbour(folder, shard, app)` serves within a loop of its own thread; `asked` is what it was asked, in order.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from lexorder.api.service.peers import socket_of

Say = Callable[[dict[str, Any], bytes], tuple[int, Any]]
"""Status and JSON for a request and its body; a list of bytes is sent piece by piece."""


class Neighbour:
    """One worker; a context manager."""

    def __init__(self, folder: Path, shard: int, say: Say) -> None:
        self.place = socket_of(folder, shard)
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.say = say
        self.asked: list[dict[str, Any]] = []
        config = uvicorn.Config(self._app, uds=str(self.place), lifespan="off", log_config=None, interface="asgi3")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)

    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        heard = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.asked.append({"method": scope["method"], "path": path, "headers": heard, "body": body})
        status, answer = self.say(scope, body)
        pieces = isinstance(answer, list) and bool(answer) and isinstance(answer[0], bytes)
        kind, parts = b"text/event-stream", answer
        if not pieces:
            kind, parts = b"application/json", [json.dumps(answer).encode()]
        headers = [(b"content-type", kind), (b"x-own", b"kept"), (b"x-request-id", b"theirs")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def __enter__(self) -> Neighbour:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
