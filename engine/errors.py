"""Every error lexorder raises, one class per cause.

    LexorderError              has a stable `code` and a message for the user; never a traceback, never an echo of a
      |                        whole hostile input
      +-- RuleFileError        a rule file or the vocabulary is wrong, with position (source.py, parse.py, typecheck.py)
      +-- SnapshotError        facts that cannot be taken: unknown name, out of bounds, finer than the scale
      +-- UsageError           a call or command line that makes no sense
      +-- ExpertError          CLIPS refused, erred, or ran out of firings or time: becomes `undecided`
      +-- SolverError          a solver failed or ran out of time: becomes a refusal

In: facts about the failure as fields. Out: text. Guaranteed: user text is cut and shown between backticks.
Before: nothing. After: everything.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOWN_MAX = 60
"""At most this many characters of the user's text are repeated in a message."""


def shown(text: str) -> str:
    """User text made safe to repeat: printable characters only, cut at `SHOWN_MAX`, in backticks."""
    clean = "".join(c if c.isprintable() else "·" for c in text[: SHOWN_MAX + 1])
    return f"`{clean[:SHOWN_MAX]}…`" if len(text) > SHOWN_MAX else f"`{clean}`"


class LexorderError(Exception):
    """Base class. `code` is stable and documented; `message` addresses the person who can mend the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a rule file.

    `nearest` is the closest known name, or empty. `render` gives `file:line:column: code: message`.
    """

    code: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    nearest: str = ""

    def render(self) -> str:
        """The finding on one line, the way editors and compilers print it."""
        hint = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}{hint}"


class RuleFileError(LexorderError):
    """One or more problems in rule files. All of them are kept, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(first.code, first.render() + more)
        self.problems = problems


class SnapshotError(LexorderError):
    """Facts that cannot be taken over exactly; `where` is the path of the fact, e.g. `positions[3].quantity`."""

    def __init__(self, code: str, where: str, message: str) -> None:
        super().__init__(code, f"{where}: {message}")
        self.where = where


class UsageError(LexorderError):
    """A call or command line that makes no sense."""


class ExpertError(LexorderError):
    """The expert system could not give a trustworthy answer."""


class SolverError(LexorderError):
    """A solver failed, timed out or returned something that the exact check refused."""
