"""Adapters by kind of case, merged from every module of this folder.

Each module exports `ADAPTERS`: from the `rule` of a case to a function that translates its names into a snapshot and
orders and asks the engine. No regulation and no figure of law belongs here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from tests.vectors.case import Case


def merged() -> dict[str, Callable[[Case], object]]:
    """All adapters. Raises ValueError when two modules claim one kind of case."""
    found: dict[str, Callable[[Case], object]] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        adapters = importlib.import_module(f"{__name__}.{module}").ADAPTERS
        twice = found.keys() & adapters.keys()
        if twice:
            raise ValueError(f"{module} claims {', '.join(sorted(twice))}, which another module has")
        found |= adapters
    return found
