"""What a correct relying party does with every answer of a provider, right and wrong.

The first part is the OpenID Foundation's basic profile for relying parties (``oidcc-client-test-...``), row by row.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from service.auth.advice import advice
from service.auth.errors import AUTH_ERRORS
from service.auth.feature import Auth
from service.errors import ApiError
from service.running import part_of
from tests.support.api.app import API, Browser, application, error_of
from tests.support.database.databases import Database
from tests.support.idp.issuer import SigningKey
from tests.support.idp.op import CLIENT_ID, Answer, ScriptedProvider

pytestmark = pytest.mark.anyio
FRONT_END = "https://app.example.com"
NOW = int(time.time())
TID = "72f988bf-86f1-41af-91ab-2d7cd011db47"


@pytest.fixture
async def browser(provider: ScriptedProvider, module_database: Database) -> AsyncIterator[Browser]:
    async with opened(provider, module_database) as found:
        yield found


@asynccontextmanager
async def opened(provider: ScriptedProvider, database: Database, **changes: str) -> AsyncIterator[Browser]:
    environment = {**provider.settings(**changes), "DATABASE_URL": database.url(), "ALLOWED_ORIGINS": FRONT_END}
    async with application(environment) as app:
        found = Browser(app)
        async with found.client:
            yield found


async def sign_in(browser: Browser, provider: ScriptedProvider, **fields: str) -> httpx.Response:
    asked = await browser.begin()
    provider.nonce = asked["nonce"]
    return await browser.come_back(**{"code": "the-code", "state": asked["state"], **fields})


async def test_the_code_flow_completes(browser: Browser, provider: ScriptedProvider) -> None:
    """oidcc-client-test, idtoken-sig-rs256, client-secret-basic, discovery-openid-config, discovery-jwks-uri-keys."""
    asked = await browser.begin()
    assert asked["response_type"] == "code"
    assert asked["scope"] == "openid"
    assert asked["redirect_uri"] == f"{API}/api/v1/auth/op/callback"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) >= 32
    assert len(asked["state"]) >= 22
    provider.nonce = asked["nonce"]
    answer = await browser.come_back(code="the-code", state=asked["state"])
    assert answer.status_code == 200, answer.text
    me = await browser.client.get(
        "/api/v1/auth/validate", headers={"Authorization": f"Bearer {answer.json()['access_token']}"}
    )
    assert (me.json()["subject"], me.json()["tenant"]) == ("alice", "acme")
    form, headers = next((form, headers) for path, form, headers in provider.requests if path == "/token")
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == (
        "authorization_code",
        "the-code",
        asked["redirect_uri"],
    )
    credentials = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
    assert credentials == "client%2B1:s3cret%2F%2B"
    assert "client_secret" not in form


def wrong_hash() -> str:
    return base64.urlsafe_b64encode(b"0" * 16).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        pytest.param({"iss": "https://other.example"}, {}, id="invalid-iss"),
        pytest.param({"aud": "somebody-else"}, {}, id="invalid-aud"),
        pytest.param({"nonce": "another"}, {}, id="nonce-invalid"),
        pytest.param({"sub": ...}, {}, id="missing-sub"),
        pytest.param({"iat": ...}, {}, id="missing-iat"),
        pytest.param({}, {"alg": "none"}, id="idtoken-sig-none"),
        pytest.param({"nonce": ...}, {}, id="nonce-absent"),
        pytest.param({"nonce": "\ud800"}, {}, id="nonce-that-no-encoding-takes"),
        pytest.param({"nonce": ["n"]}, {}, id="nonce-of-another-type"),
        pytest.param({"at_hash": "\ud800"}, {}, id="at_hash-that-no-encoding-takes"),
        pytest.param({"sub": "\ud800"}, {}, id="sub-that-no-encoding-takes"),
        pytest.param({"aud": []}, {}, id="no-aud-in-the-list"),
        pytest.param({"aud": [CLIENT_ID, 5], "azp": CLIENT_ID}, {}, id="aud-of-mixed-types"),
        pytest.param({"exp": NOW + 200_000}, {}, id="longer-than-a-day"),
        pytest.param({"aud": [CLIENT_ID, "other"]}, {}, id="several-aud-without-azp"),
        pytest.param({"aud": [CLIENT_ID, "other"], "azp": "other"}, {}, id="azp-of-another"),
        pytest.param({"azp": "other"}, {}, id="foreign-azp"),
        pytest.param({"exp": NOW - 60, "iat": NOW - 120}, {}, id="expired"),
        pytest.param({"iat": NOW - 3600}, {}, id="issued-before-the-sign-in"),
        pytest.param({"at_hash": wrong_hash()}, {}, id="at_hash-of-another-token"),
        pytest.param({"at_hash": 5}, {}, id="at_hash-of-another-type"),
        pytest.param({"sub": "bob"}, {}, id="another-subject-than-the-access-token"),
        pytest.param({}, {"crit": ["x"]}, id="crit"),
        pytest.param({}, {"jku": "https://evil.example/keys"}, id="jku"),
        pytest.param({}, {"typ": "at+jwt"}, id="access-token-as-id-token"),
        pytest.param({}, {"kid": "unknown"}, id="unknown-kid"),
    ],
)
async def test_an_id_token_that_breaks_a_rule_is_refused(
    browser: Browser, provider: ScriptedProvider, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    provider.claims, provider.header = claims, header
    answer = await sign_in(browser, provider)
    assert error_of(answer) == (401, "AUTH_046")
    assert "access_token" not in answer.text


async def test_a_bad_signature_is_refused(browser: Browser, provider: ScriptedProvider) -> None:
    """invalid-sig-rs256: the suite lets a relying party of the code flow skip it; ours does not."""
    provider.signer = SigningKey(provider.key.kid)
    assert error_of(await sign_in(browser, provider)) == (401, "AUTH_046")


@pytest.mark.parametrize(
    ("listed", "setting", "accepted"),
    [
        (..., None, {"RS256", "ES256"}),
        (["RS256"], None, {"RS256"}),
        (["HS256", "ES256", 5], None, {"ES256"}),
        (["none", "HS256"], None, set()),
        ([], None, set()),
        ("RS256", None, {"RS256", "ES256"}),
        (["RS256", "ES256"], "ES256", {"ES256"}),
        (["ES256"], "RS256", {"RS256"}),
        (..., "RS256", {"RS256"}),
    ],
)
async def test_an_id_token_is_signed_as_the_client_is_registered(
    provider: ScriptedProvider, module_database: Database, listed: object, setting: str | None, accepted: set[str]
) -> None:
    """OpenID Connect Core 1.0, section 3.1.3.7, 7: the setting decides, or else what discovery lists."""
    provider.metadata = {"id_token_signing_alg_values_supported": listed}
    changes = {"ID_TOKEN_ALGORITHM": setting} if setting else {}
    signers = (provider.key, SigningKey("curve", curve=True))
    provider.keys = [signer.jwk() for signer in signers]
    async with opened(provider, module_database, **changes) as browser:
        for signer in signers:
            provider.signer = signer
            expected = (200, None) if signer.alg in accepted else (401, "AUTH_046")
            answer = await sign_in(browser, provider)
            assert (answer.status_code, answer.json().get("error", {}).get("code")) == expected, signer.alg


async def test_a_sign_in_at_entra_takes_its_backdated_tokens(
    provider: ScriptedProvider, module_database: Database
) -> None:
    """Access and ID token as it writes them: ``iat`` and ``nbf`` five minutes before they were made, ``exp`` an hour
    after; and no older, or the ID token is of another sign-in."""
    changes = {"KIND": "entra", "AUDIENCE": "api", "TENANTS": f"{TID}=acme"}

    async def answered(browser: Browser, made: int) -> httpx.Response:
        times = {"iat": made - 300, "nbf": made - 300, "exp": made + 3600, "ver": "2.0", "tid": TID, "oid": "0-1"}
        provider.access_claims = {**times, "aud": "api", "azp": CLIENT_ID, "scp": "access_as_user", "client_id": ...}
        provider.claims = {**times, "sub": "HKZpfaHyWadeOouYlitjrI", "preferred_username": "alice@example.com"}
        provider.header = {"typ": "JWT"}
        return await sign_in(browser, provider)

    async with opened(provider, module_database, **changes) as browser:
        assert (await answered(browser, int(time.time()))).status_code == 200
        assert error_of(await answered(browser, int(time.time()) - 60)) == (401, "AUTH_046")


async def test_a_correct_at_hash_and_azp_are_accepted(browser: Browser, provider: ScriptedProvider) -> None:
    asked = await browser.begin()
    provider.nonce = asked["nonce"]
    tokens = provider.tokens()
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    provider.claims = {"at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), "azp": CLIENT_ID}
    provider.claims |= {"aud": [CLIENT_ID, "other"]}
    provider.token_fields = {"access_token": tokens["access_token"]}
    assert (await browser.come_back(code="c", state=asked["state"])).status_code == 200


async def test_an_access_token_that_no_encoding_can_carry_is_the_providers_fault(
    browser: Browser, provider: ScriptedProvider
) -> None:
    asked = await browser.begin()
    provider.nonce, provider.claims = asked["nonce"], {"at_hash": "x"}
    provider.token_fields = {"access_token": "\ud800"}
    assert error_of(await browser.come_back(code="c", state=asked["state"])) == (503, "SYS_007")


async def test_a_token_without_kid_uses_the_only_key_and_no_choice_of_two(
    browser: Browser, provider: ScriptedProvider, module_database: Database
) -> None:
    """kid-absent-single-jwks, kid-absent-multiple-jwks."""
    provider.header = {"kid": ...}
    assert (await sign_in(browser, provider)).status_code == 200
    provider.keys = [provider.key.jwk(), SigningKey("second").jwk()]
    async with opened(provider, module_database) as fresh:
        assert error_of(await sign_in(fresh, provider)) == (401, "AUTH_046")


@pytest.mark.parametrize("just_before_signing", [False, True])
async def test_a_rotated_key_is_fetched_when_it_is_met(
    browser: Browser, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, just_before_signing: bool
) -> None:
    """signing-key-rotation, signing-key-rotation-just-before-signing."""
    assert (await sign_in(browser, provider)).status_code == 200
    (source,) = part_of(browser.app, Auth).keys
    monkeypatch.setattr(source._fresh, "_pause", 0.0)  # as if half a minute had gone by
    fresh = SigningKey("rotated")
    asked = await browser.begin() if just_before_signing else None
    provider.keys = [fresh.jwk(), provider.key.jwk()]
    provider.signer = fresh
    if asked is None:
        asked = await browser.begin()
    provider.nonce = asked["nonce"]
    assert (await browser.come_back(code="c", state=asked["state"])).status_code == 200


async def test_userinfo_about_somebody_else_is_refused(provider: ScriptedProvider, module_database: Database) -> None:
    """userinfo-invalid-sub, scope-userinfo-claims."""
    async with opened(provider, module_database, USERINFO="true", SCOPES="openid,email") as browser:
        assert (await browser.begin())["scope"] == "openid email"
        assert (await sign_in(browser, provider)).status_code == 200
        path, _, headers = provider.requests[-1]
        assert path == "/userinfo"
        assert headers["Authorization"].startswith("Bearer ey")
        answers: list[tuple[Answer, tuple[int, str]]] = [
            ((200, {"sub": "mallory", "tenant_id": "acme"}), (401, "AUTH_048")),
            ((200, {"tenant_id": "acme"}), (401, "AUTH_048")),
            ((200, {"sub": "\ud800", "tenant_id": "acme"}), (401, "AUTH_048")),
            ((200, {"sub": "alice", "tenant_id": "globex"}), (401, "AUTH_048")),
            ((200, {"sub": "alice"}), (403, "AUTH_030")),
            ((200, b"<html>"), (503, "SYS_007")),
            ((401, {}), (503, "SYS_007")),
            ((500, {}), (503, "SYS_006")),
        ]
        for told, expected in answers:
            provider.answers = {"/userinfo": lambda told=told: told}  # type: ignore[misc]
            assert error_of(await sign_in(browser, provider)) == expected


async def test_discovery_of_another_issuer_stops_before_the_authorization_request(
    browser: Browser, provider: ScriptedProvider
) -> None:
    """discovery-issuer-mismatch."""
    for issuer in (f"{provider.url}/", "https://other.example", ...):
        provider.metadata = {"issuer": issuer}
        answer = await browser.client.get("/api/v1/auth/op/login")
        assert error_of(answer) == (503, "SYS_007")
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Retry-After"].isdigit()


async def test_sign_out_at_the_provider(browser: Browser, provider: ScriptedProvider) -> None:
    """rp-init-logout, -other-state, -no-state."""
    options = {"return_to": f"{FRONT_END}/bye", "id_token_hint": "a.b.c"}
    answer = await browser.client.post("/api/v1/auth/op/logout", json=options)
    target = urlsplit(answer.json()["logout_url"])
    asked = {name: values[0] for name, values in parse_qs(target.query).items()}
    assert target.path == "/end"
    assert asked["post_logout_redirect_uri"] == f"{API}/api/v1/auth/op/logout"
    assert (asked["client_id"], asked["id_token_hint"]) == (CLIENT_ID, "a.b.c")
    for wrong in ({"state": "A" * 22}, {}, {"state": "x"}):
        assert error_of(await browser.client.get("/api/v1/auth/op/logout", params=wrong)) == (400, "AUTH_049")
    assert error_of(await browser.come_back(state=asked["state"], code="c")) == (400, "AUTH_040")
    back = await browser.client.get("/api/v1/auth/op/logout", params={"state": asked["state"]})
    assert (back.status_code, back.headers["Location"]) == (303, f"{FRONT_END}/bye")
    again = await browser.client.get("/api/v1/auth/op/logout", params={"state": asked["state"]})
    assert error_of(again) == (400, "AUTH_049")
    for evil in ("https://evil.example", "https://app.example.com.evil.example/", "//evil.example"):
        refused = await browser.client.post("/api/v1/auth/op/logout", json={"return_to": evil})
        assert error_of(refused) == (400, "AUTH_041")


# What comes next is beyond the profile.


async def test_the_iss_parameter(browser: Browser, provider: ScriptedProvider, module_database: Database) -> None:
    """RFC 9207, section 2.4."""
    assert (await sign_in(browser, provider, iss=provider.url)).status_code == 200
    for wrong in (f"{provider.url}/", "https://evil.example", ""):
        assert error_of(await sign_in(browser, provider, iss=wrong)) == (400, "AUTH_043")
        assert error_of(await sign_in(browser, provider, iss=wrong, error="access_denied")) == (400, "AUTH_043")
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    async with opened(provider, module_database) as strict:
        assert error_of(await sign_in(strict, provider)) == (400, "AUTH_043")
        assert (await sign_in(strict, provider, iss=provider.url)).status_code == 200


async def test_an_error_of_the_provider_is_ours_in_form_and_its_words_are_not_repeated(
    browser: Browser, provider: ScriptedProvider, capfd: pytest.CaptureFixture[str]
) -> None:
    for code in ("access_denied", "<script>alert(1)</script>"):
        answer = await sign_in(browser, provider, error=code, error_description="hunter2 is the password")
        assert error_of(answer) == (401, "AUTH_044")
        assert "hunter2" not in answer.text
        assert "script" not in answer.text
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "/token" not in [path for path, _, _ in provider.requests]


TOKEN_ANSWERS: list[tuple[Answer, tuple[int, str]]] = [
    ((400, {"error": "invalid_grant"}), (400, "AUTH_047")),
    ((401, {"error": "invalid_client"}), (503, "SYS_007")),
    ((400, {"error": "invalid_request"}), (503, "SYS_007")),
    ((400, b"<html>"), (503, "SYS_007")),
    ((429, {}), (503, "SYS_006")),
    ((500, b""), (503, "SYS_006")),
    ((302, b""), (503, "SYS_006")),
    ((200, b""), (503, "SYS_006")),
    ((200, b"[]"), (503, "SYS_006")),
    ((200, b'{"access_token": "a", "access_token": "b"}'), (503, "SYS_006")),
    ((200, b"x" * 600_000), (503, "SYS_006")),
    ((200, {}), (503, "SYS_007")),
    ((200, {"access_token": "a", "token_type": "Bearer"}), (503, "SYS_007")),
    ((200, {"access_token": "a", "id_token": "b", "token_type": "mac"}), (503, "SYS_007")),
    ((200, {"access_token": ["a"], "id_token": {}, "token_type": "Bearer"}), (503, "SYS_007")),
    ((200, {"access_token": "a", "id_token": "b", "token_type": "Bearer"}), (401, "AUTH_046")),
]


@pytest.mark.parametrize(("told", "expected"), TOKEN_ANSWERS)
async def test_every_failure_of_the_token_endpoint_has_our_form(
    browser: Browser, provider: ScriptedProvider, told: Answer, expected: tuple[int, str]
) -> None:
    provider.answers = {"/token": lambda: told}
    answer = await sign_in(browser, provider)
    assert error_of(answer) == expected
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert ("Retry-After" in answer.headers) is (expected[0] == 503)


async def test_a_provider_that_hangs_costs_five_seconds_and_a_503(
    browser: Browser, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.auth.providers import fetch

    assert fetch.TIMEOUT == 5
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    asked = await browser.begin()
    released = threading.Event()
    provider.answers = {"/token": lambda: (200, {"released": released.wait(60)})}
    try:
        assert error_of(await browser.come_back(code="c", state=asked["state"])) == (503, "SYS_006")
    finally:
        released.set()  # it had not answered until now


@pytest.mark.parametrize(
    ("access_claims", "expected"),
    [
        ({"tenant_id": ...}, (403, "AUTH_030")),
        ({"tenant_id": "not a tenant"}, (403, "AUTH_031")),
        ({"client_id": "other"}, (401, "AUTH_007")),
        ({"iss": "https://unknown.example"}, (401, "AUTH_004")),
        ({"cnf": {"jkt": "x"}}, (401, "AUTH_012")),
    ],
)
async def test_nobody_is_signed_in_with_a_token_that_the_gate_would_refuse(
    browser: Browser, provider: ScriptedProvider, access_claims: dict[str, Any], expected: tuple[int, str]
) -> None:
    provider.access_claims = access_claims
    with capture_logs() as lines:
        assert error_of(await sign_in(browser, provider)) == expected
    (refused,) = [line for line in lines if line["event"] == "refused"]
    row = next(row for row in AUTH_ERRORS if row.code == expected[1])
    assert refused["remedy"] == (advice(ApiError(row), "oidc") or row.action)  # as `auth check` has it


async def test_a_token_of_another_provider_of_ours_is_not_handed_out(
    provider: ScriptedProvider, module_database: Database
) -> None:
    """The gate would admit it; but this person was sent to somebody else."""
    twin = {"ISSUER": "https://twin.example", "JWKS_URL": f"{provider.url}/keys"}
    environment = {
        **provider.settings(),
        **provider.settings("TWIN", **twin),
        "DATABASE_URL": module_database.url(),
    }
    provider.access_claims = {"iss": "https://twin.example"}
    async with application(environment) as app:
        browser = Browser(app)
        assert error_of(await sign_in(browser, provider)) == (400, "AUTH_043")
        await browser.client.aclose()


@pytest.mark.parametrize(
    ("settings", "at_sign_in", "at_the_exchange"),
    [
        ({"KIND": "oidc"}, {}, {}),
        ({"KIND": "oidc", "AUDIENCE_PARAMETER": "resource"}, {"resource": API}, {"resource": API}),
        ({"KIND": "oidc", "AUDIENCE_PARAMETER": "audience"}, {"audience": API}, {}),
    ],
)
async def test_a_token_is_asked_to_be_for_us_as_the_provider_wants_to_be_asked(
    provider: ScriptedProvider,
    module_database: Database,
    settings: dict[str, str],
    at_sign_in: dict[str, str],
    at_the_exchange: dict[str, str],
) -> None:
    provider.access_claims = {"aud": API, "azp": CLIENT_ID}
    async with opened(provider, module_database, AUDIENCE=API, **settings) as browser:
        asked = await browser.begin()
        provider.nonce = asked["nonce"]
        answer = await browser.come_back(code="the-code", state=asked["state"])
    assert answer.status_code == 200, answer.text
    form = next(form for path, form, _ in provider.requests if path == "/token")
    for found, expected in ((asked, at_sign_in), (form, at_the_exchange)):
        assert {name: found[name] for name in ("audience", "resource") if name in found} == expected


async def test_client_secret_post_and_public_clients(provider: ScriptedProvider, module_database: Database) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    async with opened(provider, module_database) as browser:
        assert (await sign_in(browser, provider)).status_code == 200
        _, form, headers = next(request for request in provider.requests if request[0] == "/token")
        assert (form["client_id"], form["client_secret"]) == (CLIENT_ID, "s3cret/+")
        assert "Authorization" not in headers
    provider.reset()
    async with opened(provider, module_database, CLIENT_SECRET="") as browser:
        assert (await sign_in(browser, provider)).status_code == 200
        _, form, headers = next(request for request in provider.requests if request[0] == "/token")
        assert form["client_id"] == CLIENT_ID
        assert "client_secret" not in form
        assert "Authorization" not in headers


@pytest.mark.parametrize(
    "fields",
    [{}, {"code": ""}, {"code": "c" * 3000}, {"code": "a\r\nb"}, {"code": "\x00"}],
)
async def test_an_answer_without_a_usable_code_is_refused(
    browser: Browser, provider: ScriptedProvider, fields: dict[str, str]
) -> None:
    asked = await browser.begin()
    assert error_of(await browser.come_back(state=asked["state"], **fields)) == (400, "AUTH_042")
    assert "/token" not in [path for path, _, _ in provider.requests]


async def test_a_field_that_comes_twice_is_refused(browser: Browser, provider: ScriptedProvider) -> None:
    asked = await browser.begin()
    for query in (f"state={asked['state']}&state={asked['state']}&code=c", f"state={asked['state']}&code=a&code=b"):
        assert error_of(await browser.client.get(f"/api/v1/auth/op/callback?{query}")) == (400, "AUTH_042")


async def test_form_post_is_accepted_as_a_form_only(browser: Browser, provider: ScriptedProvider) -> None:
    asked = await browser.begin()
    provider.nonce = asked["nonce"]
    fields = {"code": "c", "state": asked["state"]}
    path = "/api/v1/auth/op/callback"
    assert error_of(await browser.client.post(path, json=fields)) == (415, "REQ_006")
    assert error_of(await browser.client.post(path, files={"code": b"c"})) == (415, "REQ_006")
    assert error_of(await browser.client.post(path, data={f"f{n}": "x" for n in range(50)}))[0] == 400
    assert (await browser.client.post(path, data=fields)).status_code == 200
