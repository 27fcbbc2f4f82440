"""Check a certificate (docs/certificate.md) with integers and the standard library only: `python verify.py FILE`.

In: the JSON text. Out: what was checked, in words, then `VALID` or `INVALID code: reason`; exit code 0 valid,
1 invalid, 2 unreadable. Guaranteed: every claim of a valid certificate follows from the problem in its text. Not
checked: how its rows were made from the rule book and snapshot it names. Refused, by one of `CODES`: all else, also
what takes too long. Why so short: to be read in full and copied. Before: `certificate.py` writes it. After: nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from bisect import bisect_right
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

CHARACTERS_MAX, WORK_MAX = 64 * 2**20, 20_000_000  # work: pieces of functions, some ten seconds
TEXT = "no-file too-large not-ascii number-too-long not-an-integer duplicate-key not-json too-deep"
SHAPE = "wrong-shape out-of-range listed-twice hash-mismatch wrong-bounds wrong-pieces wrong-count zero-quantity"
WAVES = "frozen-name-traded traded-both-ways ends-outside-bounds row-broken clause-broken not-usable mixed-row"
CODES = f"{TEXT} {SHAPE} {WAVES} split-outside-box not-refuted wrong-objective bound-not-proved too-much-work".split()
ID, HASH = re.compile("[ -~]{1,200}"), re.compile("[0-9a-f]{64}")
FLAG, FROM_0, FROM_1, ALL_ZERO = range(2), range(10**80), range(1, 10**80), str.maketrans("123456789", "0" * 9)
KINDS = {range: int, re.Pattern: str, tuple: list, list: list, dict: dict}


class Verdict(NamedTuple):
    """The answer: `code` and `reason` are empty when `valid`; `checked` are sentences."""

    valid: bool
    code: str
    reason: str
    checked: tuple[str, ...]


class _Refused(Exception): ...  # noqa: N818


def _need(holds: object, code: str, reason: str) -> None:
    if not holds:
        raise _Refused(code, reason)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _need(len(result := dict(pairs)) == len(pairs), "duplicate-key", "one object has a key twice")
    return result


def _match(values: list[Any], shape: Any, where: str) -> None:
    # Each of `values` (all at once: fast) is of `shape`: a type, a range, a pattern, `{key: shape}`, `[shape]` for any
    # length, `[shape, shape]` for this one, `(shape,)` for a list whose values, or first parts, or names, all differ.
    kind = shape if type(shape) is type else KINDS[type(shape)]
    _need(set(map(type, values)) <= {kind} or kind is object, "wrong-shape", where)  # to isinstance, True is an int
    if type(shape) is range and values:
        _need(min(values) in shape and max(values) in shape, "out-of-range", where)
    elif type(shape) is re.Pattern:
        _need(all(map(shape.fullmatch, values)), "wrong-shape", where)
    elif type(shape) is dict:
        _need(all(set(keys) == {*shape} for keys in set(map(tuple, values))), "wrong-shape", f"the fields of {where}")
        for key in shape:
            _match([value[key] for value in values], shape[key], key)
    elif type(shape) in (list, tuple) and len(shape) == 1:
        _match(list(chain.from_iterable(values)), shape[0], where)
    elif type(shape) is list:
        _need(set(map(len, values)) <= {len(shape)}, "wrong-shape", f"the length of {where}")
        for i, inner in enumerate(shape):
            _match([value[i] for value in values], inner, where)
    if type(shape) is tuple:
        if type(shape[0]) in (dict, list):
            values = [[x["name" if type(x) is dict else 0] for x in value] for value in values]
        _need(all(len(set(keys)) == len(keys) for keys in values), "listed-twice", where)


def _greatest(function: Any, low: int, high: int) -> Any:
    # Pieces are convex: each is greatest at an end, and its ends are low, high or beside a break.
    breaks, polys = function["breaks"], function["polys"]
    first, last = bisect_right(breaks, low), bisect_right(breaks, high)
    if first == last:  # most are in one piece: this is faster
        a0, a1, a2 = polys[first]
        return max(a0 + (a1 + a2 * low) * low, a0 + (a1 + a2 * high) * high)
    ends = {low, high, *(inside := breaks[first:last]), *[b - 1 for b in inside]}
    return max([a0 + (a1 + a2 * x) * x for x in ends for a0, a1, a2 in (polys[bisect_right(breaks, x)],)])


class _Check:
    def __init__(self, document: Any, checked: list[str]) -> None:
        # fmt: off
        parts = {"names": list, "working": list, "rows": list, "clauses": list, "objective": object}
        _match([document], {
            "format": re.compile("lexorder-certificate-1"), "problem": parts, "waves": list, "claims": [dict],
            "hashes": {"rulebook": HASH, "snapshot": HASH, "problem": HASH},
        }, "certificate")
        problem, waves, hashes, self.work = *map(document.get, ("problem", "waves", "hashes")), 0
        self.names, self.working, self.rows, self.clauses, self.objective = map(problem.get, parts)
        n, w, r, c = (range(len(problem[key])) for key in list(parts)[:4])
        order, terms = {"name": n, "quantity": int}, ([n, {"breaks": [int], "polys": [[int, int, FROM_0]]}],)
        row = {"id": ID, "limit": int, "asserted": FLAG, "passive": FLAG, "functions": terms, "working": ([w, int],)}
        factor, multipliers = {"weight": FROM_0, "constant": int, "loadings": ([n, int],)}, ([r, FROM_1],)
        objective = {"unit": ID, "functions": terms, "factors": [factor]} if self.objective else type(None)
        _match([problem], {
            "names": [{"id": ID, "held": int, "lower": int, "upper": int}], "working": [order], "rows": [row],
            "clauses": [{"id": ID, "alternatives": [(r,)]}], "objective": objective}, "problem")
        _match([waves], [(order,)], "waves")
        self.shapes: Any = {
            "multipliers": {"multipliers": multipliers}, "clause": {"clause": c, "cases": [dict]},
            "name": {"name": n, "at": int, "low": dict, "high": dict},
            "safe": {}, "end": {}, "infeasible": {"rows": (r,), "clauses": (c,), "tree": dict},
            "bound": {"scale": FROM_1, "multipliers": multipliers, "points": [int], "value": int, "objective": int},
        }
        # fmt: on
        canonical = json.dumps(problem, check_circular=False, sort_keys=True, separators=(",", ":")).encode()
        _need(hashlib.sha256(canonical).hexdigest() == hashes["problem"], "hash-mismatch", "problem")
        self.check_problem()
        self.check_waves(waves)
        source = "not checked: that rule book {rulebook} asks for this of snapshot {snapshot}".format(**hashes)
        checked.append(f"problem: {len(n)} names, {len(r)} rows, {len(waves)} waves, as hashed; {source}")
        _need(document["claims"], "wrong-count", "nothing is claimed")
        for claim in document["claims"]:
            kind = claim.get("claim")
            _need(kind in ("safe", "end", "infeasible", "bound"), "wrong-shape", "claim")
            _match([claim], {"claim": str, **self.shapes[kind]}, kind)
            checked.append(f"{kind}: {getattr(self, kind)(claim)}")

    def spend(self, pieces: int) -> None:
        self.work += pieces
        _need(self.work <= WORK_MAX, "too-much-work", f"over {WORK_MAX} pieces of functions")

    def check_problem(self) -> None:
        _need(len({x["id"] for x in self.names}) == len(self.names), "listed-twice", "names")
        self.frozen = {order["name"] for order in self.working}
        for n, name in enumerate(self.names):
            still = name["lower"] == name["held"] == name["upper"] or n not in self.frozen
            _need(still and name["lower"] <= name["upper"], "wrong-bounds", name["id"])
        for clause in self.clauses:
            _need(all((clause["alternatives"], *clause["alternatives"])), "wrong-count", clause["id"])
        for f in (f for owner in (*self.rows, self.objective or {"functions": []}) for _, f in owner["functions"]):
            rising = len(f["breaks"]) < 2 or all(a < b for a, b in pairwise(f["breaks"]))
            _need(rising and len(f["polys"]) == len(f["breaks"]) + 1, "wrong-pieces", "functions")
        self.asserted = {r for r, row in enumerate(self.rows) if row["asserted"]}
        self.bounds = {n: (name["lower"], name["upper"]) for n, name in enumerate(self.names)}
        quantities = [order["quantity"] for order in self.working]
        _need(all(quantities), "zero-quantity", "working")
        self.fills = [sum(max(0, c * quantities[k]) for k, c in row["working"]) for row in self.rows]

    def check_waves(self, waves: Any) -> None:
        size = sum(len(f["polys"]) for row in self.rows for _, f in row["functions"])
        self.spend((len(waves) + 2) * (size + len(self.names) + len(self.working) + len(self.rows)))
        self.final, moved = [name["held"] for name in self.names], dict[int, int]()
        self.worst = [self.worst_values([])]
        for wave in (*waves, []):  # the last is the end
            self.worst.append(self.worst_values(wave))
            for n, q in ((order["name"], order["quantity"]) for order in wave):
                _need(q, "zero-quantity", self.names[n]["id"])
                _need(n not in self.frozen, "frozen-name-traded", self.names[n]["id"])
                _need(moved.setdefault(n, q) * q > 0, "traded-both-ways", self.names[n]["id"])
                self.final[n] += q
        self.astray = [n for n, (low, high) in self.bounds.items() if not low <= self.final[n] <= high]
        _need(moved.keys().isdisjoint(self.astray), "ends-outside-bounds", "a traded name")

    def worst_values(self, wave: Any) -> list[int]:
        self.low, self.high = low, high = self.final.copy(), self.final.copy()
        for order in (*self.working, *wave):
            (low if order["quantity"] < 0 else high)[order["name"]] += order["quantity"]
        sums = (sum([_greatest(f, low[n], high[n]) for n, f in row["functions"]]) for row in self.rows)
        return [fills + holdings for fills, holdings in zip(self.fills, sums, strict=True)]

    def check_states(self, worst: list[int], start: list[int], where: str) -> None:
        self.spend(len(self.rows) + sum(len(case) for clause in self.clauses for case in clause["alternatives"]))
        within, kept = [], []
        for row, value, before in zip(self.rows, worst, start, strict=True):
            within.append(value <= row["limit"])
            kept.append(within[-1] or (row["passive"] and value <= before))
            if not kept[-1] and row["asserted"]:
                raise _Refused("row-broken", f"{row['id']} {where}: {value} is possible, limit {row['limit']}")
        for clause in self.clauses:
            holds = any(all(within[r] for r in case) for case in clause["alternatives"])
            same = all(kept[r] for case in clause["alternatives"] for r in case)  # no worse then, however measured
            _need(holds or same, "clause-broken", f"{clause['id']} {where}")

    def safe(self, _: Any) -> str:
        for number, worst in enumerate(self.worst[1:], 1):
            self.check_states(worst, self.worst[0], f"in wave {number} of {len(self.worst) - 2}")
        return "in all fill states of all waves, and after, each asserted row and clause holds or, passive, is no worse"

    def end(self, _: Any) -> str:
        _need(not self.astray, "ends-outside-bounds", "a name")
        self.check_states(self.worst[-1], [row["limit"] for row in self.rows], "at the end")
        return "the final holdings are in bounds and meet every asserted row and clause at its limit"

    def infeasible(self, claim: Any) -> str:
        parts = [self.rows[r] for r in claim["rows"]] + [self.clauses[c] for c in claim["clauses"]]
        _need(self.asserted.issuperset(claim["rows"]), "not-usable", "rows")
        self.refute(claim["tree"], claim["clauses"], self.bounds, frozenset(claim["rows"]))
        return f"no whole-unit holdings in bounds meet together {[part['id'] for part in parts]}"

    def refute(self, tree: Any, clauses: Any, box: Any, usable: Any) -> None:
        self.spend(1 + len(box) + len(usable) + len(clauses))
        kind = next((key for key in ("multipliers", "clause") if key in tree), "name")
        _match([tree], self.shapes[kind], "tree")
        if kind == "multipliers":
            least = self.least_excess(tree["multipliers"], usable, box, {})
            _need(least > 0, "not-refuted", f"the weighted rows leave {least}, not above 0")
        elif kind == "clause":
            _need(tree["clause"] in clauses, "not-usable", "a clause in the tree")
            alternatives = self.clauses[tree["clause"]]["alternatives"]
            _need(len(tree["cases"]) == len(alternatives), "wrong-count", "cases of a clause")
            for case, rows in zip(tree["cases"], alternatives, strict=True):
                self.refute(case, clauses, box, usable.union(rows))
        else:
            name, at, (low, high) = tree["name"], tree["at"], box[tree["name"]]
            _need(low <= at < high, "split-outside-box", self.names[name]["id"])
            self.refute(tree["low"], clauses, box | {name: (low, at)}, usable)
            self.refute(tree["high"], clauses, box | {name: (at + 1, high)}, usable)

    def least_excess(self, multipliers: Any, usable: Any, box: Any, parts: Any) -> int:
        """Return the least value over the box of sum multiplier * (row - limit) and of `parts`."""
        total = 0
        for r, multiplier in multipliers:
            row = self.rows[r]
            _need(r in usable, "not-usable", row["id"])
            total += multiplier * (self.fills[r] - row["limit"])
            self.spend(len(row["working"]) + sum(len(f["polys"]) for _, f in row["functions"]))
            orders = {self.working[k]["name"] for k, _ in row["working"]}
            for n, f in row["functions"]:
                _need(n not in orders, "mixed-row", row["id"])
                if n in self.frozen:  # only its working orders move it: they are at their worst
                    total += multiplier * _greatest(f, self.low[n], self.high[n])
                else:
                    parts.setdefault(n, []).append((multiplier, f))
        return total + sum(self.least(weighted, *box[n]) for n, weighted in parts.items())

    def least(self, parts: list[Any], low: int, high: int) -> int:
        cuts, found = sorted({b for _, f in parts for b in f["breaks"] if low < b <= high}), list[int]()
        self.spend(len(parts) * (len(cuts) + 1))
        for first, after in pairwise((low, *cuts, high + 1)):
            pieces = [(m, f["polys"][bisect_right(f["breaks"], first)]) for m, f in parts]
            a0, a1, a2 = [sum([m * poly[i] for m, poly in pieces]) for i in (0, 1, 2)]
            vertex = -a1 // (2 * a2) if a2 else first  # the least integer point of a convex piece is next to it
            ends = [min(max(x, first), after - 1) for x in (first, vertex, vertex + 1, after)]
            found += [a0 + (a1 + a2 * x) * x for x in ends]
        return min(found)

    def bound(self, claim: Any) -> str:
        _need(self.objective is not None, "wrong-objective", "the problem has none")
        scale, factors, points = claim["scale"], self.objective["factors"], claim["points"]
        _need(len(points) == len(factors), "wrong-count", "points")
        self.spend(len(self.names) + sum(len(factor["loadings"]) for factor in factors))
        final, least, slopes = 0, 0, [0] * len(self.names)
        for factor, y in zip(factors, points, strict=True):
            slope, exposure = 2 * y * (weight := scale * factor["weight"]), factor["constant"]
            least += weight * (2 * exposure - y) * y  # a square is at least its tangent at y
            for n, loading in factor["loadings"]:
                slopes[n] += slope * loading
                exposure += loading * self.final[n]
            final += factor["weight"] * exposure**2
        parts = {n: [(1, {"breaks": [], "polys": [[0, slope, 0]]})] for n, slope in enumerate(slopes)}
        for n, f in self.objective["functions"]:
            parts[n].append((scale, f))
            final += _greatest(f, self.final[n], self.final[n])
        least += self.least_excess(claim["multipliers"], self.asserted, self.bounds, parts)
        _need(claim["objective"] == final, "wrong-objective", f"it is {final}")
        _need(claim["value"] <= least // scale, "bound-not-proved", f"only {least // scale} is proved")
        return f"in bounds and asserted rows none is below {claim['value']}; final {final}, {self.objective['unit']}"


def verify(text: str) -> Verdict:
    """Check a certificate: ASCII JSON of at most 64 MiB, whole numbers in the units it states."""
    checked: list[str] = []
    refuse: Any = lambda number: _need(False, "not-an-integer", number)  # noqa: E731
    try:
        _need(len(text) <= CHARACTERS_MAX, "too-large", f"over {CHARACTERS_MAX} characters")
        _need(text.isascii(), "not-ascii", "a character outside ASCII")
        _need("0" * 81 not in text.translate(ALL_ZERO), "number-too-long", "over 80 digits in a row")
        _Check(json.loads(text, object_pairs_hook=_object, parse_float=refuse, parse_constant=refuse), checked)
    except _Refused as refused:
        return Verdict(False, refused.args[0], refused.args[1], tuple(checked))
    except RecursionError:
        return Verdict(False, "too-deep", "nested deeper than Python follows", tuple(checked))
    except json.JSONDecodeError as error:
        return Verdict(False, "not-json", str(error), ())
    return Verdict(True, "", "", tuple(checked))


def main(arguments: list[str]) -> int:
    """Check the file named by the one argument, print the answer, return the exit code."""
    try:
        with Path(*arguments).open("rb") as file:  # any byte is Latin-1; `verify` wants ASCII
            valid, code, reason, checked = verify(file.read(CHARACTERS_MAX + 1).decode("latin-1"))
    except OSError:
        valid, code, reason, checked = False, "no-file", "the one argument must be a file", ()
    sys.stdout.write("\n".join((*checked, "VALID" if valid else f"INVALID {code}: {reason}", "")))
    return 0 if valid else 2 if code in TEXT.split() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
