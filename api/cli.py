"""The `lexorder` command.

In: a command line. Out: text and an exit code. Guaranteed: an error of lexorder's own becomes one clear message and
exit code 2, never a traceback; each command stands in a file of its own and is only registered here.
Before: `cli_*.py`. After: nothing; `main` is the entry point.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Annotated

import typer

from lexorder.api.cli_check import check
from lexorder.api.cli_demo import demo
from lexorder.api.cli_keys import app as keys
from lexorder.api.cli_ledger import app as ledger
from lexorder.api.cli_react import react
from lexorder.api.cli_rebalance import rebalance
from lexorder.api.cli_replay import replay
from lexorder.api.cli_rules import app as rules
from lexorder.api.cli_serve import serve
from lexorder.engine.errors import LexorderError, RuleFileError

USAGE_ERROR = 2
"""Exit code for input that cannot be used."""

UNDECIDED = 4
"""Exit code when lexorder itself fails: it could not tell, which means no."""

REPORT = "This is a defect of lexorder: report it with the command and its input files."

app = typer.Typer(
    name="lexorder",
    help="Trading rules written once: they decide every order, steer the optimizer and can be proved.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lexorder {installed('lexorder')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options before the command; `version` is handled by its callback."""


app.add_typer(keys, name="keys")
app.add_typer(ledger, name="ledger")
app.add_typer(rules, name="rules")
app.command()(check)
app.command()(demo)
app.command()(react)
app.command()(rebalance)
app.command()(replay)
app.command()(serve)


def main() -> None:
    """Run the command line; exits with 2 on input that cannot be used, with 4 on a defect of lexorder itself."""
    try:
        app()
    except RuleFileError as error:
        for problem in error.problems:
            typer.echo(problem.render(), err=True)
        raise SystemExit(USAGE_ERROR) from None
    except LexorderError as error:
        typer.echo(f"{error.code}: {error.message}", err=True)
        raise SystemExit(USAGE_ERROR) from None
    except Exception as error:  # a defect of ours: the user gets no traceback, and nothing is approved
        typer.echo(f"internal-error: {type(error).__name__}; nothing was approved. {REPORT}", err=True)
        raise SystemExit(UNDECIDED) from None
