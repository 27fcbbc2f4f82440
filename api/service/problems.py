"""Refusals as problem documents (RFC 9457).

In: a `Problem` raised anywhere in the service, an error of lexorder, of FastAPI, or a defect. Out: one JSON document of
media type `application/problem+json` with `type`, `title`, `status`, `detail`, `code`, `instance` (the request id) and
the facts of the case. Guaranteed: the code is stable; nothing the caller sent is repeated (field paths keep only names
that are in our own OpenAPI document, quoted text is dropped unless lexorder knows the word); a defect answers 500
`internal-defect` with nothing of its text, and is logged. Refused: nothing, this is where refusals end. Why not
FastAPI's own error bodies: they echo the input. Before: `engine/errors.py`. After: every other file of this folder.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lexorder.api.service.logs import failure
from lexorder.engine.errors import ExpertError, LexorderError, RuleFileError, SnapshotError, SolverError, UsageError

MEDIA_TYPE: Final = "application/problem+json"

DEFECT: Final = "internal-defect"
"""The code of a failure of lexorder itself; nothing was approved."""

FINDINGS_MAX = 100
"""At most this many findings of a rule file, or wrong fields of a request, are listed in one document."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = structlog.get_logger("lexorder.problems")


class Problem(Exception):  # noqa: N818  (RFC 9457 calls it a problem)
    """One refusal.

    `status` is the HTTP status, `code` the stable name, `detail` says what was expected and never repeats what was
    sent. `headers` are added to the answer; further keywords become members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        title: str = "",
        headers: Iterable[tuple[bytes, bytes]] = (),
        **extra: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = tuple(headers)
        self.extra = extra

    def to_json(self, instance: str = "") -> dict[str, Any]:
        """The document; `instance` is the request id."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            document["detail"] = self.detail
        if instance:
            document["instance"] = instance
        return {**self.extra, **document}

    def to_bytes(self, instance: str = "") -> bytes:
        """The document as UTF-8."""
        return msgspec.json.encode(self.to_json(instance))

    def response(self, instance: str = "") -> Response:
        """The answer for an ordinary route."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        return Response(self.to_bytes(instance), self.status, headers, MEDIA_TYPE)

    async def send(self, send: Send, instance: str = "") -> None:
        """The answer for a raw ASGI route."""
        body = self.to_bytes(instance)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def defect() -> Problem:
    """What the caller is told when lexorder itself fails."""
    return Problem(500, DEFECT, "lexorder failed; nothing was approved. Report it with the request id.")


def of_error(error: LexorderError, known: frozenset[str]) -> Problem:
    """An error of lexorder as a problem: 422 for content, 400 for a senseless call, 503 when it could not tell."""
    if isinstance(error, RuleFileError):
        found = [_finding(p.line, p.column, p.code, p.message, known) for p in error.problems[:FINDINGS_MAX]]
        return Problem(422, error.code, "The rule files have findings.", findings=found, count=len(error.problems))
    if isinstance(error, SnapshotError):
        message = error.message.removeprefix(f"{error.where}: ")
        where = _path(re.split(r"[.\[\]]+", error.where), known)
        return Problem(422, error.code, _unquoted(message, known), where=where)
    if isinstance(error, ExpertError | SolverError) or error.code.startswith("ledger-"):
        return Problem(503, error.code, "lexorder could not tell; nothing was approved. Try again later.")
    return Problem(400 if isinstance(error, UsageError) else 422, error.code, _unquoted(error.message, known))


def _finding(line: int, column: int, code: str, message: str, known: frozenset[str]) -> dict[str, Any]:
    return {"line": line, "column": column, "code": code, "message": _unquoted(message, known)}


def _unquoted(message: str, known: frozenset[str]) -> str:
    """The message without quoted text that may be the caller's.

    The caller's text may hold backticks itself, so everything from the first unknown quotation to the last backtick
    goes, not only what looks like one quotation.
    """
    for quoted in re.finditer("`([^`]*)`", message):
        if quoted.group(1) not in known:
            return message[: quoted.start()] + "(not repeated)" + message[message.rindex("`") + 1 :]
    return message


def _path(parts: Iterable[str | int], known: frozenset[str]) -> str:
    """`positions[3].quantity`; a part that is neither a number nor a known name becomes `*`."""
    text = ""
    for part in parts:
        if isinstance(part, int) or (part.isascii() and part.isdigit()):
            text += f"[{part}]"
        elif part:
            text += ("." if text else "") + (part if part in known else "*")
    return text


@cache
def own_words() -> frozenset[str]:
    """Names that may be repeated because they are lexorder's: the shipped vocabulary's, whole and in parts."""
    from lexorder.engine.desk import shipped_vocabulary  # the desk is heavy: `lexorder keys` does without

    names = {*shipped_vocabulary().names, *shipped_vocabulary().entities}
    parts = {part for name in names for part in name.split(".")}
    plurals = {
        "accounts",
        "positions",
        "instruments",
        "orders",
        "working_orders",
        "prices",
        "fills",
        "lists",
        "signals",
    }
    return frozenset(names | parts | plurals)


def install(app: FastAPI) -> None:
    """Let the app answer every refusal as a problem document."""
    words = own_words()

    async def refused(request: Request, error: Exception) -> Response:
        problem = _refusal(error, words | _schema_words(app))
        if request.scope["type"] == "websocket":
            raise problem  # a stream has no response: the guard refuses or closes it
        return problem.response(request_id(request.scope))

    for kind in (Problem, LexorderError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)

    async def failed(request: Request, error: Exception) -> Response:
        log.error(DEFECT, request=request_id(request.scope), failure=failure(error))
        return defect().response(request_id(request.scope))

    app.add_exception_handler(Exception, failed)


def request_id(scope: Mapping[str, Any]) -> str:
    """The id the guard gave the request; empty when there was no guard."""
    return cast("str", scope.get("request_id", ""))


def _refusal(error: Exception, known: frozenset[str]) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, LexorderError):
        return of_error(error, known)
    if isinstance(error, RequestValidationError):
        return _invalid(error, known)
    return _http(cast("HTTPException", error))


def _invalid(error: RequestValidationError, known: frozenset[str]) -> Problem:
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return Problem(400, "json-malformed", "The body is not JSON.")
    fields = [{"path": _path(e["loc"], known), "code": e["type"].replace("_", "-")} for e in found[:FINDINGS_MAX]]
    return Problem(422, "invalid-request", "Fields are missing or not as the API document says.", fields=fields)


HTTP_CODES = {404: "not-found", 405: "method-not-allowed", 406: "not-acceptable", 415: "unsupported-media-type"}


HTTP_DETAILS = {404: "There is no such address: /openapi.json lists all there are."}


def _http(error: HTTPException) -> Problem:
    """What the framework refuses. Its own text is not passed on: it may quote the request."""
    code = HTTP_CODES.get(error.status_code, f"http-{error.status_code}")
    taken = next((v for n, v in (error.headers or {}).items() if n.lower() == "allow"), "")
    detail = f"This address takes {taken} and nothing else." if taken else HTTP_DETAILS.get(error.status_code, "")
    allow = [(b"allow", taken.encode("latin-1"))] if taken else []
    return Problem(error.status_code, code, detail, headers=allow)


def _schema_words(app: FastAPI) -> frozenset[str]:
    """Every field and parameter name of the app's OpenAPI document, and where a field may be."""
    found = {"body", "query", "path", "header", "cookie"}
    ahead: list[Any] = [app.openapi()]
    while ahead:
        node = ahead.pop()
        if isinstance(node, Mapping):
            found.update(node["properties"] if isinstance(node.get("properties"), Mapping) else ())
            found.update([node["name"]] if "in" in node and isinstance(node.get("name"), str) else ())
            ahead.extend(node.values())
        elif isinstance(node, list):
            ahead.extend(node)
    return frozenset(found)
