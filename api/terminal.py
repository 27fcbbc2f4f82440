"""Where commands print: a terminal as wide as it is, a file or pipe as wide as its tables need.

Out: a Rich console. Guaranteed: `COLUMNS` decides where it is set; colours only on a terminal and without `NO_COLOR`.
Before: nothing. After: `cli_check.py`, `cli_rebalance.py`, `cli_demo.py`.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDTH_PIPED = 110
"""Characters a line when the output is no terminal: the widest table unbroken, and still readable side by side."""


def console() -> Console:
    """The console for a command's output."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=WIDTH_PIPED if piped else None)
