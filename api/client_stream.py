"""Following `/v1/stream`: what both clients do alike.

In: topics, a number to start from, a worker; what the socket gives. Out: messages, and when to connect again.
Guaranteed: after a broken connection reading goes on where it stopped, so that no message is lost and none comes twice;
tries in a row are bounded. Refused: `ServiceError` with the service's code when it does not let the reader in, also
when a key ends during the stream, and `unreadable-answer` for what is no message; `UnreachableError` when nobody
answers, or when the stream broke before its first message and no number to go on from is known. Before:
`client_models.py`. After: `client.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from websockets.exceptions import InvalidStatus, WebSocketException

from lexorder.api.client_models import Message, ServiceError, UnreachableError

BROKEN: Final = (OSError, WebSocketException)
"""What a socket raises when it breaks, or never opens."""

BUSY: Final = frozenset({429, 503})
"""Answers that mean: later."""

TRIES: Final = 4
"""Times a call is sent that may be sent again, and times a stream is opened in a row."""

PAUSE_S: Final = 0.1
"""Pause before the second try; it doubles."""

OPTIONS: Final[Mapping[str, Any]] = {"max_size": None, "compression": None}
"""Of the socket: the record of a batch or a rebalance has no bound that a reader could name."""


class Following:
    """How far a reader is. `shard` is the worker whose numbers these are, where there are several."""

    def __init__(self, topics: Sequence[str], start: int | None, shard: int | None = None) -> None:
        self.topics = list(topics)
        self.following = start
        self.shard = shard
        self._listened = False
        self._failures = 0

    def hello(self) -> bytes:
        """The first message of a connection."""
        self._listened = True
        asked = {"topics": self.topics, "from": self.following, "shard": self.shard}
        return msgspec.json.encode({name: value for name, value in asked.items() if value is not None})

    def took(self, text: str | bytes) -> Message | None:
        """A message of the stream, None when the service cuts it: connect again. Raises ServiceError."""
        try:
            document = msgspec.json.decode(text, type=dict[str, Any])
            if document.get("error") == "slow-reader":
                self._goes_on(msgspec.convert(document.get("resume_from"), int))
                return None
            if "status" in document and "code" in document:
                raise ServiceError(document["status"], document["code"], document.get("detail", ""), document)
            message = msgspec.convert(document, Message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            words = "The message is none of this service's: something between changed it."
            raise ServiceError(200, "unreadable-answer", words, {}) from None
        self._goes_on(message.seq + 1)
        return message

    def _goes_on(self, number: int) -> None:
        """The service was heard, and this is the number to go on from."""
        self._failures, self.following = 0, number

    def ended(self, error: Exception | None = None) -> float:
        """The connection ended: seconds before the next one. Raises ServiceError, UnreachableError."""
        self._failures += 1
        if isinstance(error, InvalidStatus):
            refusal = problem_in(
                error.response.status_code, bytes(error.response.body or b""), error.response.reason_phrase
            )
            if refusal.status not in BUSY or self._failures >= TRIES:
                raise refusal
        elif self._listened and self.following is None:
            raise UnreachableError("unreachable", "The stream broke before its first message.")
        elif self._failures >= TRIES:
            what = "it closes the stream" if error is None else type(error).__name__
            raise UnreachableError("unreachable", f"The service did not answer: {what}.")
        return float(PAUSE_S * 2 ** (self._failures - 1))


def problem_in(status: int, content: bytes, reason: str) -> ServiceError:
    """The refusal an answer holds; `http-502` and the like for one that is not the service's."""
    try:
        document = msgspec.json.decode(content)
        code, detail = str(document["code"]), str(document.get("detail", document.get("title", "")))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return ServiceError(status, f"http-{status}", reason, {})
    return ServiceError(status, code, detail, document)
