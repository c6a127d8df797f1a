"""Each refusal of a token says which rule it was: who configures a provider has nothing else to go by."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.auth import errors
from service.auth.tokens.judge import Authenticator, ExternalIssuers
from service.auth.tokens.keys import IssuerKeys
from service.auth.tokens.principal import principal_of
from service.errors import ApiError, Error
from tests.support.idp.issuer import Issuer, provider_of

pytestmark = pytest.mark.anyio
OIDC = {"IDP__TEST__KIND": "oidc"}
HERE = {"IDP__TEST__AUDIENCE": "api", **OIDC}
MAPPED = {"IDP__TEST__TENANTS": "clinic=acme"}
STEPS = ("issuer", "signature", "kind", "subject", "audience", "times")


@pytest.mark.parametrize(
    ("settings", "header", "claims", "step", "error", "reason"),
    [
        ({}, {}, {"iss": "https://other"}, "issuer", errors.TOKEN_ISSUER, None),
        ({}, {"alg": "HS256"}, {}, "signature", errors.TOKEN_HEADER, "algorithm"),
        ({}, {"alg": None}, {}, "signature", errors.TOKEN_HEADER, "algorithm"),
        ({}, {"kid": ""}, {}, "signature", errors.TOKEN_HEADER, "kid"),
        ({}, {"kid": 7}, {}, "signature", errors.TOKEN_HEADER, "kid"),
        ({}, {"kid": "x" * 257}, {}, "signature", errors.TOKEN_HEADER, "kid"),
        ({}, {"kid": "x" * 256}, {}, "signature", errors.TOKEN_KEY, None),
        ({}, {"typ": "logout+jwt"}, {}, "signature", errors.TOKEN_KIND, "typ"),
        ({}, {"typ": 7}, {}, "signature", errors.TOKEN_KIND, "typ"),
        ({}, {}, {"token_use": "id"}, "kind", errors.TOKEN_KIND, "token_use"),
        (OIDC, {}, {"nonce": "n"}, "kind", errors.TOKEN_KIND, "id_token"),
        ({}, {}, {"cnf": {}}, "kind", errors.TOKEN_BOUND, None),
        ({}, {}, {"sub": ""}, "subject", errors.TOKEN_CLAIM, "sub"),
        ({}, {}, {"client_id": "theirs"}, "audience", errors.TOKEN_AUDIENCE, "client_id"),
        ({}, {}, {"client_id": ...}, "audience", errors.TOKEN_AUDIENCE, "client_id"),
        (HERE, {}, {"aud": "theirs"}, "audience", errors.TOKEN_AUDIENCE, "aud"),
        (HERE, {}, {"aud": [7]}, "audience", errors.TOKEN_AUDIENCE, "aud_form"),
        (HERE, {}, {"aud": "api", "azp": "theirs"}, "audience", errors.TOKEN_AUDIENCE, "azp"),
        ({}, {}, {"exp": ...}, "times", errors.TOKEN_CLAIM, "exp"),
        ({}, {}, {"iat": "now"}, "times", errors.TOKEN_CLAIM, "iat"),
        ({}, {}, {"iat": 2e9, "exp": 2e9}, "times", errors.TOKEN_CLAIM, "iat"),
        ({}, {}, {"iat": 0}, "times", errors.TOKEN_CLAIM, "iat"),
        ({}, {}, {"iat": 1, "exp": 2}, "times", errors.TOKEN_EXPIRED, None),
        ({}, {}, {"nbf": True}, "times", errors.TOKEN_CLAIM, "nbf"),
        (MAPPED, {}, {"tenant_id": "acme"}, "times", errors.TENANT_FORBIDDEN, "not_mapped"),
        (MAPPED, {}, {"tenant_id": ["clinic"]}, "times", errors.TENANT_FORBIDDEN, "not_mapped"),
    ],
)
async def test_a_refusal_says_how_far_the_token_came_and_which_rule_it_broke(
    issuer: Issuer,
    client: httpx.AsyncClient,
    settings: dict[str, str],
    header: dict[str, Any],
    claims: dict[str, Any],
    step: str,
    error: Error,
    reason: str | None,
) -> None:
    reached: list[str] = []
    keys = IssuerKeys(provider_of(issuer, **settings), client)
    gate = Authenticator([ExternalIssuers([keys], reached=reached.append)])
    with pytest.raises(ApiError) as refused:
        principal_of(await gate.verify(issuer.token(header=header, **claims)))
    assert (refused.value.error, refused.value.reason) == (error, reason)
    assert tuple(reached) == STEPS[: STEPS.index(step) + 1]


async def test_a_token_without_a_type_is_one_and_a_mapped_tenant_is_ours(
    issuer: Issuer, client: httpx.AsyncClient
) -> None:
    gate = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer, **MAPPED), client)])])
    token = issuer.token(header={"typ": ...}, tenant_id="clinic")
    assert principal_of(await gate.verify(token)).tenant == "acme"
