"""Calls of risk staff and of machinery: limits, rule books, trading states, records, keys.

In: plain arguments. Out: a `Call`. Guaranteed: as in `client_calls.py`. Refused: nothing here. Before:
`client_calls.py`. After: `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lexorder.api.client_calls import Call, Json, Row, _get, _post, _slow

# ---- limits ------------------------------------------------------------------------------------------


def limits(*, state: str | None = None, **page: Any) -> Call[Json]:
    """All limits."""
    return _get("/v1/limits", Json, {"state": state, **page})


def create_limit(body: Row) -> Call[Json]:
    """Propose a limit; a second person approves it."""
    return _post("/v1/limits", dict(body), Json)


def limit(identifier: str, *, version: int | None = None) -> Call[Json]:
    """One limit."""
    return _get("/v1/limits/{id}", Json, {"version": version}, id=identifier)


def update_limit(identifier: str, body: Row) -> Call[Json]:
    """Propose a new version."""
    return Call("PUT", "/v1/limits/{id}", Json, {"id": identifier}, body=dict(body))


def retire_limit(identifier: str, reason: str = "") -> Call[Json]:
    """Ask that a limit ends; a second person approves it."""
    return Call("DELETE", "/v1/limits/{id}", Json, {"id": identifier}, body={"reason": reason} if reason else None)


def limit_history(identifier: str, **page: Any) -> Call[Json]:
    """Every step, and the versions they are about."""
    return _get("/v1/limits/{id}/history", Json, page, id=identifier)


def check_limit(identifier: str, body: Row | None = None, **page: Any) -> Call[Json]:
    """How much of it is used now."""
    call = _post("/v1/limits/{id}/check", None if body is None else dict(body), Json, id=identifier)
    return replace(call, query={name: value for name, value in page.items() if value is not None})


def approve_limit(identifier: str, *, version: int | None = None) -> Call[Json]:
    """Approve what somebody else asked for, if it is the version that was read."""
    return _of_version(_post("/v1/limits/{id}/approve", None, Json, id=identifier), version)


def reject_limit(identifier: str, reason: str = "", *, version: int | None = None) -> Call[Json]:
    """Turn it down."""
    body = {"reason": reason} if reason else None
    return _of_version(_post("/v1/limits/{id}/reject", body, Json, id=identifier), version)


def _of_version(call: Call[Json], version: int | None) -> Call[Json]:
    return call if version is None else replace(call, query={"version": version})


def breaches(*, account: str | None = None, rule: str | None = None, **query: Any) -> Call[Json]:
    """What is broken now: `undecided`, `wait`; with `ended=True`, `from` or `to` the history."""
    return _get("/v1/breaches", Json, {"account": account, "rule": rule, **query})


# ---- rule books --------------------------------------------------------------------------------------


def rulebooks(**page: Any) -> Call[Json]:
    """All uploaded books."""
    return _get("/v1/rulebooks", Json, page)


def upload_rulebook(name: str, files: Mapping[str, str], **options: Any) -> Call[Json]:
    """Upload a book; it decides nothing yet."""
    return _slow(_post("/v1/rulebooks", {"name": name, "files": dict(files), **options}, Json))


def lint_rules(name: str, files: Mapping[str, str], **options: Any) -> Call[Json]:
    """Findings of texts, without keeping them."""
    return _slow(_post("/v1/rulebooks/lint", {"name": name, "files": dict(files), **options}, Json))


def active_rulebook() -> Call[Json]:
    """The book that decides."""
    return _get("/v1/rulebooks/active", Json)


def rulebook_history(**page: Any) -> Call[Json]:
    """What was active when, and who agreed."""
    return _get("/v1/rulebooks/history", Json, page)


def rulebook(identifier: str) -> Call[Json]:
    """One book with its texts."""
    return _get("/v1/rulebooks/{id}", Json, id=identifier)


def lint_rulebook(identifier: str) -> Call[Json]:
    """Findings of an uploaded book."""
    return _slow(_post("/v1/rulebooks/{id}/lint", None, Json, id=identifier))


def test_rulebook(identifier: str) -> Call[Json]:
    """Run its examples."""
    return _slow(_post("/v1/rulebooks/{id}/test", None, Json, id=identifier))


def activate_rulebook(identifier: str, reason: str = "") -> Call[Json]:
    """Ask that it decides; a second person approves it."""
    return _slow(_post("/v1/rulebooks/{id}/activate", {"reason": reason} if reason else None, Json, id=identifier))


def approve_rulebook(identifier: str) -> Call[Json]:
    """Approve what somebody else asked for."""
    return _slow(_post("/v1/rulebooks/{id}/approve", None, Json, id=identifier))


def reject_rulebook(identifier: str, reason: str = "") -> Call[Json]:
    """Turn it down."""
    return _post("/v1/rulebooks/{id}/reject", {"reason": reason} if reason else None, Json, id=identifier)


# ---- trading states ----------------------------------------------------------------------------------


def trading_states(**page: Any) -> Call[Json]:
    """Who may not trade freely."""
    return _get("/v1/trading-state", Json, page)


def set_trading_state(scope: str, state: str, reason: str, identifier: str | None = None) -> Call[Json]:
    """ACTIVE, REDUCING or HALTED for the firm, an account, a strategy or a trader."""
    body = {"scope": scope, "state": state, "reason": reason, **({} if identifier is None else {"id": identifier})}
    return Call("POST", "/v1/trading-state", Json, body=body, repeatable=True)


def kill(scope: str = "firm", identifier: str | None = None, reason: str = "kill switch") -> Call[Json]:
    """Stop at once."""
    body = {"scope": scope, "reason": reason, **({} if identifier is None else {"id": identifier})}
    return Call("POST", "/v1/kill", Json, body=body, repeatable=True)


# ---- persons -----------------------------------------------------------------------------------------


def account_person(identifier: str) -> Call[Json]:
    """Who stands behind an account."""
    return _get("/v1/accounts/{id}/person", Json, id=identifier)


def put_account_person(identifier: str, body: Row) -> Call[Json]:
    """Say who stands behind an account; kept sealed."""
    return Call("PUT", "/v1/accounts/{id}/person", Json, {"id": identifier}, body=dict(body), repeatable=True)


def trader_person(identifier: str) -> Call[Json]:
    """Who a trader is."""
    return _get("/v1/traders/{id}/person", Json, id=identifier)


def put_trader_person(identifier: str, body: Row) -> Call[Json]:
    """Say who a trader is; kept sealed."""
    return Call("PUT", "/v1/traders/{id}/person", Json, {"id": identifier}, body=dict(body), repeatable=True)


# ---- records, keys, probes ---------------------------------------------------------------------------


def decisions(**query: Any) -> Call[Json]:
    """Recorded decisions by account, outcome, order, rule, reason, since, until, newest_first, cursor, limit."""
    renamed = {{"since": "from", "until": "to"}.get(name, name): value for name, value in query.items()}
    return _get("/v1/decisions", Json, renamed)


def decision(identifier: str) -> Call[Json]:
    """One recorded decision, such as `0-12`."""
    return _get("/v1/decisions/{id}", Json, id=identifier)


def ledger_head() -> Call[Json]:
    """Size, hashes and the signed head."""
    return _get("/v1/ledger/head", Json)


def ledger_proof(seq: int, size: int | None = None) -> Call[Json]:
    """That a record is among the first `size`."""
    return _get("/v1/ledger/proof", Json, {"seq": seq, "size": size})


def ledger_consistency(old: int, new: int | None = None) -> Call[Json]:
    """That an older head is a beginning of a newer one."""
    return _get("/v1/ledger/consistency", Json, {"old": old, "new": new})


def verify_ledger() -> Call[Json]:
    """Recompute chain and tree."""
    return _slow(_post("/v1/ledger/verify", None, Json))


def keys(**page: Any) -> Call[Json]:
    """All keys, without their secrets."""
    return _get("/v1/keys", Json, page)


def create_key(body: Row) -> Call[Json]:
    """A new key; its text is told once."""
    return _post("/v1/keys", dict(body), Json)


def revoke_key(identifier: str) -> Call[Json]:
    """A key opens nothing from now on."""
    return Call("DELETE", "/v1/keys/{id}", Json, {"id": identifier}, repeatable=True)


def shards() -> Call[Json]:
    """The workers."""
    return _get("/v1/shards", Json)


def healthz() -> Call[Json]:
    """The process lives."""
    return _get("/healthz", Json)


def readyz() -> Call[Json]:
    """Orders are decided and recorded."""
    return _get("/readyz", Json)


def metrics() -> Call[bytes]:
    """Counts for Prometheus."""
    return _get("/metrics", bytes)
