"""What a rebalance steers by: lexorder's own objective, weights another library proposes, or weights the caller has.

In: the name of a model and its settings, as somebody wrote them. Out: a `Model` that makes sense, and what is told of
it. Guaranteed: a setting is used or refused, never ignored; names are literature's and the libraries' own. Refused
(`UsageError`), with what is known and the nearest name, without repeating what was written: `unknown-model`,
`unknown-risk-measure`, `unknown-goal`, `setting-not-used`, `bad-setting`, `missing-targets`, `returns-needed`,
`signals-needed`. Why a file of its own: whoever only reads requests must not import a solver. Before: the command
line, `rebalance_asked.py`. After: `estimates.py`, `targets.py`, `rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version
from math import nextafter

from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import UsageError
from lexorder.engine.facts import plain

MEASURES = ("MV", "MAD", "MSV", "CVaR", "EVaR", "WR", "MDD", "CDaR")
"""Risk measures passed on, by Riskfolio-Lib's own codes."""

GOALS = ("MinRisk", "Utility", "Sharpe", "MaxRet")
"""Goals of mean-risk passed on, by Riskfolio-Lib's own names."""

USE_RETURNS = ("Utility", "Sharpe", "MaxRet")
"""Goals that weigh expected returns, and so need signals."""

NATIVE = "mean_variance"


@dataclass(frozen=True, slots=True)
class Kind:
    """One model: who proposes, which settings it takes, and what it cannot do without.

    `library`, `distribution`: the name people know and the one it is installed under; empty where nobody proposes.
    """

    library: str
    distribution: str
    takes: frozenset[str]
    needs_returns: bool = False
    needs_signals: bool = False


MODELS: Mapping[str, Kind] = {
    NATIVE: Kind("CVXPY", "cvxpy", frozenset({"aversion", "periods", "cost"})),
    "max_utility": Kind(
        "PyPortfolioOpt",
        "pyportfolioopt",
        frozenset({"aversion", "periods", "invested", "max_weight"}),
        needs_returns=True,
        needs_signals=True,
    ),
    "mean_risk": Kind(
        "Riskfolio-Lib",
        "riskfolio-lib",
        frozenset({"risk_measure", "goal", "aversion", "periods", "invested", "max_weight"}),
        needs_returns=True,
    ),
    "risk_parity": Kind("Riskfolio-Lib", "riskfolio-lib", frozenset({"risk_measure", "invested"}), needs_returns=True),
    "target_weights": Kind("", "", frozenset({"targets"})),
}
"""The models there are. `mean_variance` states its objective itself; the others give target weights, which are tracked.

Signals are asked for where a library would otherwise be told that nothing is expected of any name.
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its settings; None stands for what it takes by itself.

    `risk_measure`: one of `MEASURES` (`mean_risk`: CVaR, `risk_parity`: MV). `goal`: one of `GOALS` (MinRisk).
    `invested`: share of NAV a library's weights sum to, above 0 and at most 1 (1). `max_weight`: the largest weight of
    one name a library may propose, the same range (1). `targets`: the caller's own weights in NAV by symbol, exact;
    names without one have 0, and what is left to 1 is cash. Refused: see the module.
    """

    name: str = NATIVE
    risk_measure: str | None = None
    goal: str | None = None
    invested: Fraction | None = None
    max_weight: Fraction | None = None
    targets: Mapping[str, Fraction] | None = None

    def __post_init__(self) -> None:
        _known("unknown-model", "model", self.name, MODELS)
        self.refuse_unused([s for s in SETTINGS if getattr(self, s) is not None])
        _known("unknown-risk-measure", "risk measure", self.risk_measure, MEASURES)
        _known("unknown-goal", "goal", self.goal, GOALS)
        for share, words in ((self.invested, "the invested share"), (self.max_weight, "the largest weight")):
            if share is not None and not 0 < share <= 1:
                raise UsageError("bad-setting", f"{words} must be above 0 and at most 1, such as 0.95")
        if self.name == "target_weights":
            _refuse_targets(self.targets)

    @property
    def kind(self) -> Kind:
        """What is known of this model."""
        return MODELS[self.name]

    @property
    def is_native(self) -> bool:
        """Whether the objective is lexorder's own, and not the distance to target weights."""
        return self.name == NATIVE

    @property
    def measure(self) -> str:
        """The risk measure in force; empty where the model has none."""
        usual = {"mean_risk": "CVaR", "risk_parity": "MV"}
        return self.risk_measure or usual.get(self.name, "")

    @property
    def aim(self) -> str:
        """The goal in force; empty where the model has none."""
        return self.goal or ("MinRisk" if self.name == "mean_risk" else "")

    @property
    def weighs_returns(self) -> bool:
        """Whether a library is told what each name is expected to return, and so signals are needed."""
        return self.kind.needs_signals or self.aim in USE_RETURNS

    def refuse_unused(self, given: Collection[str]) -> None:
        """Nothing when this model takes every setting that was given. Raises UsageError `setting-not-used`."""
        for setting in given:
            if not self.takes(setting):
                used = [s for s in (*SETTINGS, "aversion") if self.takes(s)]
                goal = f" with the goal {self.aim}" if self.name == "mean_risk" else ""
                raise UsageError(
                    "setting-not-used", f"{self.name} does not use {setting}{goal}; it takes {', '.join(used)}"
                )

    def takes(self, setting: str) -> bool:
        """Whether a setting makes a difference. Of a goal of mean-risk it depends."""
        if setting not in self.kind.takes:
            return False
        if self.name != "mean_risk" or setting not in ("aversion", "periods"):
            return True
        return self.aim == "Utility" if setting == "aversion" else self.weighs_returns

    def refuse_without(self, *, returns: bool, signals: bool) -> None:
        """Nothing when what this model needs is there. Raises UsageError `returns-needed`, `signals-needed`."""
        if self.kind.needs_returns and not returns:
            raise UsageError(
                "returns-needed",
                f"{self.name} needs past returns: a price history, or a table of returns a period for each symbol",
            )
        if self.weighs_returns and not signals:
            goal = f" with the goal {self.aim}" if self.aim else ""
            raise UsageError("signals-needed", f"{self.name}{goal} needs signals with expected returns and confidence")

    def cap_of(self, names: int) -> float:
        """The largest weight a library may give one of so many names, before it is scaled to the invested share.

        Raises UsageError `bad-setting` when that many names cannot make up the invested share.
        """
        invested, most = self.invested or Fraction(1), self.max_weight or Fraction(1)
        if most * names < invested:
            most_words, whole = plain_share(most), plain_share(invested)
            why = f"{names} names of at most {most_words} each do not make up the invested share, {whole}"
            raise UsageError("bad-setting", f"{why}: lower invested or raise max_weight")
        cap = float(min(most / invested, Fraction(1)))
        return cap if cap * names >= 1 else nextafter(cap, 1.0)  # a float just below would make up a hair less than all

    def told(self, aversion: float | None, solver: str = "cvxpy") -> dict[str, str]:
        """Model, library, its version and the settings in force, as plain text, for reports and records.

        `aversion`: None where nobody said it.
        """
        library, distribution = self.kind.library, self.kind.distribution
        if self.is_native and solver == "clarabel":
            library, distribution = "Clarabel", "clarabel"
        found = {"name": self.name}
        if library:
            found |= {"library": library, "version": version(distribution)}
        if self.measure:
            found["risk_measure"] = self.measure
        if self.aim:
            found["goal"] = self.aim
        if aversion is not None and self.takes("aversion"):
            found["aversion"] = decimal_text(aversion)
        shares = {"invested": self.invested, "max_weight": self.max_weight}
        return found | {k: plain_share(v) for k, v in shares.items() if k in self.kind.takes}


SETTINGS = ("risk_measure", "goal", "invested", "max_weight", "targets")
"""The fields of `Model` that a model takes or refuses."""


def plain_share(share: Fraction | None) -> str:
    """A share as decimal text; all of it where none was given."""
    return str(plain(Fraction(1) if share is None else share))


def decimal_text(number: float) -> str:
    """A float as the shortest decimal text that gives it back, without an exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def _known(code: str, what: str, word: str | None, known: Collection[str]) -> None:
    """Nothing where the word is known, or none was given. Raises UsageError with the nearest known one."""
    if word is None or word in known:
        return
    near = nearest_name(word[:60], list(known))
    hint = f"did you mean `{near}`? " if near else ""
    raise UsageError(code, f"there is no such {what}: {hint}Known are {', '.join(known)}")


def _refuse_targets(targets: Mapping[str, Fraction] | None) -> None:
    """Nothing for weights that can be held without borrowing. Raises UsageError."""
    if not targets:
        raise UsageError("missing-targets", "target_weights needs the target weight of at least one symbol")
    if any(abs(weight) > 1 for weight in targets.values()):
        raise UsageError("bad-targets", "a target weight is a share of NAV from -1 to 1, such as 0.05 or 5%")
    if sum(w for w in targets.values() if w > 0) > 1:
        raise UsageError("bad-targets", "the target weights sum to more than 1; what is left to 1 is cash")


# ---- what came of it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """One name: the weight in NAV that was proposed, and the one that is tracked once the rules had their say.

    Exact. `why`: what the rules on signals took, in words; empty where they took nothing.
    """

    symbol: str
    proposed: Fraction
    weight: Fraction
    why: str = ""


@dataclass(frozen=True, slots=True)
class Steered:
    """What a rebalance was steered by. `model`: as `Model.told`. `targets`: empty for the native model."""

    model: Mapping[str, str]
    targets: tuple[Target, ...] = ()

    @property
    def tracks(self) -> bool:
        """Whether the objective is the distance to target weights."""
        return self.model["name"] != NATIVE

    @property
    def statement(self) -> str:
        """The stated objective in words."""
        if self.tracks:
            return "distance to the target weights, the root of the sum of squared differences"
        return "expected return less risk less costs: mean-variance over the horizon of the signals"

    @property
    def words(self) -> str:
        """Model, library, version and settings on one line."""
        named = {"risk_measure": "risk measure", "max_weight": "largest weight", "invested": "invested share"}
        by = f"{self.model['library']} {self.model['version']}" if "library" in self.model else "weights as given"
        own = ("name", "library", "version")
        parts = [f"{named.get(k, k)} {v}" for k, v in self.model.items() if k not in own]
        return f"{self.model['name']} ({', '.join([by, *parts])})"


UNTOLD = Steered({"name": NATIVE})
"""The native model, where nothing more is known of it."""
