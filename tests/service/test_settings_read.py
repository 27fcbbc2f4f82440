"""Every setting from its variable and over its flag; what cannot be read stops the start and is never repeated."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lexorder.api.cli import app
from lexorder.api.service.feeds import FEEDS
from lexorder.api.service.serving import _as_environment
from lexorder.api.service.settings import BOUNDS, OTHERS, PREFIX, Settings, feed_ages, from_environment, unknown
from lexorder.engine.errors import UsageError

GIVEN: dict[str, tuple[str, Any]] = {
    "data_dir": ("/srv/lexorder", Path("/srv/lexorder")),
    "database": ("postgresql://desk@db/lexorder", "postgresql://desk@db/lexorder"),
    "heads_dir": ("/mnt/heads", "/mnt/heads"),
    "rules": ("/etc/rules", Path("/etc/rules")),
    "host": ("::1", "::1"),
    "port": ("8443", 8443),
    "workers": ("4", 4),
    "shard": ("3", 3),
    "clock": ("wall", "wall"),
    "tick_s": ("0.25", 0.25),
    "feed_ages": ("prices=5", "prices=5"),
    "ledger": ("normal", "normal"),
    "head_every_s": ("2", 2.0),
    "checkpoint_every": ("7", 7),
    "batch_max": ("100", 100),
    "rebalance_sync_names": ("0", 0),
    "rebalance_timeout_s": ("9.5", 9.5),
    "rate_per_key": ("250", 250.0),
    "connections_per_client": ("8", 8),
    "open_metrics": ("yes", True),
    "docs": ("no", False),
}
"""A value other than the default; texts not named here are themselves."""

FLAGS = ["port", "host", "data_dir", "rules", "database", "workers", "clock", "ledger", "tls_certificate", "tls_key"]


def example(name: str) -> tuple[str, Any]:
    return GIVEN.get(name, (f"text of {name}", f"text of {name}"))


@pytest.mark.parametrize("name", [f.name for f in fields(Settings)])
def test_a_variable_sets_one_thing_and_nothing_else(name):
    written, meant = example(name)
    plain, found = from_environment({}), from_environment({PREFIX + name.upper(): written})
    assert getattr(found, name) == meant != getattr(plain, name)
    others = [f.name for f in fields(Settings) if f.name != name]
    assert [getattr(found, other) for other in others] == [getattr(plain, other) for other in others]
    assert from_environment({PREFIX + name.upper(): ""}) == plain, "empty is as not given"


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_goes_before_its_variable(name):
    written, meant = example(name)
    default = getattr(Settings(), name)
    assert getattr(from_environment({PREFIX + name.upper(): written}, **{name: default}), name) == default
    assert getattr(from_environment({}, **{name: meant}), name) == meant
    assert getattr(from_environment({PREFIX + name.upper(): written}, **{name: None}), name) == meant


def test_a_worker_is_told_the_settings_of_its_supervisor():
    every = from_environment({PREFIX + f.name.upper(): example(f.name)[0] for f in fields(Settings)})
    assert from_environment(dict(_as_environment(every))) == every
    assert from_environment(dict(_as_environment(Settings()))) == Settings()


SECRET = "hunter2"
WRONG = {
    "int": [SECRET, "-1", "1.5", "1e3", "1_000", "٣", "0x10", " 1", "9" * 13],
    "float": [SECRET, "-0.1", "nan", "inf", "1e9", "-1", "", " "],
    "bool": [SECRET, "2", "on", "tru", "-"],
    "ClockSource": [SECRET, "Wall", "sundial"],
    "Literal": [SECRET, "FULL", "on"],
}


def wrong() -> list[tuple[str, str]]:
    """Every setting that is no text, with each value that is none of its kind."""
    found = []
    for known in fields(Settings):
        for kind, values in WRONG.items():
            if str(known.type).startswith(kind):
                found += [(known.name, value) for value in values if value]
    return found


@pytest.mark.parametrize(("name", "written"), wrong())
def test_what_cannot_be_read_names_the_variable_and_never_the_value(name, written):
    with pytest.raises(UsageError) as refused:
        from_environment({PREFIX + name.upper(): written})
    assert refused.value.code == "bad-setting"
    assert refused.value.message.startswith(f"{PREFIX}{name.upper()} must ")
    assert SECRET not in refused.value.message
    assert "٣" not in refused.value.message


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_number_is_taken_on_its_bounds_and_refused_one_beside(name):
    least, most = BOUNDS[name]
    for number in (least, most):
        assert getattr(from_environment({}, **{name: number}), name) == number
        assert getattr(from_environment({PREFIX + name.upper(): str(number)}), name) == number
    for number in (least - 1, most + 1):
        with pytest.raises(UsageError, match=f"{PREFIX}{name.upper()} must be from"):
            from_environment({}, **{name: number})


def test_every_whole_number_has_bounds():
    assert {f.name for f in fields(Settings) if f.type == "int"} == set(BOUNDS)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", {}),
        ("prices=5", {"prices": 5.0}),
        ("prices=0.5, fills=60", {"prices": 0.5, "fills": 60.0}),
        (",".join(f"{feed}=1" for feed in FEEDS), dict.fromkeys(FEEDS, 1.0)),
        ("prices=5,,", {"prices": 5.0}),
    ],
)
def test_ages_of_feeds(written, meant):
    assert feed_ages(written) == meant


@pytest.mark.parametrize("written", ["price=5", "prices", "prices=", "prices=x", "prices=-1", "=5", "prices=5;fills=6"])
def test_an_age_of_no_feed_stops_the_start_since_it_would_never_count(written):
    with pytest.raises(UsageError, match="bad-setting: LEXORDER_FEED_AGES"):
        from_environment({PREFIX + "FEED_AGES": written})


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--workers", "0"], {}),
        (["--workers", "65"], {}),
        (["--port", "70000"], {}),
        (["--port", "x"], {}),
        ([], {"LEXORDER_WORKERS": "0"}),
        ([], {"LEXORDER_PORT": SECRET}),
        ([], {"LEXORDER_LEDGER": "off "}),
    ],
)
def test_the_command_ends_with_2_and_starts_nothing(tmp_path, arguments, variables):
    found = CliRunner().invoke(app, ["serve", "--data-dir", str(tmp_path / "data"), *arguments], env=variables)
    said = found.output + str(found.exception or "")
    assert found.exit_code == 2 or isinstance(found.exception, UsageError), said
    assert SECRET not in said
    assert not (tmp_path / "data").exists()


def test_no_secret_is_shown_when_settings_are():
    shown = repr(Settings(admin_key=SECRET, pii_key=SECRET))
    assert SECRET not in shown


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one():
    told = {PREFIX + "LEGDER": "off", PREFIX + "ZZZ": "secret", "PATH": "/bin", "lexorder_port": "1"}
    assert unknown(told) == {PREFIX + "LEGDER": PREFIX + "LEDGER", PREFIX + "ZZZ": ""}


def test_every_setting_and_the_variables_of_others_are_known():
    own = {PREFIX + f.name.upper(): "x" for f in fields(Settings)}
    assert unknown({**own, **dict.fromkeys(OTHERS, "x")}) == {}
