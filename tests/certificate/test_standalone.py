"""The verifier as an auditor uses it: one file, copied anywhere, run by a bare Python; and what it is made of."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexorder.engine import verify as module
from lexorder.engine.certificate import (
    Bound,
    Certificate,
    End,
    Factor,
    Function,
    Name,
    Objective,
    Order,
    Problem,
    Row,
    Safe,
)
from lexorder.engine.verify import CODES, TEXT, verify
from tests.certificate.test_refusals import CASES, conflict, sound

SOURCE = Path(module.__file__).read_text("utf-8")
TREE = ast.parse(SOURCE)
LINES_MAX = 300


@pytest.fixture
def copied(tmp_path) -> Path:
    """The verifier alone in a folder of its own."""
    return Path(shutil.copy(module.__file__, tmp_path / "check_it.py"))


def run(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # -I: isolated from the checkout and the environment. -S: no site-packages.
    command = [sys.executable, "-I", "-S", "-W", "error", str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=script.parent)


def write(folder: Path, text: str) -> Path:
    path = folder / "certificate.json"
    path.write_text(text, "utf-8")
    return path


def test_a_valid_certificate_is_explained_and_exits_with_0(copied, tmp_path):
    done = run(copied, write(tmp_path, sound().text()))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "VALID"
    assert [line.split(":")[0] for line in lines[:-1]] == ["problem", "safe", "end", "bound"]


def test_a_proof_that_nothing_is_feasible_names_what_is_in_conflict(copied, tmp_path):
    done = run(copied, write(tmp_path, conflict().text()))
    assert done.returncode == 0
    assert "low-or-high" in done.stdout


@pytest.mark.parametrize("code", ["row-broken", "hash-mismatch", "wrong-shape", "not-json", "not-ascii", "too-deep"])
def test_a_refusal_names_its_code_and_exits_with_1_or_2(copied, tmp_path, code):
    text = next(text for c, _, text in CASES if c == code)
    done = run(copied, write(tmp_path, text))
    assert done.returncode == (2 if code in TEXT.split() else 1)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith(f"INVALID {code}: ")


def test_what_was_checked_before_the_refusal_is_said_too(copied, tmp_path):
    text = next(text for c, w, text in CASES if (c, w) == ("bound-not-proved", "too high"))
    lines = run(copied, write(tmp_path, text)).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["problem", "safe", "end", "INVALID bound-not-proved"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"\x00" * 100, "ACMÉ".encode(), b"\x80" * 10])
def test_bytes_that_are_no_text_are_unreadable(copied, tmp_path, content):
    path = tmp_path / "bytes"
    path.write_bytes(content)
    done = run(copied, path)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("INVALID not-")


@pytest.mark.parametrize("arguments", [(), ("missing.json",), (".",), ("a", "b")])
def test_anything_but_one_file_is_unreadable(copied, arguments):
    done = run(copied, *arguments)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("INVALID no-file: ")


def test_a_file_over_the_limit_is_not_parsed(copied, tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(module.CHARACTERS_MAX + 1)  # sparse: takes no room on disk
    done = run(copied, path)
    assert done.returncode == 2
    assert done.stdout.startswith("INVALID too-large: ")


def test_it_runs_in_place_in_the_checkout_too(tmp_path):
    assert run(Path(module.__file__), write(tmp_path, sound().text())).stdout.endswith("VALID\n")


def test_the_file_is_short_enough_to_be_read():
    assert len(SOURCE.splitlines()) < LINES_MAX
    assert max(map(len, SOURCE.splitlines())) <= 120


def imported() -> set[str]:
    names = set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


def test_only_the_standard_library_is_imported():
    assert {name.split(".")[0] for name in imported()} <= sys.stdlib_module_names
    assert imported() <= {
        "__future__", "bisect", "hashlib", "itertools", "json", "pathlib", "re", "sys", "typing"
    }  # fmt: skip


def test_there_is_no_arithmetic_but_that_of_integers():
    for node in ast.walk(TREE):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        assert not isinstance(node, ast.Div), "true division gives a float"
        if isinstance(node, ast.Name):
            assert node.id not in {"float", "complex", "round", "Decimal", "Fraction", "eval", "exec", "__import__"}
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"Decimal", "Fraction", "sqrt", "truediv"}


def test_powers_have_a_constant_exponent():
    for node in ast.walk(TREE):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            assert isinstance(node.right, ast.Constant)
            assert isinstance(node.right.value, int)
            assert node.right.value > 0


def functions() -> list[ast.FunctionDef]:
    return [node for node in ast.walk(TREE) if isinstance(node, ast.FunctionDef)]


def test_public_things_have_docstrings():
    public = [f for f in functions() if f in TREE.body and not f.name.startswith("_")]
    public_classes = [n for n in TREE.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    assert {f.name for f in public} == {"verify", "main"}
    assert ast.get_docstring(TREE)
    assert all(map(ast.get_docstring, public))
    assert all(map(ast.get_docstring, public_classes))


def test_no_function_is_long():
    assert all((f.end_lineno or 0) - f.lineno < 70 for f in functions())


def test_it_shares_no_code_with_the_writer():
    folder = Path(module.__file__).parent
    writer = "".join(path.read_text("utf-8") for path in sorted(folder.glob("certificate*.py")))
    ours = {ast.dump(statement) for f in functions() for statement in f.body if not isinstance(statement, ast.Expr)}
    theirs = {
        ast.dump(statement)
        for node in ast.walk(ast.parse(writer.replace("from __future__ import annotations", "")))
        if isinstance(node, ast.FunctionDef)
        for statement in node.body
    }
    trivial = {ast.dump(ast.parse("def f():\n    return result").body[0].body[0])}  # type: ignore[attr-defined]
    assert not ours & theirs - trivial


def large(names: int, rows: int) -> Certificate:
    """A dense problem of the size that is traded: every row has a function of every name."""
    universe = tuple(Name(f"N{n}", n % 97, 0, 2_000) for n in range(names))

    def row(r: int) -> Row:
        cost = [
            Function.around(u.held, 7 + r, 9) if r % 5 == 0 else Function.linear(r * 977 + u.held) for u in universe
        ]
        return Row(f"row/{r}", 10**12, tuple(enumerate(cost)), passive=True)

    objective = Objective(
        "1e-12 of NAV",
        tuple((n, Function.around(u.held, 3, 4)) for n, u in enumerate(universe)),
        tuple(Factor(2, 5, tuple((n, (n * k) % 19 - 9) for n in range(names))) for k in range(20)),
    )
    problem = Problem(universe, (), tuple(row(r) for r in range(rows)), (), objective)
    sales = tuple(Order(n, -1) for n, u in enumerate(universe) if n % 2 and u.held)
    waves = (sales, tuple(Order(n, 50) for n in range(0, names, 2)))
    final = problem.holdings(waves)
    points = tuple(factor.exposure(final) for factor in objective.factors)
    bound = Bound(7, tuple((r, 1) for r in range(rows)), points, -(10**20), objective.value(final))
    return Certificate("ab" * 32, "cd" * 32, problem, waves, (Safe(), End(), bound))


def test_a_thousand_names_and_fifty_dense_rows_take_about_a_second():
    text = large(1_000, 50).text()
    start = time.process_time()
    assert verify(text).valid
    # Measured 0.55 s on two slow cores; the limit only catches a change of order.
    assert time.process_time() - start < 5


def test_the_time_to_refuse_hostile_work_is_bounded():
    start = time.process_time()
    for code, _, text in CASES:
        if code in ("too-much-work", "too-deep"):
            assert verify(text).code == code
    assert time.process_time() - start < 30


def test_the_closed_table_has_no_duplicates_and_starts_with_what_cannot_be_read():
    assert len(CODES) == len(set(CODES)) == 28
    assert CODES[: len(TEXT.split())] == TEXT.split()
