"""Logs: one JSON object a line, and no secret in any of them.

In: what the service and its libraries log. Out: lines on a stream. Guaranteed: fields named like secrets or personal
data are not written, nor is anything that looks like a key, a token, a password in an address, a private key or an
e-mail address, wherever it stands; a stream that takes nothing (a full disk) raises nowhere;
an exception is logged by its kind and where it happened, without its message and
without local variables, for both can hold what a caller sent; an object of an unknown type is logged by its type.
Refused: nothing. Why not only care at each call: one forgotten call is enough. Before: nothing. After: `serving.py`;
every module that logs calls `structlog.get_logger`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO, cast

import msgspec
import structlog

REMOVED: Final = "[removed]"

TEXT_MAX: Final = 2048
"""Characters of one text; the rest is cut."""

DEPTH_MAX: Final = 6
FRAMES_MAX: Final = 12

SECRET_WORDS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "email",
        "key",
        "keys",
        "password",
        "passwd",
        "pii",
        "secret",
    }
    | {"secrets", "taxid", "token", "tokens"}
)
"""A field is not written when one of these is a word of its name."""

SECRET_NAMES: Final = frozenset({"name", "full_name", "first_name", "last_name", "tax_id", "e_mail", "mail", "owner"})
"""Fields not written although no word of theirs is secret."""

LOOKS_SECRET: Final = re.compile(
    r"lx_[a-z2-7]{10}_[0-9a-fA-F]+"  # a key of ours
    r"|eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"  # a signed token
    r"|(?i:\b(?:bearer|basic)\s+[^\s'\",]+)"
    r"|(?<=://)[^/@\s]{1,256}@"  # a password in an address
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*"
    r"|[^\s@<>\"',;:]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"  # an e-mail address
)

Event = MutableMapping[str, Any]


class Sink:
    """A stream for lines, none of which is worth an exception: a full disk must not end what was about to be logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """The line, or nothing when the stream does not take it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """What the stream still holds, or nothing."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process, by structlog or by `logging`, to `stream` (stderr by default)."""
    out = cast("TextIO", Sink(stream or sys.stderr))
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, stamp, redacted, _line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redacted, _line],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel(logging.NOTSET)  # a level that something set earlier would hide its errors
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole addresses


def redacted(_logger: Any, _method: str, event: Event) -> Event:
    """The event without secrets, its exception reduced to kind and place."""
    error = event.pop("exc_info", None)
    event.pop("stack_info", None)
    found = {clean(name): _shown(name, value, 0) for name, value in event.items()}
    exception = _exception(error)
    if exception is not None:
        found["failure"] = failure(exception)
    return found


def failure(error: BaseException) -> dict[str, Any]:
    """What an exception is and where it happened: `kind`, and `at` as `file:line function`, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    at = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return {"kind": type(error).__name__, "at": at}


def _exception(given: Any) -> BaseException | None:
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple) and len(given) == 3:
        given = given[1]
    return given if isinstance(given, BaseException) else None


def _shown(name: str, value: Any, depth: int) -> Any:
    if _secret_name(name):
        return REMOVED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return clean(value)
    if depth < DEPTH_MAX and isinstance(value, Mapping):
        return {clean(str(key)): _shown(str(key), item, depth + 1) for key, item in value.items()}
    if depth < DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        return [_member(item, depth + 1) for item in value]
    return type(value).__name__


def _member(item: Any, depth: int) -> Any:
    """An item of a list; a pair that names a secret (such as a header) is one, too."""
    if isinstance(item, tuple) and len(item) == 2 and _secret_name(_text(item[0])):
        return [_text(item[0]), REMOVED]
    return _shown("", item, depth)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _secret_name(name: str) -> bool:
    folded = name.casefold()
    return folded in SECRET_NAMES or not SECRET_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", folded))


def clean(text: str) -> str:
    """The text, cut, with everything that looks like a secret removed."""
    return LOOKS_SECRET.sub(REMOVED, text[: TEXT_MAX * 2])[:TEXT_MAX]


def _line(_logger: Any, _method: str, event: Event) -> str:
    return msgspec.json.encode(event).decode("utf-8")
