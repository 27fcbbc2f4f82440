"""The verifier against the truth: what it accepts is true, and what is true and simple it accepts."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from lexorder.engine.certificate import Bound, Certificate, End, Infeasible, Safe
from lexorder.engine.verify import verify
from tests.certificate.instances import (
    RULEBOOK,
    SNAPSHOT,
    asserted,
    bound_claim,
    honest,
    infeasible_claim,
    instance,
    sharpened,
)
from tests.certificate.truth import Truth, true_claims


def text_of(problem, waves, *claims) -> str:
    return Certificate(RULEBOOK, SNAPSHOT, problem, waves, claims).text()


@pytest.mark.parametrize("block", range(6))
@pytest.mark.parametrize("claim", [Safe(), End()], ids=["safe", "end"])
def test_without_mixed_rows_the_verifier_says_exactly_what_brute_force_says(claim, block):
    seen: Counter[bool] = Counter()
    for seed in range(60 * block, 60 * (block + 1)):
        text = text_of(*instance(seed), claim)
        truth = Truth(json.loads(text))
        expected = truth.safe() if isinstance(claim, Safe) else truth.end()
        verdict = verify(text)
        assert verdict.valid == expected, (seed, verdict)
        seen[expected] += 1
    assert min(seen[True], seen[False]) >= 5, "the instances must show both answers"


@pytest.mark.parametrize("claim", [Safe(), End()], ids=["safe", "end"])
def test_with_mixed_rows_the_verifier_accepts_nothing_false(claim):
    valid = 0
    for seed in range(1000, 1200):
        text = text_of(*instance(seed, mixed=True), claim)
        if verify(text).valid:
            valid += 1
            assert true_claims(json.loads(text)) == [True], seed
    assert valid >= 20


def test_a_row_alone_is_safe_exactly_from_its_worst_value_on():
    """No other row can hide a worst value that is off by one; brute force says what the worst value is."""
    for seed in range(1500, 1560):
        problem, waves = instance(seed)
        for alone, safe in sharpened(problem, waves):
            text = text_of(alone, waves, Safe())
            assert verify(text).valid == safe == Truth(json.loads(text)).safe(), seed


@pytest.mark.parametrize("block", range(4))
def test_a_refutation_is_found_and_accepted_exactly_when_nothing_is_feasible(block):
    seen: Counter[bool] = Counter()
    for seed in range(2000 + 40 * block, 2040 + 40 * block):
        problem, waves = instance(seed, tight=True)
        claim = infeasible_claim(problem)
        shape = {"rows": list(asserted(problem)), "clauses": list(range(len(problem.clauses)))}
        truth = Truth(Certificate(RULEBOOK, SNAPSHOT, problem, waves).to_json())
        assert truth.infeasible(shape) == (claim is not None), seed
        if claim is not None:
            verdict = verify(text_of(problem, waves, claim))
            assert verdict.valid, (seed, verdict)
        seen[claim is not None] += 1
    assert min(seen[True], seen[False]) >= 3


def test_a_bound_is_accepted_up_to_what_it_proves_and_is_true():
    proved = tight = 0
    for seed in range(3000, 3160):
        problem, waves = instance(seed)
        claim = bound_claim(problem, waves, random.Random(seed))
        if claim is None:
            continue
        text = text_of(problem, waves, claim)
        assert verify(text).valid, seed
        assert true_claims(json.loads(text)) == [True], seed
        above = Bound(claim.scale, claim.multipliers, claim.points, claim.value + 1, claim.objective)
        verdict = verify(text_of(problem, waves, above))
        assert verdict.code == "bound-not-proved", seed
        proved += 1
        tight += true_claims(json.loads(text_of(problem, waves, above))) == [False]
    assert proved >= 100
    assert tight >= 10, "some bounds must be the exact optimum"


def test_a_mixed_row_with_a_multiplier_is_refused_because_it_could_prove_something_false():
    refused = 0
    for seed in range(4000, 4100):
        problem, waves = instance(seed, mixed=True, tight=True)
        mixed = [r for r in asserted(problem) if problem.mixed(problem.rows[r])]
        if not mixed or problem.objective is None:
            continue
        objective = problem.objective.value(problem.holdings(waves))
        claim = Bound(1, ((mixed[0], 1),), (0,) * len(problem.objective.factors), -(10**9), objective)
        verdict = verify(text_of(problem, waves, claim))
        assert verdict.code == "mixed-row", (seed, verdict)
        refused += 1
    assert refused >= 10


def test_every_honest_certificate_is_valid_and_all_four_claims_occur():
    kinds: Counter[type] = Counter()
    for seed in range(5000, 5120):
        for tight in (False, True):
            certificate = honest(seed, tight=tight)
            document = certificate.to_json()
            truths = true_claims(document)
            verdict = verify(certificate.text())
            assert verdict.valid == all(truths), (seed, tight, verdict)
            if verdict.valid:
                kinds.update(type(claim) for claim in certificate.claims)
                assert len(verdict.checked) == len(certificate.claims) + 1
    assert set(kinds) == {Safe, End, Infeasible, Bound}
    assert min(kinds.values()) >= 20, kinds
