"""Processes for `test_child_process.py`: one that does what it is told, and some that no caller should meet.

Apart from the tests, so that a process that starts imports nothing else.
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

from lexorder.api.service.child_process import Say, jobs_of, ready

LONG_S = 120.0


class Answered(int):
    """What the caller wants; any other number is a word on the way."""


def obey(wire: Connection, start: int = 0) -> None:
    """The other process: does what a job says, `start` added to what it answers."""
    jobs_of(wire, lambda job, say: _done(wire, job, say, start))


def _done(wire: Connection, job: tuple[str, int], say: Say, start: int) -> object:
    word, number = job
    if word == "sleep":
        time.sleep(number)
    elif word == "exit":
        os._exit(number)
    elif word == "raise":
        raise SystemExit(number)  # without the words a defect would leave on the terminal
    elif word == "garbage":
        wire.send_bytes(b"\x80\x05this is no pickle" * number)
    elif word == "half":  # the length of a message that never comes whole
        os.write(wire.fileno(), (10_000).to_bytes(4, "big") + b"x" * number)
        time.sleep(LONG_S)
    elif word == "talk":
        for n in range(number):
            say(n)
    elif word == "twice":  # an answer that nobody asked for
        say(Answered(-1))
    return {"other": number} if word == "other" else Answered(start + number)


def nonsense(wire: Connection, *_given: object) -> None:
    """Answers everything with bytes that are no pickle."""
    ready(wire)
    wire.recv()
    wire.send_bytes(b"nonsense")


def silent(wire: Connection, *_given: object) -> None:
    """Takes the job and says nothing."""
    ready(wire)
    wire.recv()
    time.sleep(LONG_S)


def never(_wire: Connection, *_given: object) -> None:
    """Is never ready."""
    time.sleep(LONG_S)


def early(wire: Connection, *_given: object) -> None:
    """Says something else before it is ready."""
    wire.send("good morning")
    time.sleep(LONG_S)


def slow_to_start(wire: Connection, seconds: float) -> None:
    """Does what it is told, once it has imported what takes so long."""
    time.sleep(seconds)
    obey(wire)


def gone(_wire: Connection, *_given: object) -> None:
    """Ends at once."""
