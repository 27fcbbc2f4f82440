"""The certificate of a rebalance: what was decided, and the integers that prove it.

In: a problem in whole numbers (names, working orders, rows, clauses, objective), the waves of
orders and the claims about them. Out: one JSON document, described in `docs/certificate.md`.

Guaranteed: every value here is a Python integer, every operation is exact, and the document is a
pure function of its parts (sorted keys, no clock, no randomness). Refused, by `CertificateError`:
anything that is not a well-formed document. Whether its claims are *true* is not asked here:
that is `verify.py`, which shares no code with this file, so that one mistake cannot make both
the claim and its check.

Before this file: `certificate_function.py`; `lexorder.optimizers` builds the rows and finds the multipliers. After it:
`verify.py` checks the text, the ledger stores it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from lexorder.engine.certificate_function import CertificateError, Function, Json, JsonValue, Poly, require, total

__all__ = [
    "Bound", "Box", "Cases", "Certificate", "CertificateError", "Claim", "Clause", "End", "Factor", "Function",
    "Infeasible", "Interval", "Json", "JsonValue", "Leaf", "Multipliers", "Name", "Objective", "Order", "Poly",
    "Problem", "Row", "Safe", "Split", "Terms", "Tree", "Wave", "Working", "canonical_bytes", "problem_hash", "total",
]  # fmt: skip

FORMAT = "lexorder-certificate-1"
"""The only format this file writes; a change of meaning gets a new number."""

DIGITS_MAX = 80
"""The verifier reads no longer number, so none is written."""

ID_LENGTH_MAX = 200
"""Characters in a name, row or clause id."""

Interval: TypeAlias = tuple[int, int]
Box: TypeAlias = Sequence[Interval]

_HEX64 = re.compile(r"[0-9a-f]{64}")
_PRINTABLE = re.compile(rf"[ -~]{{1,{ID_LENGTH_MAX}}}")
_TOO_LONG, _ZEROS = b"0" * (DIGITS_MAX + 1), bytes.maketrans(b"123456789", b"0" * 9)


def _require_id(text: str) -> None:
    require(
        _PRINTABLE.fullmatch(text) is not None,
        f"an id must be 1 to {ID_LENGTH_MAX} printable ASCII characters",
    )


def _require_indexes(indexes: Sequence[int], count: int, what: str) -> None:
    require(len(set(indexes)) == len(indexes), f"{what} is listed twice")
    require(all(0 <= i < count for i in indexes), f"{what} index is out of range")


def _pairs(pairs: Iterable[tuple[int, int]]) -> list[JsonValue]:
    return [[left, right] for left, right in pairs]


Terms: TypeAlias = tuple[tuple[int, Function], ...]


def _terms(terms: Terms) -> list[JsonValue]:
    return [[name, function.to_json()] for name, function in terms]


@dataclass(frozen=True, slots=True)
class Name:
    """One instrument, in whole units (shares or lots).

    `held` is the holding now; `lower..upper` are the holdings an end state may have.
    Refused: `lower > upper`, an id that is not printable ASCII.
    """

    id: str
    held: int
    lower: int
    upper: int

    def __post_init__(self) -> None:
        _require_id(self.id)
        require(self.lower <= self.upper, f"`{self.id}`: lower is above upper")

    def to_json(self) -> Json:
        """Return the object of `problem.names`."""
        return {"id": self.id, "held": self.held, "lower": self.lower, "upper": self.upper}


@dataclass(frozen=True, slots=True)
class Order:
    """An order for the name with index `name`: units, bought above 0 and sold below; never 0."""

    name: int
    quantity: int

    def __post_init__(self) -> None:
        require(self.name >= 0, "name index is out of range")
        require(self.quantity != 0, "an order needs a quantity")

    def to_json(self) -> Json:
        """Return the object used in `waves` and `problem.working`."""
        return {"name": self.name, "quantity": self.quantity}


class Working(Order):
    """What is still unfilled of an order already at the market; `quantity` as in `Order`."""

    __slots__ = ()


Wave: TypeAlias = tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One limit: the sum of `functions` and of `coefficient * fill` must not exceed `limit`.

    `functions` are `(name index, Function)`, each name once; `working` are
    `(working order index, coefficient)`, each order once. All in one unit, of the writer's choice.
    `asserted`: must hold by itself (otherwise it only serves in clauses). `passive`: a breach
    from before trading may remain as long as it gets no worse.
    """

    id: str
    limit: int
    functions: Terms = ()
    working: tuple[tuple[int, int], ...] = ()
    asserted: bool = True
    passive: bool = False

    def __post_init__(self) -> None:
        _require_id(self.id)

    def worst(self, box: Box, working: Sequence[Order] = ()) -> int:
        """Return the greatest value over the reachable holdings `box` and all partial fills.

        `box[n]` is the interval of name *n*; `working` are the problem's working orders.
        Exact; only where the row has both a function of a name and a coefficient for an order
        in that name (`Problem.mixed`) is it an upper bound.
        """
        holdings = sum(function.maximum(*box[name]) for name, function in self.functions)
        return holdings + sum(max(0, c * working[k].quantity) for k, c in self.working)

    def to_json(self) -> Json:
        """Return the ROW object of the document."""
        return {
            "id": self.id,
            "limit": self.limit,
            "asserted": int(self.asserted),
            "passive": int(self.passive),
            "functions": _terms(self.functions),
            "working": _pairs(self.working),
        }


@dataclass(frozen=True, slots=True)
class Clause:
    """At least one of `alternatives` must hold: one whose rows (indexes) all hold.

    Refused: no alternative, or an empty one.
    """

    id: str
    alternatives: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        _require_id(self.id)
        require(bool(self.alternatives), f"`{self.id}`: a clause needs an alternative")
        require(all(self.alternatives), f"`{self.id}`: an alternative needs a row")

    def to_json(self) -> Json:
        """Return the object of `problem.clauses`."""
        return {"id": self.id, "alternatives": [list(rows) for rows in self.alternatives]}


@dataclass(frozen=True, slots=True)
class Factor:
    """One squared term of the objective: `weight * (constant + sum of F*x)**2`, `weight >= 0`.

    `loadings` are `(name index, F)`, each name once; exact integers scaled by the writer.
    """

    weight: int
    constant: int
    loadings: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        require(self.weight >= 0, "a factor weight must not be negative")

    def exposure(self, holdings: Sequence[int]) -> int:
        """Return `constant + sum of F*x` at `holdings` (units, by name index), exact."""
        return self.constant + sum(loading * holdings[name] for name, loading in self.loadings)

    def to_json(self) -> Json:
        """Return the object of `objective.factors`."""
        return {
            "weight": self.weight,
            "constant": self.constant,
            "loadings": _pairs(self.loadings),
        }


@dataclass(frozen=True, slots=True)
class Objective:
    """What was minimised: the sum of `functions` and of `factors`, in `unit` (text for readers)."""

    unit: str
    functions: Terms = ()
    factors: tuple[Factor, ...] = ()

    def __post_init__(self) -> None:
        _require_id(self.unit)

    def value(self, holdings: Sequence[int]) -> int:
        """Return the exact objective at `holdings` (units, by name index)."""
        separable = sum(function.value(holdings[name]) for name, function in self.functions)
        return separable + sum(f.weight * f.exposure(holdings) ** 2 for f in self.factors)

    def to_json(self) -> Json:
        """Return the OBJECTIVE object of the document."""
        return {
            "unit": self.unit,
            "functions": _terms(self.functions),
            "factors": [factor.to_json() for factor in self.factors],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Names, working orders, rows, clauses and objective, referring to each other by index.

    Refused: an index out of range or twice in one list, two names of one id, a name with a
    working order that is not frozen (`lower == upper == held`).
    """

    names: tuple[Name, ...]
    working: tuple[Working, ...] = ()
    rows: tuple[Row, ...] = ()
    clauses: tuple[Clause, ...] = ()
    objective: Objective | None = None

    def __post_init__(self) -> None:
        ids = [name.id for name in self.names]
        require(len(set(ids)) == len(ids), "two names have one id")
        require(all(w.name < len(ids) for w in self.working), "name index is out of range")
        for name in (self.names[i] for i in self.frozen):
            still = name.lower == name.upper == name.held
            require(still, f"`{name.id}` has a working order and must be frozen")
        self._check_rows()
        self._check_objective()

    def _check_rows(self) -> None:
        for row in self.rows:
            _require_indexes([n for n, _ in row.functions], len(self.names), "a name")
            _require_indexes([k for k, _ in row.working], len(self.working), "a working order")
        for clause in self.clauses:
            for alternative in clause.alternatives:
                _require_indexes(alternative, len(self.rows), "a row")

    def _check_objective(self) -> None:
        if self.objective is not None:
            _require_indexes([n for n, _ in self.objective.functions], len(self.names), "a name")
            for factor in self.objective.factors:
                _require_indexes([n for n, _ in factor.loadings], len(self.names), "a name")

    @property
    def frozen(self) -> frozenset[int]:
        """The indexes of the names that have a working order and so may not be traded."""
        return frozenset(order.name for order in self.working)

    def mixed(self, row: Row) -> bool:
        """Return whether `row` has a function of a name and a coefficient for an order in it.

        The two then move together, `Row.worst` is only an upper bound, and the row may not
        serve as a multiplier row in `Infeasible` or `Bound`.
        """
        orders = {self.working[k].name for k, _ in row.working}
        return any(name in orders for name, _ in row.functions)

    def box(self, holdings: Sequence[int], wave: Sequence[Order] = ()) -> list[Interval]:
        """Return each name's reachable holdings while `wave` is filled from `holdings`.

        Units; both ends included; working orders may stand anywhere between none and all.
        """
        ends = [[x, x] for x in holdings]
        for order in (*self.working, *wave):
            ends[order.name][order.quantity > 0] += order.quantity
        return [(low, high) for low, high in ends]

    def holdings(self, waves: Sequence[Wave] = ()) -> list[int]:
        """Return the holdings once all `waves` are filled and no working order is (units)."""
        result = [name.held for name in self.names]
        for order in (order for wave in waves for order in wave):
            result[order.name] += order.quantity
        return result

    def boxes(self, waves: Sequence[Wave]) -> list[list[Interval]]:
        """Return the reachable box of each wave in turn, then the box after the last."""
        starts = [self.holdings(waves[:count]) for count in range(len(waves) + 1)]
        return [self.box(x, wave) for x, wave in zip(starts, (*waves, ()), strict=True)]

    def worst(self, row: Row, box: Box) -> int:
        """Return `row.worst` over `box` with this problem's working orders."""
        return row.worst(box, self.working)

    def to_json(self) -> Json:
        """Return the `problem` object of the document."""
        return {
            "names": [name.to_json() for name in self.names],
            "working": [order.to_json() for order in self.working],
            "rows": [row.to_json() for row in self.rows],
            "clauses": [clause.to_json() for clause in self.clauses],
            "objective": self.objective.to_json() if self.objective else None,
        }


Multipliers: TypeAlias = tuple[tuple[int, int], ...]


def _require_multipliers(multipliers: Multipliers) -> None:
    rows = [row for row, _ in multipliers]
    require(len(set(rows)) == len(rows), "a row has two multipliers")
    require(all(value >= 1 for _, value in multipliers), "a multiplier must be at least 1")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A box refuted by one weighted sum: `(row index, multiplier >= 1)`, each row once."""

    multipliers: Multipliers

    def __post_init__(self) -> None:
        _require_multipliers(self.multipliers)

    def to_json(self) -> Json:
        """Return the TREE object of the document."""
        return {"multipliers": _pairs(self.multipliers)}


@dataclass(frozen=True, slots=True)
class Split:
    """A box refuted in two parts: holding of `name` at most `at` (units), and at least `at + 1`."""

    name: int
    at: int
    low: Tree
    high: Tree

    def to_json(self) -> Json:
        """Return the TREE object of the document."""
        low, high = self.low.to_json(), self.high.to_json()
        return {"name": self.name, "at": self.at, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Cases:
    """A box refuted once for each alternative of `clause`, whose rows may then be used."""

    clause: int
    cases: tuple[Tree, ...]

    def to_json(self) -> Json:
        """Return the TREE object of the document."""
        return {"clause": self.clause, "cases": [case.to_json() for case in self.cases]}


Tree: TypeAlias = Leaf | Split | Cases


@dataclass(frozen=True, slots=True)
class Safe:
    """Every asserted row and clause holds in every fill state of every wave and after them."""

    def to_json(self) -> Json:
        """Return the CLAIM object of the document."""
        return {"claim": "safe"}


@dataclass(frozen=True, slots=True)
class End:
    """The final holdings satisfy everything at its limit, working orders at their worst."""

    def to_json(self) -> Json:
        """Return the CLAIM object of the document."""
        return {"claim": "end"}


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No whole-unit holdings in the box satisfy the listed asserted `rows` and `clauses`."""

    rows: tuple[int, ...]
    clauses: tuple[int, ...]
    tree: Tree

    def to_json(self) -> Json:
        """Return the CLAIM object of the document."""
        return {
            "claim": "infeasible",
            "rows": list(self.rows),
            "clauses": list(self.clauses),
            "tree": self.tree.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """No holdings in the box that satisfy the asserted rows have an objective below `value`.

    `scale >= 1` is the common denominator of the multipliers; `points` are one tangent point
    for each factor; `objective` is the value at the final holdings, in the objective's unit.
    """

    scale: int
    multipliers: Multipliers
    points: tuple[int, ...]
    value: int
    objective: int

    def __post_init__(self) -> None:
        require(self.scale >= 1, "the scale must be at least 1")
        _require_multipliers(self.multipliers)

    def to_json(self) -> Json:
        """Return the CLAIM object of the document."""
        return {
            "claim": "bound",
            "scale": self.scale,
            "multipliers": _pairs(self.multipliers),
            "points": list(self.points),
            "value": self.value,
            "objective": self.objective,
        }


Claim: TypeAlias = Safe | End | Infeasible | Bound


@dataclass(frozen=True, slots=True)
class Certificate:
    """A problem, the waves that were decided and the claims about them.

    `rulebook` and `snapshot` are lower-case SHA-256 hex digests of the inputs the rows were made
    from. Refused: other digests, no claim at all, a number of more than 80 digits (when written).
    """

    rulebook: str
    snapshot: str
    problem: Problem
    waves: tuple[Wave, ...] = ()
    claims: tuple[Claim, ...] = field(default=(Safe(),))

    def __post_init__(self) -> None:
        for digest in (self.rulebook, self.snapshot):
            require(_HEX64.fullmatch(digest) is not None, "a hash is 64 lower-case hex digits")
        require(bool(self.claims), "a certificate needs a claim")

    def to_json(self) -> Json:
        """Return the whole document as plain lists, dictionaries, strings and integers."""
        problem = self.problem.to_json()
        return self._with(problem, hashlib.sha256(canonical_bytes(problem)).hexdigest())

    def _with(self, problem: JsonValue, digest: str) -> Json:
        return {
            "format": FORMAT,
            "hashes": {"rulebook": self.rulebook, "snapshot": self.snapshot, "problem": digest},
            "problem": problem,
            "waves": [[order.to_json() for order in wave] for wave in self.waves],
            "claims": [claim.to_json() for claim in self.claims],
        }

    def text(self) -> str:
        """Return the document as canonical ASCII text; a number of over 80 digits is refused."""
        # The problem is nearly all of it, so it is written once: hashed, then put into its place. A JSON string has
        # no bare quote, so the only `"problem":null` is that place: the key of that name in `hashes` has a digest.
        problem = canonical_bytes(self.problem.to_json())
        around = canonical_bytes(self._with(None, hashlib.sha256(problem).hexdigest()))
        before, after = around.split(b'"problem":null')
        result = b"".join((before, b'"problem":', problem, after))
        # Once every digit is a zero, a plain search does: ten times as fast as a regular expression.
        require(_TOO_LONG not in result.translate(_ZEROS), f"a number has over {DIGITS_MAX} digits")
        return result.decode("ascii")


def canonical_bytes(document: Mapping[str, JsonValue]) -> bytes:
    """Return the one byte sequence of `document`: sorted keys, no spaces, ASCII."""
    # What `to_json` returns is a tree, so a search for circles would find none.
    text = json.dumps(document, check_circular=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def problem_hash(problem: Problem) -> str:
    """Return the SHA-256 of the canonical bytes of `problem`, 64 lower-case hex digits."""
    return hashlib.sha256(canonical_bytes(problem.to_json())).hexdigest()
