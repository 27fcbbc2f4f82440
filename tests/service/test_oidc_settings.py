"""The settings of the identity provider, from the environment to the verifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexorder.api.service.roles import Role
from lexorder.api.service.service import _roles, _tokens
from lexorder.api.service.settings import from_environment
from lexorder.engine.errors import UsageError


def test_the_provider_is_what_the_environment_says(tmp_path: Path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": []}))
    environment = {
        "LEXORDER_OIDC_ISSUER": "https://id.example.com",
        "LEXORDER_OIDC_AUDIENCE": "lexorder",
        "LEXORDER_OIDC_JWKS": str(keys),
        "LEXORDER_OIDC_ROLE_CLAIM": "groups",
        "LEXORDER_OIDC_PERSON_CLAIM": "email",
        "LEXORDER_OIDC_ROLES": "risk=risk_officer, pm=portfolio_manager",
    }
    tokens = _tokens(from_environment(environment))
    assert tokens is not None
    issuer = tokens.issuer
    assert (issuer.issuer, issuer.audience) == ("https://id.example.com", "lexorder")
    assert (issuer.role_claim, issuer.person_claim, issuer.accounts_claim) == ("groups", "email", "lexorder_accounts")
    assert issuer.roles == {"risk": Role.RISK_OFFICER, "pm": Role.PORTFOLIO_MANAGER}


def test_no_issuer_means_no_tokens():
    assert _tokens(from_environment({})) is None


@pytest.mark.parametrize("lacking", ["LEXORDER_OIDC_AUDIENCE", "LEXORDER_OIDC_JWKS"])
def test_an_issuer_alone_is_refused(lacking):
    whole = {"LEXORDER_OIDC_ISSUER": "i", "LEXORDER_OIDC_AUDIENCE": "a", "LEXORDER_OIDC_JWKS": "k"}
    with pytest.raises(UsageError, match="LEXORDER_OIDC"):
        _tokens(from_environment({k: v for k, v in whole.items() if k != lacking}))


def test_a_word_for_no_role_is_refused():
    with pytest.raises(UsageError, match="risk_officer"):
        _roles("risk=root")
