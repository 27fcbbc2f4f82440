"""`POST /v1/rebalances` with a model: each of them, each refusal, and what the record says of it.

The solver process is the real one, shared by the whole file; where only what is asked matters, a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexorder.api.client import calls
from lexorder.api.service.rebalance_asked import Asked
from lexorder.api.service.rebalance_worker import Worker
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.verify import verify
from lexorder.optimizers.models import GOALS, MEASURES, MODELS
from tests.service.house import House
from tests.service.solving import solver_of
from tests.worlds import VOCABULARY, position, world

CAP = """
- rule: cap
  title: No issuer above 30%
  phases: [pre_trade, rebalance]
  for_each: issuer
  require: sum(position.after.value) <= 30% * account.nav
- rule: low-reward
  title: Little reward is skipped
  phases: [signal]
  for_each: signal
  when: signal.reward_risk < 2
  then: [skip: too little reward]
"""
SYMBOLS = ["ACME", "BETA", "COCO"]
TESS = "senior_trader/tess"
NUMBERS = np.random.default_rng(8).normal(0, [0.01, 0.02, 0.03], (60, 3))
RETURNS: dict[str, Any] = {"symbols": SYMBOLS, "rows": [[f"{r:.6f}" for r in row] for row in NUMBERS]}
ASKED = {"account": "A", "trader": "T", "symbols": SYMBOLS}


def wish(symbol: str, **facts: str) -> dict[str, str]:
    told = {"id": f"S-{symbol}", "symbol": symbol, "account": "A", "direction": "long", "timeframe": "1d"}
    return {**told, "expected_return": "3%", "confidence": "90%", **facts}


SNAPSHOT = world(signals=[wish("ACME"), wish("BETA", reward_risk="1")], positions=[position("BETA", 50)])


class Lasting(Worker):
    """One solver for the whole file: it takes seconds to start."""

    def close(self) -> None:
        """It goes on."""


@pytest.fixture(scope="module")
def solver() -> Iterator[Worker]:
    made = Lasting()
    yield made
    Worker.close(made)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, solver: Worker) -> Iterator[House]:
    """Account A holds 50 BETA, whose signal is skipped, and wants ACME."""
    made = House(tmp_path_factory.mktemp("models"), CAP)
    made.service.rebalancer.close()
    made.service.rebalancer = solver
    made.post("/v1/snapshot", SNAPSHOT)
    yield made
    made.close()


def rebalanced(house: House, **asked: Any) -> dict[str, Any]:
    """The answer that was waited for."""
    found: dict[str, Any] = house.post("/v1/rebalances", {**ASKED, **asked, "wait": True}, by=TESS)
    return found


def recorded(house: House, identifier: str) -> dict[str, Any]:
    """The body of its record."""
    (body,) = (
        json.loads(r.body) for r in house.run(house.service.recorded(kind="rebalance")) if r.ref == identifier
    )  # fmt: skip
    assert isinstance(body, dict)
    return body


# ---- each model ------------------------------------------------------------------------------------------------------

EACH: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"name": "mean_variance", "library": "CVXPY", "version": version("cvxpy"), "aversion": "15"}),
    (
        {"model": "max_utility", "invested": "0.6", "max_weight": "0.4", "aims": {"aversion": "4"}, "returns": RETURNS},
        {"name": "max_utility", "library": "PyPortfolioOpt", "version": version("pyportfolioopt"), "aversion": "4",
         "invested": "0.6", "max_weight": "0.4"},
    ),
    (
        {"model": "mean_risk", "risk_measure": "CDaR", "returns": RETURNS},
        {"name": "mean_risk", "library": "Riskfolio-Lib", "version": version("riskfolio-lib"), "risk_measure": "CDaR",
         "goal": "MinRisk", "invested": "1", "max_weight": "1"},
    ),
    (
        {"model": "risk_parity", "invested": "0.5", "returns": RETURNS},
        {"name": "risk_parity", "library": "Riskfolio-Lib", "version": version("riskfolio-lib"), "risk_measure": "MV",
         "invested": "0.5"},
    ),
    ({"model": "target_weights", "targets": {"ACME": "0.25", "COCO": "0.1234"}}, {"name": "target_weights"}),
]  # fmt: skip


def test_every_model_is_asked_for_here():
    assert {told["name"] for _, told in EACH} == set(MODELS)


@pytest.mark.parametrize(("asked", "told"), EACH, ids=[told["name"] for _, told in EACH])
def test_a_model_ends_in_orders_with_their_proof_and_a_record_of_what_was_asked(home, asked, told):
    answer = rebalanced(home, **asked)
    assert answer["status"] == "done", answer
    outcome = answer["outcome"]
    assert outcome["model"] == told
    assert verify(home.call("GET", f"/v1/rebalances/{answer['id']}/certificate").text).valid
    assert told["name"] in home.call("GET", f"/v1/rebalances/{answer['id']}/report", by=TESS).text
    body = recorded(home, answer["id"])
    kept = {k: v for k, v in told.items() if k != "aversion"}
    assert {k: v for k, v in body["asked"]["model"].items() if k != "aversion"} == kept
    assert body["outcome"]["model"] == told
    assert body["asked"]["aims"] == asked.get("aims", {})
    assert body["asked"]["targets"] == asked.get("targets")
    assert (body["asked"]["returns_sha256"] is None) == ("returns" not in asked)
    if told["name"] != "mean_variance":
        weights = {w["symbol"]: float(w["weight_after"]) for w in outcome["weights"]}
        assert max(weights.values()) <= 0.3
        assert weights["BETA"] <= 0.05, "50 BETA are 5%, and its signal is skipped"


def test_given_weights_become_whole_shares_and_what_is_skipped_stays(home):
    outcome = rebalanced(home, model="target_weights", targets={"ACME": "0.25", "BETA": "0.2"})["outcome"]
    orders = {o["Symbol"]: (o["Side"], o["OrderQty"]) for o in outcome["orders"]}
    assert orders == {"ACME": ("1", "250")}
    assert outcome["objective"]["value_bp"] == "0"
    (beta,) = [t for t in outcome["targets"] if t["symbol"] == "BETA"]
    assert (beta["proposed_weight"], beta["target_weight"]) == ("0.2", "0.05")


def test_the_same_returns_have_the_same_hash_in_the_record_and_others_another(home):
    asked = {"model": "risk_parity", "invested": "0.5"}
    other = {**RETURNS, "rows": [["0.011", "-0.02", "0.03"], *RETURNS["rows"][1:]]}
    found = [
        recorded(home, rebalanced(home, **asked, returns=r)["id"])["asked"]["returns_sha256"]
        for r in (RETURNS, RETURNS, other)
    ]
    assert found[0] == found[1] != found[2]


def test_names_that_are_only_weighted_are_part_of_it(home):
    outcome = rebalanced(home, symbols=[], model="target_weights", targets={"COCO": "0.1"})["outcome"]
    assert "COCO" in {o["Symbol"] for o in outcome["orders"]}


@pytest.mark.parametrize("rows", [[["0.01", "0.01", "0.01"]] * 5, RETURNS["rows"][:2]], ids=["flat", "two periods"])
def test_what_a_library_can_make_nothing_of_is_undecided_with_its_code(home, rows):
    asked = {"model": "mean_risk", "risk_measure": "MV", "goal": "Sharpe"}
    answer = rebalanced(home, **asked, returns={"symbols": SYMBOLS, "rows": rows})
    assert (answer["status"], answer["outcome"]["code"]) == ("undecided", "model-input")
    assert "orders" not in answer["outcome"]
    assert recorded(home, answer["id"])["asked"]["model"]["name"] == "mean_risk"


def test_a_history_without_a_name_is_no_answer(home):
    short = {"symbols": SYMBOLS[:2], "rows": [row[:2] for row in RETURNS["rows"]]}
    answer = rebalanced(home, model="risk_parity", returns=short)
    assert (answer["status"], answer["outcome"]["code"]) == ("undecided", "model-input")
    assert "COCO" in answer["outcome"]["message"]


def test_a_signal_that_contradicts_itself_is_refused(home):
    home.post("/v1/snapshot", {**SNAPSHOT, "signals": [wish("ACME", direction="short")]})
    answer = rebalanced(home)
    home.post("/v1/snapshot", SNAPSHOT)
    assert (answer["status"], answer["outcome"]["code"]) == ("refused", "signal-contradicts")


# ---- each refusal ----------------------------------------------------------------------------------------------------

WEIGHTS = {"model": "target_weights"}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "risk_party"}, "unknown-model", "did you mean `risk_parity`?"),
    ({"model": ""}, "unknown-model", "mean_variance"),
    ({"model": "mean_risk", "risk_measure": "cvar", "returns": RETURNS}, "unknown-risk-measure", "`CVaR`"),
    ({"model": "mean_risk", "goal": "sharpe", "returns": RETURNS}, "unknown-goal", "`Sharpe`"),
    ({"model": "risk_parity", "goal": "Sharpe", "returns": RETURNS}, "setting-not-used", "goal"),
    ({"goal": "Sharpe"}, "setting-not-used", "mean_variance"),
    ({"targets": {"ACME": "0.1"}}, "setting-not-used", "targets"),
    ({"model": "risk_parity", "aims": {"aversion": "3"}, "returns": RETURNS}, "setting-not-used", "aversion"),
    ({"model": "max_utility", "aims": {"cost": "0.1"}, "returns": RETURNS}, "setting-not-used", "cost"),
    ({**WEIGHTS, "targets": {"ACME": "0.1"}, "aims": {"periods": "3"}}, "setting-not-used", "periods"),
    ({"model": "risk_parity"}, "returns-needed", "past returns"),
    ({"returns": {"symbols": ["ACME", "ACME"], "rows": [["0", "0"]] * 3}}, "bad-returns", "once"),
    ({"returns": {"symbols": ["ACME"], "rows": [["0", "0"]] * 3}}, "bad-returns", "one for each"),
    ({"model": "mean_risk", "goal": "Utility"}, "returns-needed", "past returns"),
    (WEIGHTS, "missing-targets", "target weight"),
    ({**WEIGHTS, "targets": {}}, "missing-targets", "target weight"),
    ({**WEIGHTS, "targets": {"ACME": "0.6", "BETA": "0.400000000000000001"}}, "bad-targets", "more than 1"),
    ({**WEIGHTS, "targets": {"ACME": "1.5"}}, "bad-targets", "from -1 to 1"),
    ({**WEIGHTS, "targets": {"NOBODY": "0.1"}}, "unknown-symbol", "`targets`"),
    ({"model": "risk_parity", "invested": "0", "returns": RETURNS}, "bad-setting", "above 0"),
    ({"model": "max_utility", "max_weight": "1.01", "returns": RETURNS}, "bad-setting", "at most 1"),
]


@pytest.mark.parametrize(("asked", "code", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_makes_no_sense_is_a_problem_with_its_code_and_begins_nothing(home, asked, code, words):
    before = len(home.run(home.service.recorded(kind="rebalance")))
    answer = home.call("POST", "/v1/rebalances", {**ASKED, **asked}, by=TESS)
    document = answer.json()
    assert (answer.status_code, document["code"]) == (422, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in document["detail"]
    for given in ("risk_party", "NOBODY", "cvar", "sharpe"):
        assert f"`{given}`" not in answer.text, "what was sent is not repeated"
    assert len(home.run(home.service.recorded(kind="rebalance"))) == before


@pytest.mark.parametrize(
    "asked",
    [
        {"modle": "risk_parity"},
        {"model": 7},
        {"model": None},
        {"model": "m" * 65},
        {"invested": 0.5},
        {"invested": "half"},
        {"invested": "-0.5"},
        {"max_weight": "1e-2"},
        {**WEIGHTS, "targets": {"ACME": 0.1}},
        {**WEIGHTS, "targets": {"ACME": "10%%"}},
        {**WEIGHTS, "targets": {"ACME": "+0.1"}},
        {**WEIGHTS, "targets": {"ACME": "2"}},
        {**WEIGHTS, "targets": {"ACME": "0.1234567890123456789"}},
        {**WEIGHTS, "targets": [["ACME", "0.1"]]},
        {**WEIGHTS, "targets": {f"N{n}": "0" for n in range(3001)}},
    ],
    ids=range(15),
)
def test_what_has_another_form_is_refused_before_it_is_read(home, asked):
    assert home.refused("POST", "/v1/rebalances", {**ASKED, **asked}, by=TESS)[0] in {400, 422}


def test_without_signals_what_weighs_returns_is_refused(home):
    home.post("/v1/snapshot", {**SNAPSHOT, "signals": []})
    refused = home.refused("POST", "/v1/rebalances", {**ASKED, "model": "max_utility", "returns": RETURNS}, by=TESS)
    done = rebalanced(home, model="risk_parity", invested="0.5", returns=RETURNS)
    home.post("/v1/snapshot", SNAPSHOT)
    assert refused == (422, "signals-needed")
    assert done["status"] == "done"


# ---- what is offered -------------------------------------------------------------------------------------------------


def test_the_document_lists_models_measures_and_goals(home):
    fields = Asked.model_json_schema()["properties"]
    assert fields["model"]["enum"] == list(MODELS)
    assert fields["model"]["default"] == "mean_variance"
    assert [m for m in fields["risk_measure"]["enum"] if m] == list(MEASURES)
    assert [g for g in fields["goal"]["enum"] if g] == list(GOALS)
    assert Asked.model_config["extra"] == "forbid"


def test_the_client_sends_what_the_service_takes(home):
    call = calls.rebalance("A", "T", model="target_weights", targets={"ACME": "0.1"}, symbols=SYMBOLS, wait=True)
    assert home.post(call.template, call.body, by=TESS)["outcome"]["model"] == {"name": "target_weights"}
    assert "wait" not in (calls.rebalance("A", "T").body or {})


def test_one_that_is_cancelled_is_recorded_with_what_was_asked(tmp_path):
    house = House(tmp_path, CAP)
    try:
        house.post("/v1/snapshot", SNAPSHOT)
        solver = solver_of(house)
        asked = {**ASKED, "model": "risk_parity", "returns": RETURNS, "wait": False}
        begun = house.post("/v1/rebalances", asked, by=TESS, status=202)["id"]
        house.until(lambda: bool(solver.begun))
        house.call("DELETE", f"/v1/rebalances/{begun}", by=TESS)
        body = recorded(house, begun)
        assert (body["status"], body["asked"]["model"]["version"]) == ("cancelled", version("riskfolio-lib"))
    finally:
        house.close()


def test_a_snapshot_of_these_tests_is_one_the_rules_read(tmp_path: Path):
    """The skip is a rule's doing and not an oversight of the world above."""
    from lexorder.optimizers.signals import through_rules

    snapshot = load_snapshot(SNAPSHOT, VOCABULARY)
    rules = RuleBook.of(CAP, VOCABULARY).on(snapshot.time.date())
    assert [s.skipped for s in through_rules(rules, VOCABULARY, snapshot, "A").signals] == ["", "too little reward"]
