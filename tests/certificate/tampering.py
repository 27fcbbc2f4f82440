"""Ways to damage a certificate: in its values, in its structure, in its text.

In: a document or its text, and a random source. Out: a damaged text, or None where this damage does
not apply. After most damage to the values the problem's hash is computed again, as a forger would.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from lexorder.engine.certificate import Certificate

Document = dict[str, Any]
Place = tuple[Any, Any]
Damage = Callable[[Document, random.Random], bool]
TextDamage = Callable[[str, random.Random], str | None]


def plain(certificate: Certificate) -> Document:
    """The document as plain values, for damage."""
    return dict(certificate.to_json())


def places(node: Any) -> Iterator[Place]:
    """Every `(container, key)` in the document, depth first."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from places(node[key])


def choose(document: Document, rng: random.Random, wanted: Callable[[Any], bool]) -> Place | None:
    found = [(node, key) for node, key in places(document) if wanted(node[key])]
    return rng.choice(found) if found else None


def replace(document: Document, rng: random.Random, wanted: Callable[[Any], bool], make: Callable[[Any], Any]) -> bool:
    place = choose(document, rng, wanted)
    if place is None:
        return False
    node, key = place
    node[key] = make(node[key])
    return True


def is_number(value: Any) -> bool:
    return type(value) is int


def change_number(document: Document, rng: random.Random) -> bool:
    step = rng.choice([1, -1, 1, -1, 2, -3, 10, -100])
    return replace(document, rng, is_number, lambda x: x + step)


def flip_sign(document: Document, rng: random.Random) -> bool:
    return replace(document, rng, lambda x: is_number(x) and x != 0, lambda x: -x)


def make_zero(document: Document, rng: random.Random) -> bool:
    return replace(document, rng, lambda x: is_number(x) and x != 0, lambda _: 0)


def make_huge(document: Document, rng: random.Random) -> bool:
    return replace(document, rng, is_number, lambda x: (-1 if x < 0 else 1) * 10 ** rng.choice([9, 30, 79, 90]))


def change_kind(document: Document, rng: random.Random) -> bool:
    makers: list[Callable[[Any], Any]] = [
        str,
        float,
        bool,
        lambda x: [x],
        lambda _: None,
        lambda x: {"value": x},
        lambda x: f"{x}.0",
    ]
    return replace(document, rng, is_number, rng.choice(makers))


def loosen_limit(document: Document, rng: random.Random) -> bool:
    rows = document["problem"]["rows"]
    if rows:
        rng.choice(rows)["limit"] -= rng.randint(1, 5)
    return bool(rows)


def delete_something(document: Document, rng: random.Random) -> bool:
    place = choose(document, rng, lambda _: True)
    if place is None:
        return False
    node, key = place
    del node[key]
    return True


def repeat_item(document: Document, rng: random.Random) -> bool:
    place = choose(document, rng, lambda x: isinstance(x, list) and bool(x))
    if place is None:
        return False
    items = place[0][place[1]]
    items.insert(rng.randrange(len(items) + 1), copy.deepcopy(rng.choice(items)))
    return True


def add_field(document: Document, rng: random.Random) -> bool:
    place = choose(document, rng, lambda x: isinstance(x, dict))
    if place is None:
        return False
    place[0][place[1]][rng.choice(["note", "Limit", "limit ", ""])] = 1
    return True


def swap_items(document: Document, rng: random.Random) -> bool:
    place = choose(document, rng, lambda x: isinstance(x, list) and len(x) > 1)
    if place is None:
        return False
    items = place[0][place[1]]
    i, j = rng.sample(range(len(items)), 2)
    items[i], items[j] = items[j], items[i]
    return True


def drop_row(document: Document, rng: random.Random) -> bool:
    rows = document["problem"]["rows"]
    if rows:
        del rows[rng.randrange(len(rows))]
    return bool(rows)


def reverse_order(document: Document, rng: random.Random) -> bool:
    orders = [order for wave in document["waves"] for order in wave]
    if orders:
        order = rng.choice(orders)
        order["quantity"] = -order["quantity"]
    return bool(orders)


def merge_waves(document: Document, rng: random.Random) -> bool:
    document["waves"] = [[order for wave in document["waves"] for order in wave]]
    return True


def alter_hash(document: Document, rng: random.Random) -> bool:
    hashes = document["hashes"]
    which = rng.choice(list(hashes))
    digits = list(hashes[which])
    digits[rng.randrange(64)] = rng.choice("0123456789ABCDEFg")
    hashes[which] = "".join(digits)
    return True


def raise_bound(document: Document, rng: random.Random) -> bool:
    bounds = [claim for claim in document["claims"] if claim["claim"] == "bound"]
    if bounds:
        rng.choice(bounds)["value"] += rng.randint(1, 3)
    return bool(bounds)


def claim_more(document: Document, rng: random.Random) -> bool:
    document["claims"].append({"claim": rng.choice(["safe", "end", "robust", "", "bound"])})
    return True


VALUE_DAMAGE: tuple[Damage, ...] = (
    change_number,
    change_number,
    change_number,
    flip_sign,
    make_zero,
    make_huge,
    change_kind,
    loosen_limit,
    delete_something,
    repeat_item,
    add_field,
    swap_items,
    swap_items,
    drop_row,
    reverse_order,
    merge_waves,
    alter_hash,
    raise_bound,
    claim_more,
)


def rehash(document: Document) -> None:
    """Give the document the hash of the problem that it now has, where there is still a place for it."""
    canonical = json.dumps(document.get("problem"), sort_keys=True, separators=(",", ":")).encode()
    if isinstance(document.get("hashes"), dict) and "problem" in document["hashes"]:
        document["hashes"]["problem"] = hashlib.sha256(canonical).hexdigest()


def damaged_values(document: Document, rng: random.Random) -> str | None:
    """The text of a copy with one or two damaged values."""
    result = copy.deepcopy(document)
    damage = rng.choice(VALUE_DAMAGE)
    if not damage(result, rng) or (rng.random() < 0.15 and not change_number(result, rng)):
        return None
    if damage is not alter_hash and rng.random() < 0.9:
        rehash(result)
    return json.dumps(result)


def at_a_number(text: str, rng: random.Random, make: Callable[[str], str]) -> str:
    """The text with one of its numbers (not one inside a string) written otherwise."""
    found = list(re.finditer(r"(?<=[\[:,])-?[0-9]+(?=[\],}])", text))
    match = rng.choice(found)
    return text[: match.start()] + make(match.group()) + text[match.end() :]


def as_float(text: str, rng: random.Random) -> str:
    endings = (".0", "e0", "E0", ".", "e3", "0e-1", ".00")
    return at_a_number(text, rng, lambda x: x + rng.choice(endings))


def as_constant(text: str, rng: random.Random) -> str:
    words = ("NaN", "Infinity", "-Infinity", "true", "false", "null", "None", "0x10", "nan", "inf", '"1"', "")
    return at_a_number(text, rng, lambda _: rng.choice(words))


def as_odd_number(text: str, rng: random.Random) -> str:
    # Leading zeros, a plus sign, underscores and full-width or Arabic digits: Python's `int` takes some of them.
    odd = ("0{}", "+{}", "{}_0", "１{}", "{}٣", "--{}", "{} 1", "0x{}")
    return at_a_number(text, rng, lambda x: rng.choice(odd).format(x))


def as_long_number(text: str, rng: random.Random) -> str:
    return at_a_number(text, rng, lambda x: x + "0" * rng.choice([80, 81, 5000]))


def truncated(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text))]


def duplicate_key(text: str, rng: random.Random) -> str:
    match = rng.choice(list(re.finditer(r'"[a-z]+":', text)))
    return text[: match.start()] + match.group() + rng.choice(["0", '""', "[]", "{}"]) + "," + text[match.start() :]


def lost_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :]


def strange_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(["\ufeff", "é", "\x00", "\u202e", "#", "//", "'", ",", "\\", "\t"]) + text[at:]


def wrapped(text: str, rng: random.Random) -> str:
    return rng.choice(["[{}]", "{} {}", "{}]", '{{"certificate": {}}}', "/* */{}", "{}\x00"]).format(text, text)


def deeply_nested(text: str, rng: random.Random) -> str:
    depth = rng.choice([50, 5_000, 100_000])
    return at_a_number(text, rng, lambda x: "[" * depth + x + "]" * depth)


TEXT_DAMAGE: tuple[TextDamage, ...] = (
    as_float,
    as_constant,
    as_odd_number,
    as_long_number,
    truncated,
    duplicate_key,
    lost_character,
    strange_character,
    wrapped,
    deeply_nested,
)


def damaged_text(text: str, rng: random.Random) -> str | None:
    """The text with one damage that a JSON writer would not have made."""
    return rng.choice(TEXT_DAMAGE)(text, rng)
