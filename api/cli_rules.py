"""`lexorder rules`: lint rule files, show a rule in plain English, print the schema, run the inline tests.

In: paths and identifiers. Out: text; `lint` and `test` exit with 1 when they find something. Guaranteed: findings are
printed as `file:line:column: code: message`, the way compilers do, so that editors can jump to them. Refused: what is
no rule book (RuleFileError), an identifier or a date that does not exist (UsageError); `cli.py` words them.
Before: `rulebook.py`, `plain.py`, `schema.py`, `examples.py`. After: `cli.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from lexorder.engine import literals
from lexorder.engine.codes import nearest_name
from lexorder.engine.coverage import gaps
from lexorder.engine.errors import Problem, RuleFileError, UsageError, shown
from lexorder.engine.examples import run
from lexorder.engine.names import Vocabulary
from lexorder.engine.plain import plain_english
from lexorder.engine.render import folded, literal, render
from lexorder.engine.rule import LetValue, Rule
from lexorder.engine.rulebook import VOCABULARY_FILE, RuleBook, rule_files
from lexorder.engine.schema import schema as schema_of
from lexorder.engine.terms import Literal, Span
from lexorder.engine.vocabulary import load as load_vocabulary

app = typer.Typer(help="Check, show and test rule files.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="Rule files or folders.", show_default=False)]
VocabularyFile = Annotated[
    Path | None,
    typer.Option("--vocabulary", help="Vocabulary; by default the one beside the rules, else the shipped one."),
]
RulesFolder = Annotated[Path | None, typer.Option("--rules", help="Rules folder; the shipped library by default.")]


@app.command()
def lint(paths: Paths, vocabulary: VocabularyFile = None) -> None:
    """Check rule files and print every finding. Exit code 1 if there is one."""
    try:
        book = RuleBook.load(paths, vocabulary_for(paths, vocabulary))
    except RuleFileError as error:
        _print_findings(error.problems)
        raise typer.Exit(1) from None
    typer.echo(f"{_counted(len(book.ids()), 'rule')} in {_counted(len(rule_files(paths)), 'file')}: no findings")


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(help="The rule's identifier.", show_default=False)],
    rules: RulesFolder = None,
    day: Annotated[str | None, typer.Option("--date", help="YYYY-MM-DD; today by default.")] = None,
) -> None:
    """Show a rule in plain English, with its limits in force, what changed before, its source and its class."""
    paths = [rules or shipped()]
    book = RuleBook.load(paths, vocabulary_for(paths, None))
    for line in shown_rule(book, identifier, _day(day)):
        typer.echo(line)


@app.command()
def schema(vocabulary: VocabularyFile = None) -> None:
    """Print the JSON Schema of rule files, for editors."""
    typer.echo(json.dumps(schema_of(vocabulary_for([], vocabulary)), indent=2))


@app.command("test")
def run_tests(
    paths: Paths,
    vocabulary: VocabularyFile = None,
    strict: Annotated[bool, typer.Option(help="Count what no example tries as a failure.")] = False,
) -> None:
    """Run the inline tests of rule files and report what they leave untried. Exit code 1 if one fails."""
    book = RuleBook.load(paths, vocabulary_for(paths, vocabulary))
    tried = failed = untried = 0
    for versions in book.versions:
        rule = versions.items[-1][1]
        results = run(book, rule.id)
        found = gaps(book, rule, results)
        bad = [r for r in results if r.difference]
        for result in bad:
            typer.echo(f"{_place(result.span)}: {rule.id}: {result.example.name}: {result.difference}")
        for gap in found:
            typer.echo(f"{_place(gap.span)}: {rule.id}: untried: {gap.what}")
        tried, failed, untried = tried + len(results), failed + len(bad), untried + len(found)
    counts = f"{_counted(tried, 'example')} of {_counted(len(book.versions), 'rule')}"
    typer.echo(f"{counts}: {tried - failed} as expected, {failed} not; {untried} untried", err=True)
    if failed or (strict and untried):
        raise typer.Exit(1)


def _place(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}"


def shipped() -> Path:
    """The folder of the shipped rule library."""
    with as_file(files("lexorder.rules").joinpath(VOCABULARY_FILE)) as path:
        return path.parent


def vocabulary_for(paths: list[Path], named: Path | None) -> Vocabulary:
    """The vocabulary named, else the nearest one in or above the first path, else the shipped one.

    Raises:
        RuleFileError: when it is wrong.
    """
    if named is not None:
        return load_vocabulary(named)
    for path in paths[:1]:
        for folder in (path, *path.resolve().parents):
            if (folder / VOCABULARY_FILE).is_file():
                return load_vocabulary(folder / VOCABULARY_FILE)
    return load_vocabulary(shipped() / VOCABULARY_FILE, VOCABULARY_FILE)


def shown_rule(book: RuleBook, identifier: str, day: date) -> tuple[str, ...]:
    """The lines of `rules show`.

    Raises:
        UsageError: `unknown-rule`, or `not-in-force` on that day.
    """
    if identifier not in book.ids():
        near = nearest_name(identifier, book.ids())
        hint = f"; did you mean `{near}`?" if near else ""
        raise UsageError("unknown-rule", f"there is no rule {shown(identifier)}{hint}")
    rule = book.rule(identifier, day)
    if rule is None:
        days = ", ".join(d.isoformat() for d in book.dates()) or "never"
        raise UsageError("not-in-force", f"`{identifier}` is not in force on {day}; the rule book changes on: {days}")
    return (
        f"{rule.id}: {rule.title}",
        "",
        *plain_english(rule, book.vocabulary),
        *_limits(rule, day),
        *_origin(rule),
        *_written(rule, book.vocabulary),
    )


def _limits(rule: Rule, day: date) -> list[str]:
    """Values in force, those before and those to come."""
    lines = [f"  {_let(v)}" for v in rule.lets if v.since is not None or isinstance(v.term, Literal)]
    if lines:
        lines = ["", f"Limits in force on {day}:", *lines]
    dated = [value for value in rule.history if value.since is not None and value not in rule.lets]
    past = [f"  {_let(v)}" for v in dated if v.since is not None and v.since <= day]
    coming = [f"  {_let(v)}" for v in dated if v.since is not None and v.since > day]
    return lines + (["Before:", *past] if past else []) + (["To come:", *coming] if coming else [])


def _let(value: LetValue) -> str:
    text = literal(value.term) if isinstance(value.term, Literal) else render(value.term)
    since = f" since {value.since}" if value.since else ""
    return f"{value.name} = {text.replace('_', ',')}{since}" + (f" ({value.cite})" if value.cite else "")


def _origin(rule: Rule) -> list[str]:
    lines = [f"Source: {rule.cite}"] if rule.cite else []
    lines += [f"Owner: {rule.owner}"] if rule.owner else []
    if rule.effective_from or rule.effective_until:
        start, end = rule.effective_from or "the beginning", rule.effective_until or "further notice"
        lines.append(f"In force from {start} until {end}.")
    return ["", *lines] if lines else []


def _written(rule: Rule, vocabulary: Vocabulary) -> list[str]:
    """The rule's expressions and, for a requirement, its class with the reason."""
    lines = [""]
    if rule.when is not None:
        lines.append(f"when: {folded(rule.when, vocabulary)}")
    if rule.require is not None:
        lines.append(f"require: {folded(rule.require, vocabulary)}")
    if rule.classified is not None:
        lines.append(f"class: {rule.classified.term_class.value}, because {rule.classified.reason}")
    return lines if len(lines) > 1 else []


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).astimezone().date()
    day = literals.day(text)
    if day is None:
        raise UsageError("bad-date", f"{shown(text)} is not a day of the calendar: write YYYY-MM-DD")
    return day


def _print_findings(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        typer.echo(problem.render())
    places = len({problem.file for problem in problems})
    typer.echo(f"{_counted(len(problems), 'finding')} in {_counted(places, 'file')}", err=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
