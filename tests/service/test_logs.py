"""Logs: what is logged with a secret in it, in any shape and by any library, is looked for in the output."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from lexorder.api.service import logs
from lexorder.api.service.keys import new_key
from tests.service.issuing import claims, ed_key, token

KEY = new_key()
TOKEN = token(ed_key(), "EdDSA", "d", claims())
PRIVATE = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----"
SECRETS = {
    "key": str(KEY),
    "secret part": KEY.secret,
    "token": TOKEN,
    "signature": TOKEN.rpartition(".")[2],
    "password": "hunter2pass",
    "person": "alice.meyer@desk.example",
    "tax id": "DE811907980",
    "private": "MC4CAQAwBQYDK2VwBCIEI",
}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging as the service does it, and everything as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    logs.configure(out)
    yield out
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def clean_of_secrets(out: io.StringIO) -> bool:
    text = out.getvalue()
    assert text, "nothing was logged at all"
    found = [name for name, secret in SECRETS.items() if secret in text]
    assert not found, (found, text)
    return True


class Holder:
    """An object whose text holds a secret."""

    def __repr__(self) -> str:
        return f"Holder({KEY})"


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": f"Bearer {KEY}"},
        {"header": f"Bearer {KEY}"},
        {"text": f"the key is {KEY}, keep it"},
        {"text": f"{KEY}{KEY}"},
        {"raw": f"Bearer {KEY}".encode()},
        {"headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"accept", b"*/*")]},
        {"headers": {"Authorization": str(KEY.secret)}},
        {"api_key": KEY.secret},
        {"x-api-key": KEY.secret},
        {"Token": TOKEN},
        {"deep": {"deeper": [{"secret": KEY.secret}, [TOKEN]]}},
        {"said": f"got {TOKEN} from them"},
        {"said": f"BEARER {TOKEN}"},
        {"said": "Basic aHVudGVyMnBhc3M6aHVudGVyMnBhc3M= hunter"},
        {"database": "postgresql://lexorder:hunter2pass@db.example/ledger"},
        {"database_password": "hunter2pass"},
        {"name": "alice.meyer@desk.example"},
        {"who": "mail from alice.meyer@desk.example arrived"},
        {"tax_id": "DE811907980", "email": "alice.meyer@desk.example"},
        {"facts": {"tax_id": "DE811907980", "nav": "100"}},
        {"pem": PRIVATE},
        {"object": Holder()},
        {"objects": [Holder(), {"x": Holder()}]},
        {"set": {str(KEY)}},
        {str(KEY): "as a field's own label"},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": str(KEY)}}}}}}},
    ],
)
def test_a_secret_in_any_field_is_found_nowhere(stream: io.StringIO, fields: dict[str, Any]):
    structlog.get_logger("test").info("something", **fields)
    assert clean_of_secrets(stream)
    assert lines(stream)[0]["event"] == "something"


def test_a_secret_in_the_event_itself_is_removed(stream: io.StringIO):
    structlog.get_logger("test").warning(f"refused {KEY}")
    assert clean_of_secrets(stream)
    assert lines(stream)[0]["event"] == "refused [removed]"


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access"])
def test_a_server_made_quiet_earlier_is_heard_again(name: str):
    library = logging.getLogger(name)
    library.setLevel(logging.CRITICAL)
    library.propagate = False
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    try:
        logs.configure(out)
        library.warning("heard")
        assert [line["event"] for line in lines(out)] == ["heard"]
    finally:
        structlog.reset_defaults()
        root.handlers, root.level = handlers, level
        library.setLevel(logging.NOTSET)


@pytest.mark.parametrize("library", ["uvicorn.error", "uvicorn.access", "sqlalchemy.engine", "somebody.else"])
def test_what_libraries_log_is_cleaned_too(stream: io.StringIO, library: str):
    logging.getLogger(library).warning("request with %s and %r", f"Bearer {KEY}", [TOKEN])
    logging.getLogger(library).warning("fields", extra={"token": TOKEN, "password": "hunter2pass"})
    assert clean_of_secrets(stream)
    assert [line["logger"] for line in lines(stream)] == [library] * 2


def inner(secret: str) -> None:
    local = {"authorization": secret, "person": "alice.meyer@desk.example"}
    raise ValueError(f"cannot use {local}")


@pytest.mark.parametrize("library", [True, False])
def test_an_exception_is_logged_by_kind_and_place_only(stream: io.StringIO, library: bool):
    try:
        inner(KEY.secret)
    except ValueError:
        if library:
            logging.getLogger("uvicorn.error").exception("failed")
        else:
            structlog.get_logger("test").exception("failed")
    assert clean_of_secrets(stream)
    (line,) = lines(stream)
    assert line["failure"]["kind"] == "ValueError"
    assert line["failure"]["at"][-1].endswith(" inner")
    assert "cannot use" not in stream.getvalue()


def test_an_exception_can_be_given_as_itself(stream: io.StringIO):
    with pytest.raises(ValueError, match="cannot use") as caught:
        inner(KEY.secret)
    structlog.get_logger("test").error("failed", exc_info=caught.value)
    structlog.get_logger("test").error("nothing", exc_info=None)
    first, second = lines(stream)
    assert first["failure"] == logs.failure(caught.value)
    assert "failure" not in second


def test_ordinary_fields_stay_as_they_are(stream: io.StringIO):
    fields: dict[str, Any] = {
        "account": "A1",
        "count": 7,
        "rate": 0.5,
        "ok": True,
        "nothing": None,
        "path": "/v1/orders/check",
        "request": "a1b2",
        "list": ["x", 2],
        "map": {"a": "b"},
        "address": "https://host.example/path",
        "monkey": "a word that ends in key",
        "filename": "rules/a.yaml",
    }
    structlog.get_logger("test").info("plain", **fields)
    (line,) = lines(stream)
    assert {name: line[name] for name in fields} == fields
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_a_long_text_is_cut_and_one_line_stays_one_line(stream: io.StringIO):
    structlog.get_logger("test").info("long", text="x" * 10_000, broken="a\nb\r\n{}")
    (line,) = lines(stream)
    assert len(line["text"]) == logs.TEXT_MAX
    assert line["broken"] == "a\nb\r\n{}"


def test_a_secret_across_the_cut_does_not_stay_in_part(stream: io.StringIO):
    for before in range(logs.TEXT_MAX - 100, logs.TEXT_MAX + 20, 7):
        structlog.get_logger("test").info("long", text="x" * (before - 1) + " " + str(KEY))
    assert KEY.secret[:8] not in stream.getvalue()


def test_debugging_is_off_by_default(stream: io.StringIO):
    structlog.get_logger("test").debug("quiet")
    logging.getLogger("somebody.else").debug("quiet")
    logging.getLogger("httpx").info("GET https://host.example/?token=x")
    assert stream.getvalue() == ""


def test_hostile_texts_take_no_time():
    """Each would make a careless pattern look at every pair of positions of a long text."""
    for text in ("a" * 100_000, "a@" * 50_000, "eyJ" * 30_000, "://" * 30_000, "-----BEGIN " * 9000, "lx_" * 30_000):
        assert len(logs.clean(text)) <= logs.TEXT_MAX


def test_a_stream_that_takes_nothing_stops_nobody():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "no space left on device")

        def flush(self):
            raise OSError(errno.ENOSPC, "no space left on device")

    logs.configure(Full())
    structlog.get_logger("test").error("one")
    logging.getLogger("somebody.else").error("two")
