"""Faults planted in the verifier: each must be noticed, or these tests would not notice a real one.

Each fault is one change of its source. The broken verifier must differ from brute force on some
certificate of the corpus, or accept a text that `test_refusals` knows to be malformed.
"""

from __future__ import annotations

import functools
import random
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lexorder.engine import verify as module
from lexorder.engine.certificate import Certificate, Claim, End, Safe
from tests.certificate.instances import RULEBOOK, SNAPSHOT, bound_claim, honest, infeasible_claim, instance, sharpened
from tests.certificate.tampering import damaged_values, plain
from tests.certificate.test_refusals import CASES, conflict, sound

SOURCE = Path(module.__file__).read_text("utf-8")

# (what the verifier would get wrong, its text, the wrong text)
FAULTS = [
    ("fractions are read", "parse_float=refuse", "parse_float=int"),
    ("NaN is read", "parse_constant=refuse", "parse_constant=len"),
    ("the last of two equal keys counts", "object_pairs_hook=_object, ", ""),
    ("text need not be ASCII", "text.isascii()", "True"),
    ("numbers may be long", '"0" * 81', '"0" * 810'),
    ("nines are no digits", '"123456789", "0" * 9', '"12345678", "0" * 8'),
    ("true is an integer", "set(map(type, values)) <= {kind}", "all(isinstance(value, kind) for value in values)"),
    ("one value of the right kind is enough", "set(map(type, values)) <= {kind}", "kind in [*map(type, values), kind]"),
    ("ranges are not looked at", "min(values) in shape and max(values) in shape", "True"),
    ("the least is not looked at", "min(values) in shape and max(values) in shape", "max(values) in shape"),
    ("the greatest is not looked at", "min(values) in shape and max(values) in shape", "min(values) in shape"),
    ("ids may end in a line break", "map(shape.fullmatch, values)", "map(shape.match, values)"),
    ("one good id is enough", "all(map(shape.fullmatch, values))", "any(map(shape.fullmatch, values))"),
    ("unknown fields pass", "set(keys) == {*shape}", "set(keys) >= {*shape}"),
    ("one object with the fields is enough", "all(set(keys) ==", "any(set(keys) =="),
    ("lists may be too long", "set(map(len, values)) <= {len(shape)}", "min(map(len, values), default=9) > 1"),
    ("only the first parts are looked at", "enumerate(shape):", "enumerate(shape[:1]):"),
    ("only the first of a list is looked at", "chain.from_iterable(values)", "value[0] for value in values if value"),
    ("indexes may repeat", "len(set(keys)) == len(keys) for", "True for"),
    ("pairs may repeat", "in (dict, list):", "in (dict,):"),
    ("names may repeat in a wave", 'x["name" if', 'x["quantity" if'),
    ("the hash is not compared", '.hexdigest() == hashes["problem"]', ".hexdigest()"),
    ("nothing may be claimed", '_need(document["claims"]', "_need(True"),
    ("two names may share an id", 'len({x["id"] for x in self.names}) == len(self.names)', "True"),
    ("a working name may have room", "still and", ""),
    ("bounds may be crossed", 'name["lower"] <= name["upper"], "wrong', 'True, "wrong'),
    ("clauses may be empty", '_need(all((clause["alternatives"], *clause["alternatives"]))', "_need(True"),
    ("breaks may stand still", "all(a < b for", "all(a <= b for"),
    ("polys may be too many", 'len(f["polys"]) == len(f["breaks"]) + 1', "True"),
    ("working orders may be for nothing", "_need(all(quantities)", "_need(True"),
    ("favourable fills count", "sum(max(0, c * quantities[k])", "sum((c * quantities[k])"),
    ("adverse fills are left out", "sum(max(0, c * quantities[k])", "sum(min(0, c * quantities[k])"),
    ("an order may be for nothing", "_need(q, ", "_need(True, "),
    ("a frozen name may be traded", "_need(n not in self.frozen", "_need(True"),
    ("a name may turn round", "moved.setdefault(n, q) * q > 0", "True"),
    ("fills are forgotten", "self.final[n] += q", "pass"),
    ("traded names may end anywhere", "moved.keys().isdisjoint(self.astray)", "True"),
    ("the end may be out of bounds", "_need(not self.astray", "_need(True"),
    ("sales move the wrong end", '(low if order["quantity"] < 0', '(low if order["quantity"] > 0'),
    ("working orders do not move", "for order in (*self.working, *wave)", "for order in wave"),
    ("the point before a break is missed", ", *[b - 1 for b in inside]", ""),
    ("the break itself is missed", "*(inside := breaks[first:last])", "*(inside := breaks[first:last])[:0]"),
    ("the low end is left out", "return max(a0 + (a1 + a2 * low) * low, ", "return ("),
    ("the high end is left out", ", a0 + (a1 + a2 * high) * high)", ")"),
    ("a break inside is overlooked", "if first == last:", "if first >= last - 1:"),
    ("a break belongs to the left", "polys[bisect_right(breaks, x)]", "polys[bisect_right(breaks, x - 1)]"),
    ("limits are strict", 'within.append(value <= row["limit"])', 'within.append(value < row["limit"])'),
    ("limits leak by one", 'within.append(value <= row["limit"])', 'within.append(value <= row["limit"] + 1)'),
    ("every row is passive", '(row["passive"] and value <= before)', "value <= before"),
    ("passive rows may get worse", '(row["passive"] and value <= before)', 'row["passive"]'),
    ("no row is passive", '(row["passive"] and value <= before)', "False"),
    ("rows are not compared", 'if not kept[-1] and row["asserted"]', "if False"),
    ("rows of clauses must all hold", 'if not kept[-1] and row["asserted"]', "if not kept[-1]"),
    ("half an alternative is enough", "any(all(within[r] for r in case)", "any(any(within[r] for r in case)"),
    ("clauses hold when one row is kept", "same = all(kept[r]", "same = any(kept[r]"),
    ("broken clauses stay broken", "_need(holds or same", "_need(holds"),
    ("clauses are not looked at", "_need(holds or same", "_need(True"),
    ("the first wave is not looked at", "enumerate(self.worst[1:], 1)", "enumerate(self.worst[2:], 1)"),
    ("the end is not looked at", "in (*waves, [])", "in waves"),
    ("only the end is looked at", "enumerate(self.worst[1:], 1)", "enumerate(self.worst[-1:], 1)"),
    (
        "each wave may use the breach of the last",
        "self.check_states(worst, self.worst[0]",
        "self.check_states(worst, worst",
    ),
    ("the end is passive", 'self.worst[-1], [row["limit"] for row in self.rows]', "self.worst[-1], self.worst[0]"),
    ("listed rows need not be asserted", '_need(self.asserted.issuperset(claim["rows"])', "_need(True"),
    ("any row may be weighted", "_need(r in usable", "_need(True"),
    ("an equality refutes", "_need(least > 0,", "_need(least >= 0,"),
    ("leaves are not computed", "_need(least > 0,", "_need(True,"),
    ("clauses need not be listed", '_need(tree["clause"] in clauses', "_need(True"),
    ("cases may be left out", '_need(len(tree["cases"]) == len(alternatives)', "_need(True"),
    ("the high side is not refuted", 'self.refute(tree["high"]', '(lambda *_: None)(tree["high"]'),
    ("the low side is not refuted", 'self.refute(tree["low"]', '(lambda *_: None)(tree["low"]'),
    ("a gap between the sides", "(at + 1, high)", "(at + 2, high)"),
    ("the sides overlap", "{name: (low, at)}", "{name: (low, at + 1)}"),
    ("splits may be outside", "_need(low <= at < high", "_need(True"),
    ("limits are not subtracted", '(self.fills[r] - row["limit"])', "self.fills[r]"),
    ("fills are not added", '(self.fills[r] - row["limit"])', '(-row["limit"])'),
    ("mixed rows are weighted", "_need(n not in orders", "_need(True"),
    ("frozen names stand still", "if n in self.frozen:", "if False:"),
    (
        "frozen names are at their least",
        "_greatest(f, self.low[n], self.high[n])",
        "_greatest(f, self.low[n], self.low[n])",
    ),
    ("one break is not cut at", "if low < b <= high", "if low < b < high"),
    ("the vertex is rounded up", "(first, vertex, vertex + 1, after)", "(first, vertex + 1, after)"),
    ("the vertex is rounded down", "(first, vertex, vertex + 1, after)", "(first, vertex, after)"),
    ("the ends are not looked at", "(first, vertex, vertex + 1, after)", "(vertex, vertex + 1)"),
    ("weights are left out", "sum([m * poly[i]", "sum([poly[i]"),
    ("the square is taken for its double", "(2 * exposure - y) * y", "(2 * exposure) * y"),
    ("the tangent has half its slope", "2 * y * (weight", "y * (weight"),
    ("the tangent forgets earlier factors", "slopes[n] += slope", "slopes[n] = slope"),
    ("loadings are left out", "exposure += loading * self.final[n]", "pass"),
    ("the least forgets its factors", "(1, {", "(0, {"),
    ("the least forgets its functions", "append((scale, f))", "append((0, f))"),
    ("points may be missing", "_need(len(points) == len(factors)", "_need(True"),
    ("any objective may be stated", '_need(claim["objective"] == final', "_need(True"),
    ("any bound is proved", '_need(claim["value"] <= least // scale', "_need(True"),
    ("the scale is left out", 'claim["value"] <= least // scale', 'claim["value"] <= least'),
    ("the bound leaks by one", 'claim["value"] <= least // scale', 'claim["value"] <= least // scale + 1'),
]


def broken(old: str, new: str) -> Callable[[str], Any]:
    """`verify` of a copy of the module with one change in its source."""
    assert SOURCE.count(old) >= 1, old
    copy = types.ModuleType("broken")
    exec(compile(SOURCE.replace(old, new), "broken", "exec"), copy.__dict__)
    return copy.verify  # type: ignore[no-any-return]


@functools.cache
def corpus() -> tuple[tuple[str, bool], ...]:
    """Certificates and whether they are to be accepted: honest, at the limit, damaged and malformed ones.

    That the true verifier's answer is the right one is what `test_against_brute_force` and `test_tampering` show.
    """
    texts = [sound().text(), conflict().text()]
    for seed in range(11_000, 11_120):
        texts += variants(seed)
    return tuple((text, module.verify(text).valid) for text in dict.fromkeys(texts))


MALFORMED = [(code, text) for code, _, text in CASES if code != "too-much-work" and len(text) < 50_000]


def variants(seed: int) -> list[str]:
    rng = random.Random(seed)
    problem, waves = instance(seed, tight=seed % 3 == 0, mixed=seed % 5 == 0)
    bound = bound_claim(problem, waves, rng)
    above = replace(bound, value=bound.value + 1) if bound else None
    claims: list[Claim | None] = [Safe(), End(), infeasible_claim(problem), bound, above]
    texts = [Certificate(RULEBOOK, SNAPSHOT, problem, waves, (claim,)).text() for claim in claims if claim is not None]
    texts += [Certificate(RULEBOOK, SNAPSHOT, alone, waves).text() for alone, _ in sharpened(problem, waves)]
    document = plain(honest(seed, tight=seed % 2 == 0))
    damaged = [damaged_values(document, rng) for _ in range(25)]
    return texts + [text for text in damaged if text is not None]


def answer(check: Callable[[str], Any], text: str) -> Any:
    """The verdict; None where the broken verifier fell over, which is noticed as well."""
    try:
        return check(text)
    except Exception:  # a planted fault may raise anything
        return None


def noticed(check: Callable[[str], Any]) -> bool:
    """Whether a malformed text is not refused by its code, or a verdict on the corpus is another."""
    refusals = ((answer(check, text), code) for code, text in MALFORMED)
    if any(verdict is None or verdict.code != code for verdict, code in refusals):
        return True
    verdicts = ((answer(check, text), valid) for text, valid in corpus())
    return any(verdict is None or verdict.valid != valid for verdict, valid in verdicts)


def test_the_corpus_has_both_kinds():
    answers = [valid for _, valid in corpus()]
    assert answers.count(True) >= 300
    assert answers.count(False) >= 1_000
    assert len(MALFORMED) >= 100


@pytest.mark.parametrize(("old", "new"), [(o, n) for _, o, n in FAULTS], ids=[what for what, _, _ in FAULTS])
def test_a_planted_fault_is_noticed(old, new):
    assert noticed(broken(old, new))


def test_the_unbroken_copy_answers_like_the_original():
    assert not noticed(broken("import json", "import json"))
