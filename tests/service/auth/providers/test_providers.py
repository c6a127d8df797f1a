"""Tokens shaped as each provider's real ones: which are accepted, and why the others are not.

The shapes are those of the providers' own documentation (docs/AUTH_CONFIGURATION.md shows them); only issuer keys and
times are ours.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from jose import jwk
from jose.backends.base import Key

from service.auth import errors
from service.auth.providers import presets as providers
from service.auth.providers.presets import Provider
from service.auth.settings import AuthSettings
from service.auth.tokens.judge import Authenticator, ExternalIssuers, check_audience
from service.auth.tokens.principal import principal_of
from service.errors import ApiError, Error
from service.principal import Principal
from service.settings import SettingsError, load
from tests.support.api.environments import AUTH, DEVELOPMENT
from tests.support.idp.issuer import first_key, sign

pytestmark = pytest.mark.anyio
NOW = int(time.time())
TIMES = {"iat": NOW, "exp": NOW + 3600}
TID = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TID = "9188040d-6c67-4c5b-b112-36a304b66dad"
API_ID = "11112222-bbbb-3333-cccc-4444dddd5555"


class HeldKeys:
    """The keys of a provider, already fetched."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.key: Key = jwk.construct(first_key().jwk(), "RS256")

    async def find(self, kid: str | None, algorithm: str, issuer: str) -> Key:
        return self.key

    def holds(self, key: Key, kid: str | None, algorithm: str, issuer: str) -> bool:
        return True


@dataclass(frozen=True)
class Case:
    """A provider, its good token, and how that becomes a bad one."""

    settings: dict[str, str]
    header: dict[str, Any]
    claims: dict[str, Any]
    tenant: str
    subject: str
    scopes: set[str]
    bad: list[tuple[str, dict[str, Any], Error]]
    bad_headers: list[tuple[str, dict[str, Any], Error]] = field(default_factory=list)


COGNITO_POOL = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE"
KEYCLOAK = "https://sso.example.com/realms/clinic"
CASES = {
    "cognito": Case(
        {"ISSUER": COGNITO_POOL, "CLIENT_ID": "1h57kf5cpq17m0eml12EXAMPLE"},
        {"kid": "k1", "alg": "RS256"},
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "iss": COGNITO_POOL,
            "version": 2,
            "client_id": "1h57kf5cpq17m0eml12EXAMPLE",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-111111111111",
            "token_use": "access",
            "scope": "openid api/access",
            "auth_time": NOW,
            "jti": "aaaaaaaa-bbbb-cccc-dddd-222222222222",
            "username": "alice",
            "cognito:groups": ["nurses"],
            "tenant_id": "acme",
        },
        "acme",
        "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        {"openid", "api/access"},
        [
            ("ID token", {"token_use": "id", "aud": "1h57kf5cpq17m0eml12EXAMPLE", "client_id": ...}, errors.TOKEN_KIND),
            ("another app client", {"client_id": "other"}, errors.TOKEN_AUDIENCE),
            ("another pool", {"iss": COGNITO_POOL + "2"}, errors.TOKEN_ISSUER),
            ("trailing slash", {"iss": COGNITO_POOL + "/"}, errors.TOKEN_ISSUER),
            (
                "the pool's other issuer form",
                {"iss": COGNITO_POOL.replace("cognito", "issuer-cognito")},
                errors.TOKEN_ISSUER,
            ),
            ("no pre token function", {"tenant_id": ...}, errors.TENANT_MISSING),
            ("the attribute a user may write", {"tenant_id": ..., "custom:tenant_id": "globex"}, errors.TENANT_MISSING),
            ("two tenants", {"organization_id": "globex"}, errors.TENANT_AMBIGUOUS),
            ("tenant as list", {"tenant_id": ["acme"]}, errors.TENANT_MALFORMED),
        ],
    ),
    "okta": Case(
        {"ISSUER": "https://example.okta.com/oauth2/default", "AUDIENCE": "api://default", "CLIENT_ID": "0oaEXAMPLE"},
        {"kid": "k1", "alg": "RS256"},
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://example.okta.com/oauth2/default",
            "aud": "api://default",
            "sub": "alice@example.com",
            "cid": "0oaEXAMPLE",
            "uid": "00uEXAMPLE",
            "scp": ["openid", "profile"],
            "tenant_id": "acme",
        },
        "acme",
        "00uEXAMPLE",
        {"openid", "profile"},
        [
            (
                "ID token",
                {"aud": "0oaEXAMPLE", "cid": ..., "uid": ..., "nonce": "n", "at_hash": "h", "amr": ["pwd"]},
                errors.TOKEN_KIND,
            ),
            ("another client", {"cid": "0oaOTHER"}, errors.TOKEN_AUDIENCE),
            ("another audience", {"aud": "api://other"}, errors.TOKEN_AUDIENCE),
            ("token of the org server", {"iss": "https://example.okta.com"}, errors.TOKEN_ISSUER),
            ("no user", {"uid": ...}, errors.TOKEN_CLAIM),
            ("no tenant", {"tenant_id": ...}, errors.TENANT_MISSING),
        ],
    ),
    "auth0": Case(
        {
            "ISSUER": "https://example.eu.auth0.com/",
            "AUDIENCE": "https://api.example.com",
            "CLIENT_ID": "my_client_id",
            "TENANT_CLAIM": "https://api.example.com/tenant_id",
        },
        {"alg": "RS256", "typ": "JWT", "kid": "k1"},
        {
            "iss": "https://example.eu.auth0.com/",
            "sub": "auth0|123456",
            "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid read:notes",
            "https://api.example.com/tenant_id": "acme",
        },
        "acme",
        "auth0|123456",
        {"openid", "read:notes"},
        [
            ("missing slash", {"iss": "https://example.eu.auth0.com"}, errors.TOKEN_ISSUER),
            ("ID token", {"aud": "my_client_id", "azp": ..., "nonce": "n", "sid": "s"}, errors.TOKEN_KIND),
            ("token for userinfo", {"aud": "https://example.eu.auth0.com/userinfo"}, errors.TOKEN_AUDIENCE),
            ("another client", {"azp": "other"}, errors.TOKEN_AUDIENCE),
            (
                "a name without namespace",
                {"https://api.example.com/tenant_id": ..., "tenant_id": "x"},
                errors.TENANT_MISSING,
            ),
        ],
    ),
    "entra": Case(
        {"ISSUER": f"https://login.microsoftonline.com/{TID}/v2.0", "AUDIENCE": API_ID, "TENANTS": f"{TID}=acme"},
        {"typ": "JWT", "alg": "RS256", "kid": "k1"},
        {
            "aud": API_ID,
            "iss": f"https://login.microsoftonline.com/{TID}/v2.0",
            "nbf": NOW,
            "aio": "AXQAi/8IAAAA",
            "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
            "azpacr": "0",
            "name": "Alice",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "preferred_username": "alice@example.com",
            "rh": "I",
            "scp": "access_as_user",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": TID,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        "acme",
        "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        {"access_as_user"},
        [
            ("v1 issuer", {"iss": f"https://sts.windows.net/{TID}/", "ver": "1.0", "appid": "x"}, errors.TOKEN_ISSUER),
            ("v1 token of a v2 issuer", {"ver": "1.0"}, errors.TOKEN_KIND),
            ("ID token", {"aud": API_ID, "nonce": "n", "azp": ..., "scp": ...}, errors.TOKEN_KIND),
            (
                "another organisation",
                {"iss": f"https://login.microsoftonline.com/{OTHER_TID}/v2.0"},
                errors.TOKEN_ISSUER,
            ),
            ("a tid that is not the issuer's", {"tid": OTHER_TID}, errors.TENANT_FORBIDDEN),
            ("another API", {"aud": "api://other"}, errors.TOKEN_AUDIENCE),
            ("no user", {"oid": ...}, errors.TOKEN_CLAIM),
        ],
        [("token for Microsoft Graph", {"nonce": "n"}, errors.TOKEN_KIND)],
    ),
    "entra-many": Case(
        {
            "ISSUER": "https://login.microsoftonline.com/organizations/v2.0",
            "AUDIENCE": API_ID,
            "TENANTS": f"{TID}=acme",
        },
        {"typ": "JWT", "alg": "RS256", "kid": "k1"},
        {
            "aud": API_ID,
            "iss": f"https://login.microsoftonline.com/{TID}/v2.0",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "sub": "x",
            "tid": TID,
            "ver": "2.0",
        },
        "acme",
        "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        set(),
        [
            (
                "an organisation nobody listed",
                {"iss": f"https://login.microsoftonline.com/{OTHER_TID}/v2.0", "tid": OTHER_TID},
                errors.TENANT_FORBIDDEN,
            ),
            ("issuer and tid disagree", {"tid": OTHER_TID}, errors.TOKEN_ISSUER),
            (
                "the placeholder itself",
                {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
                errors.TOKEN_ISSUER,
            ),
            ("no tid", {"tid": ...}, errors.TOKEN_ISSUER),
            (
                "tid with a path",
                {"tid": f"{TID}/x", "iss": f"https://login.microsoftonline.com/{TID}/x/v2.0"},
                errors.TOKEN_ISSUER,
            ),
        ],
    ),
    "keycloak": Case(
        {
            "ISSUER": KEYCLOAK,
            "AUDIENCE": "signalbox-api",
            "CLIENT_ID": "web",
            "TENANT_CLAIM": '["clinic", "tenant"]',
        },
        {"alg": "RS256", "typ": "JWT", "kid": "k1"},
        {
            "jti": "onrtac:5a1c",
            "iss": KEYCLOAK,
            "aud": ["signalbox-api", "account"],
            "sub": "f6c1b3f2-5a0e-4d8b-9d35-1a2b3c4d5e6f",
            "typ": "Bearer",
            "azp": "web",
            "sid": "x",
            "acr": "1",
            "realm_access": {"roles": ["offline_access"]},
            "scope": "openid email profile",
            "clinic": {"tenant": "acme"},
        },
        "acme",
        "f6c1b3f2-5a0e-4d8b-9d35-1a2b3c4d5e6f",
        {"openid", "email", "profile"},
        [
            ("ID token", {"typ": "ID", "aud": "web"}, errors.TOKEN_KIND),
            ("refresh token", {"typ": "Refresh"}, errors.TOKEN_KIND),
            ("logout token", {"typ": "Logout"}, errors.TOKEN_KIND),
            ("no audience mapper", {"aud": "account"}, errors.TOKEN_AUDIENCE),
            ("another client", {"azp": "other"}, errors.TOKEN_AUDIENCE),
            ("another realm", {"iss": "https://sso.example.com/realms/master"}, errors.TOKEN_ISSUER),
            ("path that ends early", {"clinic": "acme"}, errors.TENANT_MISSING),
            ("path that leads to null", {"clinic": {"tenant": None}}, errors.TENANT_MALFORMED),
        ],
    ),
    "google": Case(
        {
            "ISSUER": "https://accounts.google.com",
            "CLIENT_ID": "1-a.apps.googleusercontent.com",
            "TENANTS": "acme.example=acme",
        },
        {"alg": "RS256", "kid": "k1", "typ": "JWT"},
        {
            "iss": "https://accounts.google.com",
            "azp": "1-a.apps.googleusercontent.com",
            "aud": "1-a.apps.googleusercontent.com",
            "sub": "110169484474386276334",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "nonce": "n",
            "hd": "acme.example",
            "email": "alice@acme.example",
            "email_verified": True,
        },
        "acme",
        "110169484474386276334",
        set(),
        [
            ("the legacy issuer", {"iss": "accounts.google.com"}, errors.TOKEN_ISSUER),
            ("another client", {"aud": "2-b.apps.googleusercontent.com"}, errors.TOKEN_AUDIENCE),
            ("a consumer account", {"hd": ..., "email": "alice@acme.example"}, errors.TENANT_MISSING),
            ("another organisation", {"hd": "globex.example"}, errors.TENANT_FORBIDDEN),
            ("a domain in other case", {"hd": "ACME.example"}, errors.TENANT_FORBIDDEN),
        ],
    ),
    "oidc": Case(
        {"ISSUER": "https://idp.example.com", "AUDIENCE": "https://api.example.com", "TENANTS": "acme,initech"},
        {"alg": "RS256", "kid": "k1", "typ": "at+jwt"},
        {
            "iss": "https://idp.example.com",
            "sub": "5ba552d67",
            "aud": "https://api.example.com",
            "client_id": "s6BhdRkqt3",
            "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
            "scope": "openid reademail",
            "organization_id": "acme",
        },
        "acme",
        "5ba552d67",
        {"openid", "reademail"},
        [
            ("ID token", {"aud": "s6BhdRkqt3", "nonce": "n"}, errors.TOKEN_KIND),
            ("ID token for us", {"nonce": "n"}, errors.TOKEN_KIND),
            ("a tenant it may not speak for", {"organization_id": "globex"}, errors.TENANT_FORBIDDEN),
            ("scope in another form", {"scope": 7, "aud": "x"}, errors.TOKEN_AUDIENCE),
            ("issuer in capitals", {"iss": "https://IDP.example.com"}, errors.TOKEN_ISSUER),
        ],
        [
            ("logout token", {"typ": "logout+jwt"}, errors.TOKEN_KIND),
            ("security event", {"typ": "secevent+jwt"}, errors.TOKEN_KIND),
            ("DPoP proof", {"typ": "dpop+jwt"}, errors.TOKEN_KIND),
        ],
    ),
}


def configured(**variables: str) -> Provider:
    group = {f"IDP__X__{name}": value for name, value in variables.items() if value}
    (provider,) = providers.configured(load({**DEVELOPMENT, **group}, AUTH).of(AuthSettings))
    return provider


def gate(case: str) -> Authenticator:
    provider = configured(KIND=case.partition("-")[0], **CASES[case].settings)
    return Authenticator([ExternalIssuers([HeldKeys(provider)])])


async def judge(case: str, claims: dict[str, Any], header: dict[str, Any]) -> Principal:
    good = CASES[case]
    head = {**good.header, **header}
    payload = {k: v for k, v in {**TIMES, **good.claims, **claims}.items() if v is not ...}
    token = sign(first_key(), json.dumps(head).encode(), json.dumps(payload).encode())
    return principal_of(await gate(case).verify(token))


@pytest.mark.parametrize("case", CASES)
async def test_a_real_access_token_names_its_principal(case: str) -> None:
    principal = await judge(case, {}, {})
    good = CASES[case]
    assert (principal.tenant, principal.subject) == (good.tenant, good.subject)
    assert principal.scopes == good.scopes
    assert principal.issuer == good.claims["iss"]


@pytest.mark.parametrize(
    ("case", "claims", "header", "expected"),
    [
        pytest.param(case, claims, header, expected, id=f"{case}: {name}")
        for case, good in CASES.items()
        for name, claims, header, expected in [
            *((name, claims, {}, expected) for name, claims, expected in good.bad),
            *((name, {}, header, expected) for name, header, expected in good.bad_headers),
        ]
    ],
)
async def test_what_only_looks_like_one_is_refused(
    case: str, claims: dict[str, Any], header: dict[str, Any], expected: Error
) -> None:
    with pytest.raises(ApiError) as refused:
        await judge(case, claims, header)
    assert refused.value.error == expected


@pytest.mark.parametrize(
    ("audience", "claims", "admitted"),
    [
        ("https://api.example.com", {"client_id": "ours"}, True),
        ("https://api.example.com", {"azp": "ours"}, True),
        ("https://api.example.com", {"client_id": "ours", "azp": "ours"}, True),
        ("https://api.example.com", {"client_id": "ours", "azp": "theirs"}, False),
        ("https://api.example.com", {"client_id": "theirs", "azp": "ours"}, False),
        ("https://api.example.com", {"azp": None}, False),
        ("https://api.example.com", {}, False),
        ("", {"client_id": "ours"}, True),
        ("", {"azp": "ours"}, False),  # an ID token has that too, and nothing else here tells it apart
    ],
)
def test_the_client_is_named_as_the_standard_says_or_as_many_providers_do(
    audience: str, claims: dict[str, Any], admitted: bool
) -> None:
    provider = configured(KIND="oidc", ISSUER="https://idp.example.com", CLIENT_ID="ours", AUDIENCE=audience)
    with nullcontext() if admitted else pytest.raises(ApiError, match="AUTH_007"):
        check_audience({"aud": ["https://api.example.com", "ours"], **claims}, provider)


@pytest.mark.parametrize(("kind", "parameter"), [("auth0", "audience"), ("oidc", None), ("keycloak", None)])
def test_only_auth0_is_asked_for_an_audience_without_a_setting(kind: str, parameter: str | None) -> None:
    provider = configured(KIND=kind, **CASES[kind].settings)
    assert (provider.audience is not None, provider.audience_parameter) == (True, parameter)


@pytest.mark.parametrize("scope", [7, {"a": 1}, ["a", 1], None, "", []])
async def test_a_scope_of_another_form_permits_nothing(scope: object) -> None:
    assert (await judge("oidc", {"scope": scope}, {})).scopes == frozenset()


async def test_two_providers_at_once_are_told_apart_by_their_issuer() -> None:
    groups: dict[str, str] = {}
    for case in ("cognito", "okta", "entra-many"):
        kind = case.partition("-")[0]
        groups |= {f"IDP__{kind}__{n}".upper(): v for n, v in {"KIND": kind, **CASES[case].settings}.items()}
    found = providers.configured(load({**DEVELOPMENT, **groups}, AUTH).of(AuthSettings))
    gate = Authenticator([ExternalIssuers([HeldKeys(provider) for provider in found])])
    for case, kind in (("cognito", "cognito"), ("okta", "okta"), ("entra-many", "entra")):
        good = CASES[case]
        token = sign(first_key(), json.dumps(good.header).encode(), json.dumps({**TIMES, **good.claims}).encode())
        assert principal_of(await gate.verify(token)).provider == kind


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"KIND": "auth0", "ISSUER": "https://example.eu.auth0.com", "AUDIENCE": "x"}, "ISSUER must end with /"),
        ({"KIND": "google", "ISSUER": "https://accounts.google.com", "CLIENT_ID": "x"}, "TENANTS is required"),
        ({"KIND": "google", "ISSUER": "https://accounts.google.com", "AUDIENCE": "x", "TENANTS": "a=b"}, "CLIENT_ID"),
        (
            {"KIND": "entra", "ISSUER": "https://login.microsoftonline.com/organizations/v2.0", "AUDIENCE": "x"},
            "TENANTS",
        ),
        (
            {
                "KIND": "entra",
                "ISSUER": "https://login.microsoftonline.com/common/v2.0",
                "AUDIENCE": "x",
                "TENANTS": "*",
            },
            "TENANTS",
        ),
        ({"KIND": "oidc", "ISSUER": "https://i.example", "AUDIENCE": "x", "TENANTS": "a=b,c"}, "TENANTS takes"),
        ({"KIND": "oidc", "ISSUER": "https://i.example", "AUDIENCE": "x", "TENANTS": "a=b,a=c"}, "TENANTS takes"),
        ({"KIND": "oidc", "ISSUER": "https://i.example", "AUDIENCE": "x", "TENANTS": "a=not a tenant"}, "TENANTS"),
        ({"KIND": "oidc", "ISSUER": "https://i.example", "AUDIENCE": "x", "TENANT_CLAIM": "[1]"}, "TENANT_CLAIM"),
        ({"KIND": "oidc", "ISSUER": "https://i.example"}, "AUDIENCE is required"),
    ],
)
def test_settings_that_would_let_the_wrong_people_in_are_refused(variables: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=f"IDP__X__.*{named}"):
        load({**DEVELOPMENT, **{f"IDP__X__{name}": value for name, value in variables.items()}}, AUTH)


def test_an_audience_to_ask_for_must_be_one() -> None:
    with pytest.raises(SettingsError, match="IDP__X__AUDIENCE_PARAMETER is resource, and IDP__X__AUDIENCE is unset"):
        configured(KIND="oidc", ISSUER="https://i.example", CLIENT_ID="x", AUDIENCE_PARAMETER="resource")


def test_an_algorithm_that_a_kind_of_provider_does_not_sign_with_is_refused_at_the_start() -> None:
    variables = {"KIND": "okta", **CASES["okta"].settings, "ID_TOKEN_ALGORITHM": "ES256"}
    with pytest.raises(SettingsError, match="IDP__X__ID_TOKEN_ALGORITHM is ES256, and okta signs with RS256"):
        providers.configured(
            load({**DEVELOPMENT, **{f"IDP__X__{name}": value for name, value in variables.items()}}, AUTH).of(
                AuthSettings
            )
        )
