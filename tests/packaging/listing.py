"""What pyproject.toml says about the packages, compared with what lies on disk.

An unlisted package or data file works in an editable install, which reads the checkout, and is
missing from the wheel. Each check takes the root of a checkout and returns one line for each
difference.
"""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

TOP_FOLDERS = ("engine", "optimizers", "api", "rules")


def settings(root: Path) -> dict[str, Any]:
    """The whole of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def package_folders(root: Path) -> dict[str, Path]:
    """Folders that hold Python code, by the name they are imported under."""
    folders = {path.parent for top in TOP_FOLDERS for path in (root / top).rglob("*.py")}
    return {f"lexorder.{'.'.join(path.relative_to(root).parts)}": path for path in folders}


def unlisted_packages(root: Path) -> list[str]:
    """Packages on disk that the listing leaves out, and listed ones that are not on disk."""
    listed = settings(root)["tool"]["setuptools"]
    found = package_folders(root)
    lines = [f"{name}: not in packages" for name in found if name not in listed["packages"]]
    for name in listed["packages"]:
        folder = listed["package-dir"].get(name)
        if folder is None or not (root / folder / "__init__.py").is_file():
            lines.append(f"{name}: package-dir does not name a folder with an __init__.py")
    return sorted(lines)


def unlisted_data(root: Path) -> list[str]:
    """Files beside the code that no pattern of package-data takes into the wheel."""
    listed = settings(root)["tool"]["setuptools"]
    shipped = {
        path
        for name, patterns in listed["package-data"].items()
        for pattern in patterns
        for path in (root / listed["package-dir"][name]).glob(pattern)
    }
    return sorted(
        f"{path.relative_to(root).as_posix()}: not in package-data"
        for top in TOP_FOLDERS
        for path in (root / top).rglob("*")
        if path.is_file()
        and path not in shipped
        and path.suffix not in {".py", ".pyc"}
        and not path.name.startswith(".")
    )


def undeclared_imports(root: Path) -> list[str]:
    """Third-party modules that the product imports though no dependency brings them.

    A module that comes with a dependency of a dependency counts as undeclared: it may go away.
    What a file tries under `except ImportError` is optional for that file and does not count.
    """
    declared = {
        _plain(re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0])
        for requirement in settings(root)["project"]["dependencies"]
    }
    brings = packages_distributions()
    lines = set()
    for folder in package_folders(root).values():
        for path in folder.glob("*.py"):
            for module in _required_modules(path):
                known = {_plain(name) for name in brings.get(module, [])}
                ours = module in sys.stdlib_module_names or module == "lexorder"
                if not ours and not known & declared:
                    lines.add(f"{path.relative_to(root).as_posix()}: `{module}` is not declared")
    return sorted(lines)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _required_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    tried = [
        statement
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any("ImportError" in _caught(h) for h in node.handlers)
        for statement in node.body
    ]
    optional = {name for statement in tried for name in _imported(statement)}
    return _imported(tree) - optional


def _imported(tree: ast.AST) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules.add(node.module.split(".")[0])
    return modules


def _caught(handler: ast.ExceptHandler) -> str:
    return ast.unparse(handler.type) if handler.type else ""
