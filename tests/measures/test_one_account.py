"""A rule sees one account and its beneficial owner's orders, so that workers who divide accounts miss nothing.

Decided on all facts and on the owner's part of them an order gets the same report from every rule of the library; and
no measure reads a table of all accounts but the one that looks for the owner's orders.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lexorder.engine.desk import Desk, shipped_rules
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY, order, position, world

ENGINE = Path(__file__).resolve().parents[2] / "engine"

EVERYBODY = re.compile(r"snapshot\.(working_orders|fills|positions|signals|accounts)\b(?!\.get\(seen\.account)")
"""Tables of all accounts; `accounts.get(seen.account)` is one's own."""

OWNERS = {"A": "one", "B": "one", "C": "two", "D": "D"}
SIDES = ("buy", "sell")


def test_only_the_look_for_the_owners_orders_reads_what_is_not_the_accounts():
    found = {
        (file.name, line.strip())
        for file in [*(ENGINE / "measures").glob("*.py"), ENGINE / "measuring.py"]
        for line in file.read_text("utf-8").splitlines()
        if EVERYBODY.search(line)
    }
    assert found == {
        ("orders.py", "everyone = seen.snapshot.working_orders"),
        ("orders.py", 'return str(seen.snapshot.accounts.get(account, {}).get("account.beneficial_owner", account))'),
    }


@cache
def library() -> RuleBook:
    """All rules that are shipped."""
    return RuleBook.load(shipped_rules(), VOCABULARY)


def everything(chance: random.Random) -> dict[str, Any]:
    """Four accounts with holdings, working orders and fills."""
    document = world()
    first = document["accounts"][0]
    document["accounts"] = [
        {**first, "id": name, **({} if owner == name else {"beneficial_owner": owner})}
        for name, owner in OWNERS.items()
    ]
    document["positions"] = [
        position(symbol, chance.choice([-50, 10, 400, 500]), name)
        for name in OWNERS
        for symbol in chance.sample(["ACME", "BETA", "COCO"], 2)
    ]
    document["working_orders"] = [_deal(chance, f"W{n}") for n in range(12)]
    document["fills"] = [{**_deal(chance, f"F{n}"), "date": "2026-06-15"} for n in range(12)]
    return document


def _deal(chance: random.Random, name: str) -> dict[str, Any]:
    told = {"id": name, "account": chance.choice([*OWNERS]), "symbol": chance.choice(["ACME", "BETA", "COCO"])}
    price = chance.choice(["99", "100", "101"])
    return {**told, "side": chance.choice(SIDES), "quantity": str(chance.choice([1, 10, 100])), "price": price}


def part(document: dict[str, Any], owner: str) -> dict[str, Any]:
    """What is left when everything of other owners is taken away, their accounts too."""
    mine = {name for name, own in OWNERS.items() if own == owner}
    tables = ("positions", "working_orders", "fills")
    kept = {table: [row for row in document[table] if row["account"] in mine] for table in tables}
    return {**document, **kept, "accounts": [a for a in document["accounts"] if a["id"] in mine]}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))])
def test_an_order_is_decided_on_its_owners_part_as_on_everything(seed):
    chance = random.Random(seed)
    document = everything(chance)
    whole = Desk(library(), document, VOCABULARY)
    for account, owner in OWNERS.items():
        alone = Desk(library(), part(document, owner), VOCABULARY)
        for number in range(3):
            told = _deal(chance, f"O{number}")
            asked = order(told["side"], int(told["quantity"]), told["symbol"], account=account, price=told["price"])
            one, other = whole.check(asked), alone.check(asked)
            assert (one.outcome, one.reports, one.verdicts) == (other.outcome, other.reports, other.verdicts)
