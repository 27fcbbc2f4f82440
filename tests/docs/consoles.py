"""Console blocks of the manual: commands with the output they are said to have.

`blocks(text)` reads them, `run(command, place)` runs one the way a reader would, from the top of a checkout: `checkout`
makes a folder like it that a test has to itself, since commands write files and later ones read them. A line of only
`…` in a block stands for lines left out.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = "…"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Command:
    """A command and what it prints, its exit code in a last line `(exit code N)` when it is not 0."""

    line: str
    output: str


def blocks(text: str) -> list[Command]:
    """The commands of all console blocks of a Markdown text, `make` left out."""
    found = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, _, output = part.partition("\n")
            if not line.startswith("make "):
                found.append(Command(line.split("  #")[0].strip(), output.rstrip()))
    return found


def checkout(place: Path) -> Path:
    """A folder in which everything of the checkout is found under its name, and nothing that commands made."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in {line.partition("/")[0] for line in tracked.split("\0") if line}:
        (place / name).symlink_to(ROOT / name)
    return place


def run(line: str, place: Path) -> str:
    """What a command prints there, standard error included; lines keep no blanks at their end."""
    words = shlex.split(line)
    beside = Path(sys.executable).parent
    program = {"lexorder": [str(beside / "lexorder")], "python": [sys.executable]}[words[0]]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [*program, *words[1:]], cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [text.rstrip() for text in (done.stdout + done.stderr).splitlines()]
    if done.returncode:
        lines.append(f"(exit code {done.returncode})")
    return "\n".join(lines).strip("\n")


def matches(said: str, printed: str) -> bool:
    """Whether the output is as said, where a line `…` may stand for any lines."""
    lines = ["(?:.*\\n)*" if line == LEFT_OUT else re.escape(line + "\n") for line in said.split("\n")]
    return re.fullmatch("".join(lines), printed + "\n") is not None


def run_example(code: str) -> None:
    """Run Python of a page; every expression marked `# → value` must give that value, and there must be one."""
    lines, scope, seen = code.splitlines(), dict[str, object](), 0
    for statement in ast.parse(code).body:
        marked = lines[(statement.end_lineno or 1) - 1].partition("# → ")[2].strip()
        if isinstance(statement, ast.Expr) and marked:
            value = eval(compile(ast.Expression(statement.value), "<page>", "eval"), scope)
            assert str(value) == marked
            seen += 1
        else:
            exec(compile(ast.Module([statement], []), "<page>", "exec"), scope)
    assert seen == code.count("# → ") > 0
