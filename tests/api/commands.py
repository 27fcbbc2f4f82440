"""Commands as a person runs them: `lexorder` words to an exit code and what was printed, within this process.

`command("rules", "lint", folder)` goes through `main`, so that errors are worded as on the command line. `said` puts
both streams together; `plain` holds for every outcome: no traceback, no defect, and a mistake says what it is.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lexorder.api import cli

CODED = re.compile(r"(?m)^(?:\S+:\d+:\d+: )?[a-z][a-z0-9-]+: \S")
"""A message with its stable code: `no-ledger: …`, or `file:line:column: code: …`."""

USAGE = re.compile(r"Usage: ")
"""A mistake in the words themselves, told by the library that reads them."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything printed."""
        return self.out + self.err


def command(*words: str | Path | int) -> Ended:
    """Run it."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["lexorder", *map(str, words)]
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code
    finally:
        sys.argv = before
    assert isinstance(code, int), code
    ended_as = Ended(code, out.getvalue(), err.getvalue())
    plain(ended_as)
    return ended_as


def plain(ended: Ended) -> None:
    """What is true of every command, whatever it was given."""
    assert "Traceback" not in ended.said, ended.said
    assert "internal-error" not in ended.said, ended.said
    assert ended.code in {0, 1, 2, 3, 4}, ended


def mistaken(*words: str | Path | int) -> str:
    """The message of a command that must be refused as a mistake: exit code 2, a stable code, nothing on stdout."""
    ended = command(*words)
    assert ended.code == 2, ended
    assert CODED.search(ended.err) or USAGE.search(ended.said), ended
    return ended.err
