"""A parameter that is not there is refused wherever it stands: overlooked, it would change what is answered."""

from __future__ import annotations

import pytest

from lexorder.api.service.parameters import RESERVE, reserves
from lexorder.api.service.problems import Problem

RITA = "risk_officer/rita"
CHECK = "/v1/orders/check"


def every_get(house):
    """Each address that is read, with something in the place of its parameters."""
    lines = [place for method, place in house.service.access.matrix.lines if method == "GET"]
    return sorted(place.replace("{id}", "x") for place in {*lines, "/healthz", "/readyz"})


def test_no_address_overlooks_a_parameter(shared):
    asked = every_get(shared)
    assert len(asked) > 25
    for place in asked:
        status, code = shared.refused("GET", f"{place}?acount=A")
        assert (status, code) == (422, "unknown-parameter"), place


def test_what_is_taken_is_named_and_what_was_sent_is_not(shared):
    told = shared.call("GET", "/v1/overrides?sttae=open&%3Cb%3E=1", by=RITA).json()
    assert told["detail"] == "This address has no such parameter; it takes: cursor, limit, state."
    assert "sttae" not in str(told)
    assert "<b>" not in str(told)
    assert shared.call("GET", "/v1/shards?x=", by=RITA).json()["detail"].endswith("it takes: none.")


@pytest.mark.parametrize(
    "place", ["/v1/limits/x/check", "/v1/rulebooks/lint", "/v1/kill", "/v1/prices", "/v1/snapshot"]
)
def test_posts_too(shared, place):
    assert shared.refused("POST", f"{place}?dry_run=true", {}) == (422, "unknown-parameter")


def test_a_batch_takes_no_query_and_no_key(shared):
    body = {"orders": [], "mode": "independent"}
    assert shared.refused("POST", "/v1/orders/check-batch?reserve=false", body) == (422, "unknown-parameter")
    assert shared.refused("POST", "/v1/orders/check-batch", {**body, "mdoe": "basket"}) == (422, "unknown-key")


def test_twice_is_refused_and_the_worker_may_be_named(shared):
    assert shared.refused("GET", "/v1/positions?account=A&account=B") == (422, "repeated-parameter")
    assert shared.get("/v1/positions?account=A&shard=0")["count"] >= 0


@pytest.mark.parametrize("query", sorted(RESERVE))
def test_what_a_check_takes(query):
    assert reserves({"query_string": query}) is (query != b"reserve=false")
    assert reserves({}) is True


@pytest.mark.parametrize("query", [b"reserve=0", b"&", b"reserve=false&", b"reserve=%66alse", b"shard=0"])
def test_what_it_does_not_take(query):
    with pytest.raises(Problem) as caught:
        reserves({"query_string": query})
    assert caught.value.code == "bad-parameter"
