"""`lexorder demo`: a guided tour on real prices.

In: a folder to write to. Out: the tour in the terminal, and `orders.json`, `certificate.json`, `report.html`.
Guaranteed: nothing heavy is imported before the command runs. Refused (`UsageError`): see `demo_tour.py`. Before:
`demo_tour.py`. After: `cli.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for orders, certificate and report.")] = Path(
        "demo-output"
    ),
    weeks: Annotated[int, typer.Option(min=12, max=200, help="Weeks the models are walked forward.")] = 60,
) -> None:
    """Real prices to signals to proven orders, and what is refused."""
    from lexorder.api.demo_tour import show
    from lexorder.api.terminal import console

    show(console(), out, weeks)
