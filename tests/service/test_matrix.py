"""The whole matrix against the service's real routes: every line of `roles.yaml`, every role, and nothing beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lexorder.api.service.roles import Matrix, Role, shipped_matrix
from tests.service.border import scope_of
from tests.service.house import House

MATRIX: Matrix = shipped_matrix()
LINES = sorted(MATRIX.lines)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


def registered(app: Any) -> set[tuple[str, str]]:
    """Method and template of every route of the app, whoever registered it; HEAD goes with GET."""
    found = {("POST", path) for path in app.raw}
    for route in app.routes:
        # Newer versions of the framework keep included routers apart; older ones copy their routes.
        for place in route.effective_candidates() if hasattr(route, "effective_candidates") else [route]:
            plain = getattr(place, "starlette_route", None) or place
            path = getattr(place, "path_format", "") or plain.path_format
            methods = getattr(place, "methods", None) or getattr(plain, "methods", None) or {"WEBSOCKET"}
            found |= {(method, path) for method in methods if method != "HEAD"}
    return found


def test_every_route_has_a_line_and_every_line_a_route(house: House):
    written = set(MATRIX.lines) | MATRIX.open
    assert registered(house.app.app) - written == set(), "routes that nobody was given"
    assert written - registered(house.app.app) == set(), "lines that lead nowhere"


def test_the_walk_would_see_a_forgotten_route(house: House):
    app = house.app.app
    before = registered(app)

    @app.get("/v1/forgotten/{id}")  # type: ignore[attr-defined,untyped-decorator]
    def forgotten() -> None: ...

    try:
        assert registered(app) - before == {("GET", "/v1/forgotten/{id}")}
    finally:
        app.router.routes.pop()  # type: ignore[attr-defined]
    assert registered(app) == before


def outcome(house: House, place: tuple[str, str], authorization: str | None) -> tuple[int, str]:
    """Status of an empty request to the place, with the code when it was refused."""
    method, template = place
    path = template.replace("{id}", "none-such")
    assert "{" not in path, template
    headers = {} if authorization is None else {"authorization": f"Bearer {authorization}"}
    if method == "WEBSOCKET":
        return house.run(opened(house, path, headers))
    return house.run(requested(house, method, path, headers))


async def requested(house: House, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://house", headers=headers) as client:
        response = await client.request(method, path)
    refused = response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"] if refused and response.content else ""


async def opened(house: House, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """The same for a stream: 101 when it was accepted."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {
        **scope_of("GET", path, headers),
        "type": "websocket",
        "scheme": "ws",
        "subprotocols": [],
        "extensions": {},
    }
    messages = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        await asyncio.sleep(0)
        return next(messages, {"type": "websocket.disconnect", "code": 1000})

    del asked["method"]
    await house.app(asked, receive, send)
    first = sent[0]
    return (101, "") if first["type"] == "websocket.accept" else (403, first["reason"])


@pytest.mark.parametrize("place", LINES, ids=" ".join)
def test_a_line_opens_its_route_to_its_roles_and_to_no_other(house: House, place: tuple[str, str]):
    line = MATRIX.lines[place]
    for role in Role:
        status, code = outcome(house, place, house.key(role))
        if role in line.roles:
            assert (status, code) != (403, "not-permitted"), f"{role} is shut out"
            assert status not in {401, 405, 429}, (role, status, code)
            assert code != "not-found", (role, "there is no such route")
            assert status < 500, (role, status, code)
        else:
            assert (status, code) == (403, "not-permitted"), f"{role} is let in"


@pytest.mark.parametrize("place", LINES, ids=" ".join)
def test_a_key_narrowed_to_other_scopes_is_shut_out(house: House, place: tuple[str, str]):
    line = MATRIX.lines[place]
    for role in sorted(line.roles):
        key = house.key(role, scopes=sorted(MATRIX.scopes_of(role) - {line.scope}))
        assert outcome(house, place, key) == (403, "not-permitted"), role


@pytest.mark.parametrize("place", LINES, ids=" ".join)
def test_without_a_key_nothing_is_answered(house: House, place: tuple[str, str]):
    status, code = outcome(house, place, None)
    assert code == "no-credentials"
    assert status == (403 if place[0] == "WEBSOCKET" else 401)


@pytest.mark.parametrize("place", sorted(MATRIX.open), ids=" ".join)
def test_what_is_open_needs_no_key(house: House, place: tuple[str, str]):
    status, _ = outcome(house, place, None)
    assert status in {200, 503}, "a probe may say that the service is not ready"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_other_methods_of_a_route_are_closed_to_every_role(house: House, method: str):
    for path in sorted({path for _, path in LINES}):
        if (method, path) in MATRIX.lines or (method == "HEAD" and ("GET", path) in MATRIX.lines):
            continue
        status, _ = outcome(house, (method, path), house.key(Role.ADMIN))
        assert status in {403, 404, 405}, (method, path, status)
