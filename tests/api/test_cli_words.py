"""Every command and every option there is: described, and named to whoever misspells it.

The commands are asked for their own words, so that a new one is tried here without being listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from rich.text import Text

from lexorder.api import cli
from tests.api.commands import command, mistaken

ROOT = typer.main.get_command(cli.app)


def commands(group: Any = ROOT, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command with the words that call it; groups come before what is in them."""
    yield words, group
    for name, inner in getattr(group, "commands", {}).items():
        yield from commands(inner, (*words, name))


ALL = list(commands())
LEAVES = [(words, found) for words, found in ALL if not hasattr(found, "commands")]
OPTIONS = [
    (words, option)
    for words, found in LEAVES
    for parameter in found.params
    for option in parameter.opts
    if option.startswith("--") and option != "--help"
]


def slip(word: str) -> str:
    """Two letters in the middle exchanged, or doubled where they are the same."""
    at = len(word) // 2
    turned = word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    return turned if turned != word else word[:at] + word[at] + word[at:]


def flat(message: str) -> str:
    """Without frames and line ends, which depend on the width of a terminal."""
    return " ".join(Text.from_ansi(message).plain.replace("│", " ").split())


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages on one line."""
    monkeypatch.setenv("COLUMNS", "300")


def test_there_are_as_many_commands_as_the_manual_has():
    assert len(LEAVES) >= 18
    assert len(OPTIONS) >= 60


@pytest.mark.parametrize(("words", "found"), ALL, ids=[" ".join(words) or "lexorder" for words, _ in ALL])
def test_every_command_and_everything_it_takes_is_described(words, found):
    assert found.help
    for parameter in found.params:
        assert getattr(parameter, "help", None), f"{' '.join(words)} {parameter.name}"
    ended = command(*words, "--help")
    assert ended.code == 0
    said = flat(ended.out)
    for parameter in (p for p in found.params if p.opts[0].startswith("--")):
        assert parameter.opts[0] in said


@pytest.mark.parametrize(("words", "found"), ALL[1:], ids=[" ".join(words) for words, _ in ALL[1:]])
def test_a_slip_in_a_command_is_answered_with_the_command(words, found):
    assert f"Did you mean '{words[-1]}'?" in flat(mistaken(*words[:-1], slip(words[-1])))


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=[" ".join((*words, option)) for words, option in OPTIONS])
def test_a_slip_in_an_option_is_refused_and_nothing_is_done(words, option, tmp_path, monkeypatch):
    """Whatever its value; and nothing is left behind where the command would have written."""
    monkeypatch.chdir(tmp_path)
    said = flat(mistaken(*words, slip(option), "x"))
    assert "No such option" in said
    assert not list(tmp_path.iterdir())


def test_nearly_every_slip_in_an_option_is_answered_with_the_option():
    """The library that reads the words suggests what is near enough; it is not ours to say more."""
    answered = [option in flat(mistaken(*words, slip(option), "x")) for words, option in OPTIONS if len(option) > 5]
    assert sum(answered) > 0.9 * len(answered)


@pytest.mark.parametrize(("words", "found"), LEAVES, ids=[" ".join(words) for words, _ in LEAVES])
def test_a_number_where_a_range_is_asked_for_says_the_range(words, found):
    """One below the least and one above the largest, by the option's own bounds."""
    for option in (p for p in found.params if p.opts[0].startswith("--")):
        for bound, beyond in ((getattr(option, "min", None), -1), (getattr(option, "max", None), 1)):
            if bound is not None:
                said = flat(mistaken(*words, option.opts[0], bound + beyond))
                assert option.opts[0] in said
                assert f"{bound:g}" in said


def test_a_slip_in_a_rules_name_is_answered_with_a_rule_there_is():
    said = mistaken("rules", "show", slip("max-issuer-weight"))
    assert said.startswith("unknown-rule: ")
    assert "did you mean `max-issuer-weight`?" in said
