"""What is on disk is what ships, and a second copy of a module cannot be made."""

import re
import subprocess
import sys
from importlib import import_module, resources
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path

import pytest

from tests.packaging import listing

ROOT = Path(__file__).resolve().parents[2]

PYPROJECT = """
[project]
dependencies = ["PyYAML>=6", "numpy"]
[tool.setuptools]
packages = ["lexorder.engine"]
[tool.setuptools.package-dir]
"lexorder.engine" = "engine"
[tool.setuptools.package-data]
"lexorder.engine" = ["*.lark"]
"""


def planted(root: Path, files: dict[str, str]) -> Path:
    """A small checkout under `root`: the listing above, `engine/` and the given files."""
    for name, text in {"pyproject.toml": PYPROJECT, "engine/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_every_package_on_disk_is_listed():
    assert listing.unlisted_packages(ROOT) == []


def test_every_data_file_is_listed():
    assert listing.unlisted_data(ROOT) == []


def test_every_import_is_declared():
    assert listing.undeclared_imports(ROOT) == []


def test_an_unlisted_package_is_found(tmp_path):
    root = planted(tmp_path, {"engine/ledger/chain.py": ""})
    assert listing.unlisted_packages(root) == ["lexorder.engine.ledger: not in packages"]


def test_a_listed_package_that_is_not_there_is_found(tmp_path):
    root = planted(tmp_path, {})
    (root / "engine" / "__init__.py").unlink()
    assert listing.unlisted_packages(root) == [
        "lexorder.engine: package-dir does not name a folder with an __init__.py"
    ]


def test_an_unlisted_data_file_is_found(tmp_path):
    root = planted(tmp_path, {"engine/grammar.lark": "", "engine/extra.lark.txt": ""})
    assert listing.unlisted_data(root) == ["engine/extra.lark.txt: not in package-data"]


def test_an_undeclared_import_is_found(tmp_path):
    code = "import json, numpy.linalg\nimport yaml\ndef f():\n    import pytest\n"
    root = planted(tmp_path, {"engine/a.py": code})
    assert listing.undeclared_imports(root) == ["engine/a.py: `pytest` is not declared"]


def test_an_optional_import_needs_no_declaration(tmp_path):
    code = "try:\n    import pytest\nexcept ImportError:\n    raise SystemExit\nimport pytest.mark\n"
    assert listing.undeclared_imports(planted(tmp_path, {"engine/a.py": code})) == []


def test_the_command_leads_to_a_function():
    (command,) = entry_points(group="console_scripts", name="lexorder")
    assert callable(command.load())


@pytest.mark.parametrize("name", listing.settings(ROOT)["tool"]["setuptools"]["packages"])
def test_a_listed_package_can_be_imported_and_read(name):
    folder = listing.settings(ROOT)["tool"]["setuptools"]["package-dir"][name]
    assert import_module(name).__doc__
    assert resources.files(name).joinpath("__init__.py").is_file()
    assert Path(str(resources.files(name))).resolve() == ROOT / folder


@pytest.mark.parametrize("name", listing.TOP_FOLDERS)
def test_a_bare_import_is_refused(name):
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: `{name}` is only importable as `lexorder.{name}`: "
        f"run `make setup`, then write `import lexorder.{name}`"
    )


@pytest.mark.parametrize("name", ["engine", "optimizers", "api"])
def test_the_type_checker_sees_the_checkout(name):
    link = ROOT / ".typing" / "lexorder" / name
    assert str(link.readlink()) == f"../../{name}"
    assert link.resolve() == ROOT / name


def test_the_lock_pins_versions_and_names_no_host():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!+]+", pin)] == []
    assert [line for line in lines if "://" in line or "--" in line] == []


def test_the_lock_holds_every_declared_requirement():
    project = listing.settings(ROOT)["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=]", name)[0].lower().replace("_", "-") for name in declared}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {name.lower().replace(".", "-") for name in re.findall(r"^([\w.-]+)==", text, re.M)}
    assert {name.replace(".", "-") for name in names} <= pinned
