"""A process of its own for expert files nobody has approved yet.

In: the two texts of a file and the vocabulary's path, as one JSON document on standard input. Out: one JSON document:
the problems found, or the file's hash and which of its tests fail. Guaranteed: once it has read its request the process
opens no file, writes none, and has little memory and time; whatever happens to it, the caller gets an answer. Refused:
`ExpertError` `expert-worker` when the process dies or is late. Why a process: CLIPS leaves the process when memory runs
out, and recursion in it is not bounded by anything else. Before: `sandbox.py`. After: `lexorder check`, the API.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.errors import ExpertError, RuleFileError
from lexorder.engine.expert.sandbox import ExpertRule, all_functions, expert_file, failures
from lexorder.engine.facts import fact
from lexorder.engine.names import Vocabulary

SECONDS_MAX = 20
MEMORY_MAX = 1 << 30
"""Bytes of address space: Python itself takes most of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial in the worker found. `accepted` when there is neither a problem nor a failing test."""

    hash: str
    problems: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether a person may approve it."""
        return not self.problems and not self.failures


def trial(sidecar: str, clp: str, vocabulary: Path) -> Trial:
    """Load an expert file and run its tests in a confined process. Raises ExpertError `expert-worker`."""
    request = json.dumps({"sidecar": sidecar, "clp": clp, "vocabulary": str(vocabulary)})
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module, no text of the file among the arguments
            command, input=request, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise ExpertError("expert-worker", f"the trial of the file ended badly ({type(error).__name__})") from None
    return Trial(answer["hash"], tuple(answer["problems"]), tuple(answer["failures"]))


def _confine() -> None:
    """Give up what a trial does not need. The hard limits cannot be raised again."""
    for what, limit in (
        (resource.RLIMIT_CPU, SECONDS_MAX // 2),
        (resource.RLIMIT_AS, MEMORY_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(what, (limit, limit))


def answer(request: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The worker's answer to one request."""
    try:
        file = expert_file(request["sidecar"], request["clp"], vocabulary)
        tests = [
            ({name: fact(vocabulary.names[name], text, name) for name, text in given.items()}, expect)
            for given, expect in file.tests
        ]
        rule = ExpertRule(file, vocabulary)
        return {"hash": file.hash, "problems": [], "failures": list(failures(rule, tests))}
    except RuleFileError as error:
        return {"hash": "", "problems": [p.render() for p in error.problems], "failures": []}
    except ExpertError as error:
        return {"hash": "", "problems": [str(error)], "failures": []}


def main(arguments: Sequence[str] = ()) -> int:
    """Read a request, confine the process, answer."""
    del arguments
    request = json.load(sys.stdin)
    vocabulary = vocabulary_file.load(Path(request["vocabulary"]))
    all_functions()
    _confine()
    json.dump(answer(request, vocabulary), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
