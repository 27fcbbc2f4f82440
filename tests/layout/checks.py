"""What the layout of the code promises, as functions from a source tree to its violations.

Every check takes the root of a checkout and returns one line for each violation, the place
first; an empty list means that the promise is kept. They read syntax trees and never import the
code, so they can be tried on a planted violation in a temporary folder.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

LAYERS = ("engine", "optimizers", "api")  # each may import itself and those before it
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "managers"})
CLOCKS = frozenset({
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns",
    "time.perf_counter", "time.perf_counter_ns", "time.gmtime", "time.localtime",
})  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path) -> list[Path]:
    """Every Python file of the product under `root`, in a fixed order."""
    return sorted(path for layer in LAYERS for path in (root / layer).rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    """The syntax tree of `path`."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def at(root: Path, path: Path, line: int) -> str:
    """A place as editors jump to it, such as `engine/parse.py:12`."""
    return f"{path.relative_to(root).as_posix()}:{line}"


def module_name(root: Path, path: Path) -> str:
    """The name under which `path` is imported, such as `lexorder.engine.parse`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("lexorder", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imports(path: Path, module: str) -> Iterator[tuple[str, int]]:
    """Names imported anywhere in `path`, also inside functions, each with its line.

    `from a import b` yields `a.b`, because `b` may be a module; the caller shortens it.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def upward_imports(root: Path) -> list[str]:
    """Imports against the direction engine ← optimizers ← api, and bare `import engine`."""
    found = []
    for path in sources(root):
        own = LAYERS.index(path.relative_to(root).parts[0])
        for name, line in imports(path, module_name(root, path)):
            first, *rest = name.split(".")
            if first in LAYERS:
                found.append(f"{at(root, path, line)}: `{name}` must be imported from lexorder")
            elif first == "lexorder" and rest and rest[0] in LAYERS[own + 1 :]:
                found.append(f"{at(root, path, line)}: {LAYERS[own]} may not import `{name}`")
    return found


def import_graph(root: Path) -> dict[str, set[str]]:
    """Each module with the modules of the product that it imports."""
    names = {module_name(root, path): path for path in sources(root)}
    graph: dict[str, set[str]] = {}
    for module, path in names.items():
        graph[module] = set()
        for name, _ in imports(path, module):
            target = name if name in names else name.rpartition(".")[0]
            if target in names and target != module:
                graph[module].add(target)
    return graph


def import_cycles(root: Path) -> list[str]:
    """Modules that import each other in a ring, each ring once, function-level imports included."""
    graph = import_graph(root)
    reach = {module: _reachable(graph, module) for module in graph}
    rings = {
        tuple(sorted(other for other in reach[module] if module in reach[other]))
        for module in graph
        if module in reach[module]
    }
    return [f"{ring[0]}: imports itself through {', '.join(ring[1:])}" for ring in sorted(rings)]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(graph[module])
    return seen


def long_files(root: Path) -> list[str]:
    """Files longer than `FILE_LINES_MAX` lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(root)}
    return [
        f"{at(root, path, 1)}: {size} lines, at most {FILE_LINES_MAX}"
        for path, size in sizes.items()
        if size > FILE_LINES_MAX
    ]


def long_functions(root: Path) -> list[str]:
    """Functions longer than `FUNCTION_LINES_MAX` lines, docstring and signature included."""
    found = []
    for path in sources(root):
        for node in ast.walk(parsed(path)):
            if isinstance(node, Function):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    found.append(
                        f"{at(root, path, node.lineno)}: `{node.name}` has {size} lines, at most {FUNCTION_LINES_MAX}"
                    )
    return found


def vague_names(root: Path) -> list[str]:
    """Files and folders whose name, or a word in it, says nothing about what they hold."""
    folders = {parent for path in sources(root) for parent in path.parents if parent != root}
    inside = {path for path in (*sources(root), *folders) if root in path.parents}
    return [
        f"{at(root, path, 1)}: `{path.stem}` does not say what it is"
        for path in sorted(inside)
        if VAGUE_NAMES & set(path.stem.lower().split("_"))
    ]


def missing_docstrings(root: Path) -> list[str]:
    """Public modules, classes, functions and methods without a docstring.

    What is nested in a function is private to it; a name that starts with `_` is private, and so
    is everything in it. Overload stubs and property setters are described by their main form.
    """
    found = []
    for path in sources(root):
        tree = parsed(path)
        if not ast.get_docstring(tree):
            found.append(f"{at(root, path, 1)}: the module has no docstring")
        found.extend(f"{at(root, path, line)}: `{name}` has no docstring" for name, line in _bare(tree))
    return found


def _bare(parent: ast.Module | ast.ClassDef) -> Iterator[tuple[str, int]]:
    for node in parent.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _described_elsewhere(node):
            yield node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from _bare(node)


def _described_elsewhere(node: Function | ast.ClassDef) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter", "deleter"})


def clock_reads(root: Path, allowed: Mapping[str, str]) -> list[str]:
    """Uses of a clock inside engine/, where time is a given of the snapshot.

    `allowed` maps a file such as `engine/ledger/chain.py` to the reason why it may.
    """
    found = []
    for path in _engine_files(root, allowed):
        local = _local_names(parsed(path))
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute | ast.Name):
                words = ast.unparse(node).split(".")
                name = ".".join([*local.get(words[0], words[0]).split("."), *words[1:]][-2:])
                if name in CLOCKS:
                    found.append(f"{at(root, path, node.lineno)}: reads the clock by `{name}`")
    return found


def _local_names(tree: ast.Module) -> dict[str, str]:
    """What a file calls by another name or without its module: `{"now": "time.time"}`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def floats(root: Path, allowed: Mapping[str, str]) -> list[str]:
    """Float literals and `float(...)` inside engine/, where every number is exact.

    `allowed` maps a file to the reason why it may. Naming the type, as in
    `isinstance(x, float)` which refuses one, is no use of it.
    """
    found = []
    for path in _engine_files(root, allowed):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
                found.append(f"{at(root, path, node.lineno)}: float literal `{node.value}`")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
                found.append(f"{at(root, path, node.lineno)}: calls `{ast.unparse(node)}`")
    return found


def _engine_files(root: Path, allowed: Mapping[str, str]) -> list[Path]:
    return [
        path for path in sorted((root / "engine").rglob("*.py")) if path.relative_to(root).as_posix() not in allowed
    ]
