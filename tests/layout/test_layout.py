"""The code keeps the promises of its layout, and each check notices when one is broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.layout import checks

ROOT = Path(__file__).resolve().parents[2]

# Files of engine/ that may hold a float, each with its reason.
FLOATS_ALLOWED: dict[str, str] = {}
# Files of engine/ that may read a clock, each with its reason.
CLOCKS_ALLOWED: dict[str, str] = {}


def clock_reads(root: Path) -> list[str]:
    return checks.clock_reads(root, CLOCKS_ALLOWED)


def floats(root: Path) -> list[str]:
    return checks.floats(root, FLOATS_ALLOWED)


CHECKS: list[Callable[[Path], list[str]]] = [
    checks.upward_imports,
    checks.import_cycles,
    checks.long_files,
    checks.long_functions,
    checks.vague_names,
    checks.missing_docstrings,
    clock_reads,
    floats,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_code_keeps_its_promise(check):
    assert check(ROOT) == []


def test_the_checks_see_the_code():
    assert len(checks.sources(ROOT)) > 10
    assert any(targets for targets in checks.import_graph(ROOT).values())


@pytest.mark.parametrize("allowed", [FLOATS_ALLOWED, CLOCKS_ALLOWED], ids=["floats", "clocks"])
def test_an_exception_names_a_file_and_gives_its_reason(allowed):
    for name, reason in allowed.items():
        assert (ROOT / name).is_file()
        assert len(reason.split()) > 3


def planted(root: Path, files: dict[str, str]) -> Path:
    """A small checkout under `root` with the given files; a module docstring is added."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Planted."""\n{text}\n', encoding="utf-8")
    return root


LONG_FUNCTION = "def long():\n    '''Long.'''\n" + "    x = 1\n" * 69

VIOLATIONS: list[tuple[Callable[[Path], list[str]], dict[str, str], str]] = [
    (
        checks.upward_imports,
        {"engine/a.py": "from lexorder import api"},
        "engine/a.py:2: engine may not import `lexorder.api`",
    ),
    (
        checks.upward_imports,
        {"optimizers/a.py": "def f():\n    import lexorder.api.wire"},
        "optimizers/a.py:3: optimizers may not import `lexorder.api.wire`",
    ),
    (
        checks.upward_imports,
        {"engine/a.py": "from ..optimizers.rows import row"},
        "engine/a.py:2: engine may not import `lexorder.optimizers.rows.row`",
    ),
    (
        checks.upward_imports,
        {"api/a.py": "import engine.parse"},
        "api/a.py:2: `engine.parse` must be imported from lexorder",
    ),
    (
        checks.import_cycles,
        {
            "engine/a.py": "from lexorder.engine.b import thing",
            "engine/b.py": "def f():\n    from lexorder.engine import a",
        },
        "lexorder.engine.a: imports itself through lexorder.engine.b",
    ),
    (
        checks.long_files,
        {"engine/a.py": "x = 1\n" * 499},
        "engine/a.py:1: 501 lines, at most 500",
    ),
    (
        checks.long_functions,
        {"engine/a.py": LONG_FUNCTION},
        "engine/a.py:2: `long` has 71 lines, at most 70",
    ),
    (
        checks.vague_names,
        {"engine/order_utils.py": ""},
        "engine/order_utils.py:1: `order_utils` does not say what it is",
    ),
    (
        checks.vague_names,
        {"api/common/a.py": ""},
        "api/common:1: `common` does not say what it is",
    ),
    (
        checks.missing_docstrings,
        {"engine/a.py": "class Order:\n    '''An order.'''\n    def fill(self): ..."},
        "engine/a.py:4: `fill` has no docstring",
    ),
    (
        clock_reads,
        {"engine/a.py": "from datetime import datetime as dt\nx = dt.now()"},
        "engine/a.py:3: reads the clock by `datetime.now`",
    ),
    (
        clock_reads,
        {"engine/a.py": "import datetime\nx = datetime.date.today()"},
        "engine/a.py:3: reads the clock by `date.today`",
    ),
    (
        clock_reads,
        {"engine/expert/a.py": "from time import time\nx = time()"},
        "engine/expert/a.py:3: reads the clock by `time.time`",
    ),
    (
        floats,
        {"engine/a.py": "limit = 0.05"},
        "engine/a.py:2: float literal `0.05`",
    ),
    (
        floats,
        {"engine/a.py": "def f(x):\n    '''F.'''\n    return float(x)"},
        "engine/a.py:4: calls `float(x)`",
    ),
]


@pytest.mark.parametrize(("check", "files", "expected"), VIOLATIONS)
def test_a_planted_violation_is_found(check, files, expected, tmp_path):
    assert check(planted(tmp_path, files)) == [expected]


def test_a_module_without_docstring_is_found(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.py").write_text("x = 1\n", encoding="utf-8")
    assert checks.missing_docstrings(tmp_path) == ["engine/a.py:1: the module has no docstring"]


def test_what_is_allowed_passes(tmp_path):
    root = planted(
        tmp_path,
        {
            "engine/a.py": "def f(x):\n    '''F.'''\n    return isinstance(x, float)",
            "engine/b.py": "from lexorder.engine.a import f\n" + "x = 1\n" * 497,
            "optimizers/c.py": "from lexorder.engine.a import f\ny = 0.5",
            "api/d.py": "import time\nfrom lexorder.optimizers import c\ny = time.time()",
            "engine/e.py": LONG_FUNCTION.removesuffix("    x = 1\n"),
            "engine/manageable.py": "def _f(): ...",
        },
    )
    assert [line for check in CHECKS for line in check(root)] == []


def test_an_exception_silences_only_its_file(tmp_path):
    root = planted(tmp_path, {"engine/a.py": "x = 0.5", "engine/b.py": "x = 0.5"})
    found = checks.floats(root, {"engine/a.py": "because this test says so"})
    assert found == ["engine/b.py:2: float literal `0.5`"]
