"""The application: every route behind the guard.

In: a `Service`. Out: an ASGI application for the server. Guaranteed: the order check runs before the framework is
asked, that of a single worker even before ASGI is (`express.py`); everything else is ordinary FastAPI, documented at
`/openapi.json`; whatever is not in `roles.yaml` is refused. Refused: nothing here. Before: `service.py`, `orders.py`,
`express_check.py`, `routes_*.py`. After: `cli_serve.py`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version as installed
from types import MappingProxyType
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from lexorder.api.service import (
    batch,
    orders,
    problems,
    reference_page,
    routes_breaches,
    routes_decisions,
    routes_keys,
    routes_ledger,
    routes_limits,
    routes_orders,
    routes_overrides,
    routes_persons,
    routes_probes,
    routes_rebalances,
    routes_rulebooks,
    routes_state,
    routes_trading,
    stream,
)
from lexorder.api.service.catching_up import CatchingUp, steps_after
from lexorder.api.service.document import document_of
from lexorder.api.service.express_check import ExpressCheck
from lexorder.api.service.guard import Guard
from lexorder.api.service.joining import state_of
from lexorder.api.service.parameters import only_known
from lexorder.api.service.peers import Answer, Peers
from lexorder.api.service.service import Service
from lexorder.api.service.sharding import Sharding
from lexorder.api.service.telling import TO
from lexorder.api.service.watching import observer, watch_doors
from lexorder.engine.errors import LexorderError

STEPS = re.compile(r"/peer/steps/([a-z]+)/([0-9]{1,18})/([0-9a-f]{64})")
"""What a worker asks that missed something."""

UNCOUNTED = 10**9
"""Requests a second of one key among workers: they were counted at the public door, and half a telling is none."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DESCRIPTION = "Pre-trade compliance, rebalances with certificates, and the record of both. Amounts are decimal strings."

ROUTES = (
    routes_probes,
    routes_orders,
    routes_overrides,
    routes_rebalances,
    routes_state,
    routes_trading,
    routes_limits,
    routes_breaches,
    routes_rulebooks,
    routes_decisions,
    routes_ledger,
    routes_keys,
    routes_persons,
    stream,
)
"""Modules with `router(service)`."""


class Application(FastAPI):
    """FastAPI, with the checks of orders answered before it."""

    raw: Mapping[str, orders.RawRoute] = MappingProxyType({})
    check: orders.OrderCheck
    batch: batch.BatchCheck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        route = self.raw.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is not None:
            await route(scope, receive, send)
            return
        await super().__call__(scope, receive, _plainly(send) if scope["type"] == "lifespan" else send)


def _plainly(send: Send) -> Send:
    """The framework would tell the server a whole traceback of why it did not start; `serving.py` words it instead."""

    async def told(message: MutableMapping[str, Any]) -> None:
        await send({"type": message["type"]})

    return told


def create_app(service: Service) -> Application:
    """The application without its guard."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
        except LexorderError as error:
            service.failed = error
            raise
        yield
        await service.stop()

    app = Application(
        title="lexorder",
        version=installed("lexorder"),
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation,
    )
    app.openapi = partial(_document, app, service)  # type: ignore[method-assign]
    app.state.service = service
    app.state.access = service.access
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.router(service), dependencies=[Depends(only_known)])
    if service.settings.docs:
        app.add_api_route("/docs", partial(_reference, app, service), include_in_schema=False)
    words = problems.own_words()
    app.check = orders.OrderCheck(service)
    app.batch = batch.BatchCheck(service, words)
    checks = {orders.PATH: app.check.answer, batch.PATH: app.batch.answer}
    app.raw = {path: orders.RawRoute(service, path, answer, words) for path, answer in checks.items()}
    return app


def _document(app: Application, service: Service) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = document_of(app, service.vocabulary)
    return app.openapi_schema


def _reference(app: Application, service: Service) -> HTMLResponse:
    """The same to be read."""
    return HTMLResponse(reference_page.page(app.openapi(), service.access.matrix))


def _operation(route: APIRoute) -> str:
    """The name of an operation in the API document: its method and path, so that no two are alike."""
    words = re.findall(r"[a-z]+", route.path_format.removeprefix("/v1"))
    return "_".join((min(route.methods or {"get"}).lower(), *words))


def guarded(service: Service) -> Guard:
    """What the server runs."""
    app = create_app(service)
    guard = _guard(app, service, watched=True)
    guard.express = ExpressCheck(guard, app.check, problems.own_words())
    return guard


def guarded_shard(service: Service, peers: Peers, catching: CatchingUp) -> tuple[Guard, App]:
    """What a worker among others runs: for callers, and for the other workers."""
    app = create_app(service)
    sharding = Sharding(app, service, peers, catching, app.batch.refuse)
    inner = _guard(sharding.owned, service)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        """For the other workers only; nothing else reaches this socket."""
        if scope["type"] == "http" and scope["path"] == "/peer/state":
            await Answer.json(state_of(service)).send(send)
            return
        asked = STEPS.fullmatch(scope["path"])
        if asked is not None:
            await Answer.json(await steps_after(service, asked[1], int(asked[2]), asked[3])).send(send)
            return
        to = TO.match(scope["path"])
        if to is not None:
            scope = {**scope, "path": scope["path"][to.end() :], "to": to[0]}
        await inner(scope, receive, send)

    return _guard(sharding, service, watched=True), door


def _guard(app: App, service: Service, *, watched: bool = False) -> Guard:
    settings, access = service.settings, service.access
    # Only at the public door: what workers ask each other was counted where it came in.
    told = observer(service.metrics, {place for _, place in (*access.matrix.lines, *access.matrix.open)})
    guard = Guard(
        app,
        access,
        open_metrics=settings.open_metrics,
        rate_per_key=int(settings.rate_per_key) if watched else UNCOUNTED,
        observed=told if watched else None,
    )
    if watched:
        watch_doors(service.metrics, lambda: guard.in_flight)
    return guard
