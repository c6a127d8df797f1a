"""The function between Cognito and every token: the tenant comes from where administrators write, or not at all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from infra.aws.functions.pre_token.handler import TenantError, handler

# docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html, "trigger sources"
SOURCES = (
    "TokenGeneration_HostedAuth",
    "TokenGeneration_Authentication",
    "TokenGeneration_NewPasswordChallenge",
    "TokenGeneration_AuthenticateDevice",
    "TokenGeneration_RefreshTokens",
)
OKTA = {"userId": "00u1", "providerName": "AcmeOkta", "providerType": "SAML", "primary": "true", "issuer": "x"}
ENTRA = {"userId": "77", "providerName": "GlobexEntra", "providerType": "OIDC", "primary": "true"}
MAPPING = json.dumps({"AcmeOkta": "acme", "GlobexEntra": "globex", "Broken": "not a tenant"})


@pytest.fixture(autouse=True)
def mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_BY_PROVIDER", MAPPING)


def event(source: str = SOURCES[0], metadata: Any = None, **attributes: Any) -> dict[str, Any]:
    """As Cognito sends it."""
    found = {"sub": "1", "email": "alice@acme.example", "cognito:user_status": "CONFIRMED", **attributes}
    return {
        "version": "2",
        "triggerSource": source,
        "region": "us-east-1",
        "userPoolId": "us-east-1_x",
        "userName": "alice",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "c"},
        "request": {
            "userAttributes": {name: value for name, value in found.items() if value is not ...},
            "groupConfiguration": {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": None},
            "scopes": ["openid"],
            "clientMetadata": metadata or {},
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }


def tenant_of(answer: dict[str, Any]) -> str:
    details = answer["response"]["claimsAndScopeOverrideDetails"]
    identity, access = details["idTokenGeneration"], details["accessTokenGeneration"]
    assert identity == access
    assert set(details) == {"idTokenGeneration", "accessTokenGeneration"}
    assert set(access) == {"claimsToAddOrOverride"}
    (claim,) = access["claimsToAddOrOverride"].items()
    assert claim[0] == "tenant_id"
    return str(claim[1])


def federated(*identities: dict[str, Any]) -> dict[str, Any]:
    return {"identities": json.dumps(list(identities))}


@pytest.mark.parametrize("source", SOURCES)
def test_a_user_of_ours_gets_the_tenant_that_an_administrator_wrote(source: str) -> None:
    assert tenant_of(handler(event(source, **{"custom:tenant_id": "acme"}), None)) == "acme"


@pytest.mark.parametrize("source", SOURCES)
def test_a_federated_user_gets_the_tenant_of_the_provider_by_its_name(source: str) -> None:
    assert tenant_of(handler(event(source, **federated(OKTA)), None)) == "acme"
    assert tenant_of(handler(event(source, **federated(OKTA), **{"custom:tenant_id": "acme"}), None)) == "acme"


@pytest.mark.parametrize("source", [*SOURCES, "TokenGeneration_ClientCredentials", "TokenGeneration_Tomorrow", ""])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"custom:tenant_id": ""},
        {"custom:tenant_id": None},
        {"custom:tenant_id": ["acme"]},
        {"custom:tenant_id": "acme globex"},
        {"custom:tenant_id": "acme\n"},
        {"custom:tenant_id": "-acme"},
        {"custom:tenant_id": "a" * 65},
        {"custom:tenant_id": "acmé"},
        {"tenant_id": "acme"},
        {"custom:Tenant_id": "acme"},
        {"dev:custom:tenant_id": "acme"},
        federated({**OKTA, "providerName": "Unknown"}),
        federated({**OKTA, "providerName": "acmeokta"}),
        federated({**OKTA, "providerName": ["AcmeOkta"]}),
        federated({**OKTA, "providerName": "Broken"}),
        federated({"userId": "00u1"}),
        federated(),
        {"identities": "not json"},
        {"identities": "null"},
        {"identities": '{"providerName": "AcmeOkta"}'},
        {"identities": None},
        # Two that disagree: an account linked to two organizations, or one whose attribute names another.
        federated(OKTA, ENTRA),
        federated(OKTA, {**OKTA, "providerName": "Unknown"}),
        federated(OKTA) | {"custom:tenant_id": "globex"},
        federated({**OKTA, "providerName": "Unknown"}) | {"custom:tenant_id": "acme"},
        {"identities": "not json", "custom:tenant_id": "acme"},
        federated(OKTA) | {"custom:tenant_id": 1},
    ],
)
def test_without_exactly_one_tenant_there_is_no_token(source: str, attributes: dict[str, Any]) -> None:
    asked = event(source, {"tenant_id": "acme", "custom:tenant_id": "acme"}, **attributes)
    before = copy.deepcopy(asked)
    with pytest.raises(TenantError) as refused:
        handler(asked, None)
    assert asked == before
    assert str(refused.value) == "This account is not assigned to an organization."


@pytest.mark.parametrize("request_", [None, [], "x", {}, {"userAttributes": None}, {"userAttributes": []}])
def test_an_event_of_another_shape_gets_no_token(request_: Any) -> None:
    with pytest.raises(TenantError):
        handler({**event(), "request": request_}, None)
    without = event()
    del without["request"]
    with pytest.raises(TenantError):
        handler(without, None)


@pytest.mark.parametrize("value", ["", "not json", "[]", "null", '{"AcmeOkta": 1}', '{"AcmeOkta": null}'])
def test_a_mapping_that_cannot_be_read_knows_no_provider(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_BY_PROVIDER", value)
    with pytest.raises(TenantError):
        handler(event(**federated(OKTA)), None)


def test_the_pattern_is_that_of_the_service() -> None:
    from infra.aws.functions.pre_token import handler as function
    from service import tenancy

    for tenant in ("a", "Acme_1-x", "a" * 64, "", "-a", "a b", "a" * 65, "ä", "a\n"):
        try:
            tenancy.TenantId.parse(tenant)
            accepted = True
        except ValueError:
            accepted = False
        assert bool(function._TENANT.fullmatch(tenant)) is accepted
