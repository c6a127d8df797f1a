"""Every way in which a bearer token can be wrong, and the one code that each gets."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import hmac
import json
import time
import tracemalloc
from collections.abc import Iterable
from types import CoroutineType, FrameType, FunctionType, ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.auth import errors
from service.auth.feature import BearerTokens
from service.auth.tokens import keys
from service.auth.tokens.judge import Authenticator, ExternalIssuers, VerifiedClaims
from service.auth.tokens.keys import IssuerKeys
from service.auth.tokens.principal import principal_of
from service.auth.tokens.remembered import RememberedTokens
from service.errors import ApiError, Error
from service.principal import Principal
from tests.support.clock import Clock
from tests.support.idp.issuer import Issuer, SigningKey, b64, provider_of, sign

pytestmark = pytest.mark.anyio


@pytest.fixture
def authenticator(issuer: Issuer, client: httpx.AsyncClient) -> Authenticator:
    return Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)])])


async def refusal(authenticator: Authenticator, token: str) -> Error:
    with pytest.raises(ApiError) as refused:
        principal_of(await authenticator.verify(token))
    return refused.value.error


async def test_a_good_token_names_its_principal(issuer: Issuer, authenticator: Authenticator) -> None:
    principal = principal_of(await authenticator.verify(issuer.token("acme", "alice")))
    assert (principal.tenant, principal.subject, principal.issuer) == ("acme", "alice", issuer.url)


async def test_a_principal_ends_when_its_token_does(issuer: Issuer, authenticator: Authenticator) -> None:
    ends_at = int(time.time()) + 1234
    assert principal_of(await authenticator.verify(issuer.token(exp=ends_at))).expires_at == ends_at


async def test_only_a_blank_parts_scopes(issuer: Issuer, authenticator: Authenticator) -> None:
    """RFC 6749, section 3.3."""
    verified = await authenticator.verify(issuer.token(scope="read  write\tadmin"))
    assert principal_of(verified).scopes == {"read", "write\tadmin"}


@pytest.mark.parametrize("audience", [["us", 7], 7, {"us": 1}, None])
async def test_an_audience_that_is_none_is_told_apart_from_another_ones(
    issuer: Issuer, client: httpx.AsyncClient, audience: object
) -> None:
    """Its advice is another: no client of ours is wrong."""
    strict = provider_of(issuer, IDP__TEST__AUDIENCE="us")
    judge = Authenticator([ExternalIssuers([IssuerKeys(strict, client)])])
    with pytest.raises(ApiError) as refused:
        await judge.verify(issuer.token(aud=audience))
    assert (refused.value.error, refused.value.reason) == (errors.TOKEN_AUDIENCE, "aud_form")


NOW = int(time.time())
HOUR = 3600


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # times
        ({"exp": NOW - 60, "iat": NOW - 120}, errors.TOKEN_EXPIRED),
        ({"exp": ...}, errors.TOKEN_CLAIM),
        ({"iat": ...}, errors.TOKEN_CLAIM),
        ({"exp": str(NOW + HOUR)}, errors.TOKEN_CLAIM),
        ({"exp": True}, errors.TOKEN_CLAIM),
        ({"exp": None}, errors.TOKEN_CLAIM),
        ({"exp": [NOW + HOUR]}, errors.TOKEN_CLAIM),
        ({"exp": (NOW + HOUR) * 1000}, errors.TOKEN_CLAIM),
        ({"exp": 1e15}, errors.TOKEN_CLAIM),
        ({"exp": -1}, errors.TOKEN_CLAIM),
        ({"iat": NOW, "exp": NOW + HOUR + 60}, errors.TOKEN_LIFETIME),
        ({"iat": NOW - 10 * HOUR, "exp": NOW + 60}, errors.TOKEN_LIFETIME),
        ({"iat": NOW + 120, "exp": NOW + 1200}, errors.TOKEN_EARLY),
        ({"nbf": NOW + 120}, errors.TOKEN_EARLY),
        ({"nbf": "soon"}, errors.TOKEN_CLAIM),
        ({"iat": NOW + 20, "exp": NOW + 10}, errors.TOKEN_CLAIM),
        # for whom
        ({"client_id": "another-app"}, errors.TOKEN_AUDIENCE),
        ({"client_id": ["test-client"]}, errors.TOKEN_AUDIENCE),
        ({"client_id": ...}, errors.TOKEN_AUDIENCE),
        # which kind
        ({"token_use": "id", "aud": "test-client"}, errors.TOKEN_KIND),
        ({"token_use": ...}, errors.TOKEN_KIND),
        ({"cnf": {"jkt": "x"}}, errors.TOKEN_BOUND),
        # who
        ({"sub": ...}, errors.TOKEN_CLAIM),
        ({"sub": ""}, errors.TOKEN_CLAIM),
        ({"sub": "   "}, errors.TOKEN_CLAIM),
        ({"sub": 7}, errors.TOKEN_CLAIM),
        ({"sub": "x" * 256}, errors.TOKEN_CLAIM),
        ({"sub": "a\nb"}, errors.TOKEN_CLAIM),
        ({"iss": "https://elsewhere.example"}, errors.TOKEN_ISSUER),
        ({"iss": ...}, errors.TOKEN_ISSUER),
        ({"iss": ["x"]}, errors.TOKEN_ISSUER),
        # which tenant
        ({"tenant_id": ...}, errors.TENANT_MISSING),
        ({"tenant_id": ""}, errors.TENANT_MALFORMED),
        ({"tenant_id": " acme"}, errors.TENANT_MALFORMED),
        ({"tenant_id": "acme\n"}, errors.TENANT_MALFORMED),
        ({"tenant_id": "acme'; drop table app.note"}, errors.TENANT_MALFORMED),
        ({"tenant_id": "x" * 65}, errors.TENANT_MALFORMED),
        ({"tenant_id": 5}, errors.TENANT_MALFORMED),
        ({"tenant_id": None}, errors.TENANT_MALFORMED),
        ({"tenant_id": ["acme"]}, errors.TENANT_MALFORMED),
        ({"tenant_id": {"a": 1}}, errors.TENANT_MALFORMED),
        ({"organization_id": "globex"}, errors.TENANT_AMBIGUOUS),
        ({"tenant_id": True, "organization_id": 1}, errors.TENANT_MALFORMED),
    ],
)
async def test_wrong_claims(
    issuer: Issuer, authenticator: Authenticator, changes: dict[str, Any], expected: Error
) -> None:
    # Ages are relative to the collection of this file; a slow run must not turn one cause into another.
    shift = int(time.time()) - NOW
    moved: dict[str, Any] = {
        name: value + shift if name in ("exp", "iat", "nbf") and type(value) is int and value > 1e9 else value
        for name, value in changes.items()
    }
    assert await refusal(authenticator, issuer.token(**moved)) == expected


async def test_organization_id_alone_is_a_tenant(issuer: Issuer, authenticator: Authenticator) -> None:
    token = issuer.token(None, organization_id="globex")
    assert principal_of(await authenticator.verify(token)).tenant == "globex"


async def test_an_issuer_may_speak_for_its_own_tenants_only(issuer: Issuer, client: httpx.AsyncClient) -> None:
    bound = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer, IDP__TEST__TENANTS="acme"), client)])])
    assert principal_of(await bound.verify(issuer.token("acme"))).tenant == "acme"
    assert await refusal(bound, issuer.token("globex")) == errors.TENANT_FORBIDDEN


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [
        ("urn:api", True),
        (["x", "urn:api"], True),
        (["urn:api", 5], False),
        ("urn:ap", False),
        ([], False),
        (..., False),
    ],
)
async def test_audience(issuer: Issuer, client: httpx.AsyncClient, audience: Any, accepted: bool) -> None:
    provider = provider_of(issuer, IDP__TEST__KIND="oidc", IDP__TEST__AUDIENCE="urn:api", IDP__TEST__CLIENT_ID="")
    oidc = Authenticator([ExternalIssuers([IssuerKeys(provider, client)])])
    token = issuer.token(aud=audience, header={"typ": "at+jwt"})
    if accepted:
        assert principal_of(await oidc.verify(token)).subject == "alice"
    else:
        assert await refusal(oidc, token) == errors.TOKEN_AUDIENCE


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"alg": "none"}, errors.TOKEN_HEADER),
        ({"alg": "HS256"}, errors.TOKEN_HEADER),
        ({"alg": "RS512"}, errors.TOKEN_HEADER),
        ({"alg": "ES256"}, errors.TOKEN_HEADER),
        ({"alg": ...}, errors.TOKEN_HEADER),
        ({"alg": ["RS256"]}, errors.TOKEN_HEADER),
        ({"kid": 1}, errors.TOKEN_HEADER),
        ({"kid": ""}, errors.TOKEN_HEADER),
        ({"kid": "other"}, errors.TOKEN_KEY),
        ({"typ": "dpop+jwt"}, errors.TOKEN_KIND),
        ({"typ": 5}, errors.TOKEN_KIND),
        *(
            ({name: "x"}, errors.TOKEN_HEADER)
            for name in ("crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c")
        ),
    ],
)
async def test_wrong_headers(
    issuer: Issuer, authenticator: Authenticator, header: dict[str, Any], expected: Error
) -> None:
    assert await refusal(authenticator, issuer.token(header=header)) == expected


async def test_a_token_without_kid_uses_the_only_key(issuer: Issuer, authenticator: Authenticator) -> None:
    assert await authenticator.verify(issuer.token(header={"kid": ...}))


async def test_forgeries(issuer: Issuer, authenticator: Authenticator) -> None:
    good = issuer.token()
    head, payload, signature = good.split(".")
    stranger = SigningKey(issuer.key.kid)
    assert await refusal(authenticator, issuer.token(key=stranger)) == errors.TOKEN_SIGNATURE
    assert await refusal(authenticator, f"{head}.{payload}.{b64(b'x' * 256)}") == errors.TOKEN_SIGNATURE
    assert await refusal(authenticator, f"{head}.{payload}.{b64(b'x')}") == errors.TOKEN_SIGNATURE
    assert await refusal(authenticator, f"{head}.{payload}.") == errors.TOKEN_MALFORMED
    other = b64(json.dumps(issuer.claims("globex")).encode())
    assert await refusal(authenticator, f"{head}.{other}.{signature}") == errors.TOKEN_SIGNATURE
    # The public key used as a shared secret.
    public = json.dumps(issuer.key.jwk()).encode()
    signing_input = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'k1'}).encode())}.{payload}"
    forged = hmac.digest(public, signing_input.encode(), hashlib.sha256)
    assert await refusal(authenticator, f"{signing_input}.{b64(forged)}") == errors.TOKEN_HEADER


async def test_malformed_tokens_cost_no_fetch(issuer: Issuer, authenticator: Authenticator) -> None:
    head = {"alg": "RS256", "kid": "k1"}
    good = json.dumps(issuer.claims()).encode()
    h = json.dumps(head).encode()
    nested: Any = "x"
    for _ in range(50):
        nested = [nested]
    bad = [
        "", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "..", "=.=.=", "\u00e9.b.c", "a" * 20_000,
        sign(issuer.key, b"[]", good), sign(issuer.key, b"null", good), sign(issuer.key, b"\xff\xfe", good),
        sign(issuer.key, h, b"[1]"), sign(issuer.key, h, b'{"iss":1e999}'), sign(issuer.key, h, b'{"iss":NaN}'),
        sign(issuer.key, h, good[:-1] + b',"tenant_id":"globex"}'),
        sign(issuer.key, h[:-1] + b',"alg":"RS256"}', good),
        sign(issuer.key, h, b'{"exp":' + b"9" * 5000 + b"}"),
        sign(issuer.key, h, json.dumps({**issuer.claims(), "deep": nested}).encode()),
        sign(issuer.key, h, b"[" * 12_000),
    ]  # fmt: skip
    for token in bad:
        assert await refusal(authenticator, token) == errors.TOKEN_MALFORMED, token[:60]
    padded = base64.urlsafe_b64encode(h).decode()
    if "=" in padded:
        assert await refusal(authenticator, f"{padded}.{b64(good)}.{b64(b'x')}") == errors.TOKEN_MALFORMED
    assert await refusal(authenticator, issuer.token(iss="https://unknown.example")) == errors.TOKEN_ISSUER
    assert issuer.fetches == 0


def test_verified_claims_cannot_be_made_elsewhere(issuer: Issuer) -> None:
    with pytest.raises(TypeError, match="made by a validation strategy"):
        VerifiedClaims(provider_of(issuer), issuer.url, "alice", 0, frozenset(), {}, b"{}", lambda: True, object())


async def fetch_again(source: IssuerKeys, clock: Clock, kid: str) -> None:
    """What a token under an unknown key id causes, once the cooldown is over."""
    clock.now += keys.COOLDOWN
    with pytest.raises(ApiError):
        await source.find(kid, "RS256", source.provider.issuer)


async def test_a_remembered_token_ends_with_its_time_and_with_its_key(
    issuer: Issuer, client: httpx.AsyncClient
) -> None:
    now, clock = [time.time()], Clock()
    source = IssuerKeys(provider_of(issuer), client, clock)
    judge = Authenticator([ExternalIssuers([source], now=lambda: now[0])])
    gate = RememberedTokens(judge, remembered=10, now=lambda: now[0])
    token = issuer.token()
    await gate.admit(token)
    first = await gate.admit(token)
    assert await gate.admit(token) is first
    now[0] += 3631  # an hour, and the leeway
    assert await refused(gate, token) == errors.TOKEN_EXPIRED
    now[0] -= 3631
    assert await gate.admit(token) is not first
    # The provider takes the key away.
    issuer.keys = [SigningKey("k2").jwk()]
    await fetch_again(source, clock, "one")
    assert await refused(gate, token) == errors.TOKEN_KEY
    # Another key under the same name is another key.
    issuer.keys = [SigningKey("k1").jwk()]
    await fetch_again(source, clock, "another")
    assert await refused(gate, token) == errors.TOKEN_SIGNATURE


async def refused(gate: RememberedTokens, token: str) -> Error:
    with pytest.raises(ApiError) as caught:
        await gate.admit(token)
    return caught.value.error


async def test_refusals_are_not_remembered_and_the_table_is_bounded(issuer: Issuer, client: httpx.AsyncClient) -> None:
    """A token that is remembered gives the same principal again; one that is not is judged anew."""
    gate = RememberedTokens(Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)])]), remembered=3)
    tokens = [issuer.token(subject=f"user-{n}") for n in range(5)]
    for token in tokens:
        await gate.admit(token)
    found = {token: await gate.admit(token) for token in tokens[2:]}
    large = issuer.token(filler="x" * 8000)
    await gate.admit(large)
    assert await gate.admit(large) is not await gate.admit(large)
    for _ in range(3):
        assert await refused(gate, issuer.token(token_use="id")) == errors.TOKEN_KIND
        assert await refused(gate, issuer.token(tenant=None)) == errors.TENANT_MISSING
    for token in tokens[2:]:
        assert await gate.admit(token) is found[token], "nothing in between took its place"
    # The one that was not used for longest makes room.
    await gate.admit(tokens[2])
    await gate.admit(tokens[0])
    assert await gate.admit(tokens[2]) is found[tokens[2]]
    assert await gate.admit(tokens[3]) is not found[tokens[3]]


async def test_a_remembered_principal_is_the_one_that_was_judged(issuer: Issuer, client: httpx.AsyncClient) -> None:
    judge = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)])])
    gate = RememberedTokens(judge, remembered=3)
    token = issuer.token(roles=["admin"], nested={"a": [1, 2.5, None]}, scope="read write")
    judged, kept = await RememberedTokens(judge, remembered=0).admit(token), await gate.admit(token)
    assert kept == judged
    assert kept is await gate.admit(token)
    assert dict(kept.claims) == dict(judged.claims)
    assert kept.listed("roles") == {"admin"}
    assert "absent" not in kept.claims
    with pytest.raises(TypeError):
        kept.claims["roles"] = ["root"]  # type: ignore[index]


async def test_a_caller_is_recalled_by_the_token_that_was_judged_and_by_no_other(
    issuer: Issuer, client: httpx.AsyncClient
) -> None:
    now = [time.time()]
    judge = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)], now=lambda: now[0])])
    bearer = BearerTokens(RememberedTokens(judge, remembered=3, now=lambda: now[0]))
    token = issuer.token()
    assert bearer.recall(f"Bearer {token}".encode()) is None
    judged = await bearer.authenticate(f"Bearer {token}")
    for same in (f"Bearer {token}", f"bEARER   {token} "):
        assert bearer.recall(same.encode()) is judged is await bearer.authenticate(same)
    for other in (f"Basic {token}", token, f"Bearer {token[:-1]}", f"Bearer {token}=", f"Bearer x{token}", ""):
        assert bearer.recall(other.encode()) is None
    now[0] += 3631
    assert bearer.recall(f"Bearer {token}".encode()) is None


async def test_what_has_ended_makes_room_before_the_table_is_full(issuer: Issuer, client: httpx.AsyncClient) -> None:
    now = [time.time()]
    judge = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)], now=lambda: now[0])])
    gate = RememberedTokens(judge, remembered=1000, now=lambda: now[0])
    for number in range(3):
        await gate.admit(issuer.token(subject=f"user-{number}", exp=int(now[0]) + 60))
    now[0] += 120
    await gate.admit(issuer.token(iat=int(now[0]), exp=int(now[0]) + 60))
    assert len([thing for thing in reachable(gate) if isinstance(thing, Principal)]) == 1


async def test_a_remembered_token_takes_what_the_setting_says(issuer: Issuer, client: httpx.AsyncClient) -> None:
    """100,000 of them in less than 250 MB: 2.5 kB each, for a token of 1.2 kB with twenty claims."""
    gate = RememberedTokens(
        Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)])]), remembered=1000
    )
    filler: dict[str, Any] = {f"claim_{number}": f"{number:024}" for number in range(12)}
    tokens = [issuer.token(subject=str(uuid4()), scope="read write", **filler) for _ in range(300)]
    assert 1100 < len(tokens[0]) < 1400
    for token in tokens[:100]:
        await gate.admit(token)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for token in tokens[100:]:
            await gate.admit(token)
        gc.collect()
        taken = (tracemalloc.get_traced_memory()[0] - before) / 200
    finally:
        tracemalloc.stop()
    assert 500 < taken < 2500, taken


async def test_the_gate_keeps_no_token(issuer: Issuer, client: httpx.AsyncClient) -> None:
    gate = RememberedTokens(Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client)])]), remembered=3)
    token = issuer.token()
    await gate.admit(token)
    principal = await gate.admit(token)
    held = list(reachable(gate))
    assert any(thing is principal for thing in held)
    signature = token.rpartition(".")[2]
    assert not [thing for thing in held if isinstance(thing, str) and signature in thing]
    assert not [thing for thing in held if isinstance(thing, bytes) and signature.encode() in thing]


def reachable(root: object) -> Iterable[object]:
    """Whatever an object holds, and what that holds, without the code and what runs at the moment."""
    seen: dict[int, object] = {}
    left = [root]
    while left:
        thing = left.pop()
        passing = (ModuleType, FunctionType, type, CoroutineType, FrameType, asyncio.AbstractEventLoop)
        if id(thing) not in seen and not isinstance(thing, passing):
            seen[id(thing)] = thing
            left += gc.get_referents(thing)
    return seen.values()
