"""Tokens that we issue: signed by a key that stays in KMS, verifiable by anyone, and no hostage of an outage."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jose import jwt
from sqlalchemy.ext.asyncio import create_async_engine

from service.auth import errors
from service.auth.issued.ended import EndedSessions
from service.auth.issued.signing import TokenSigner
from service.auth.issued.tokens import IssuedTokens, OwnIssuer, Session
from service.auth.tokens.judge import Authenticator
from service.auth.tokens.principal import principal_of
from service.aws.identity import Aws
from service.errors import ApiError
from service.settings import load
from service.tenancy import TenantId
from tests.local.test_emulator import Emulator
from tests.service.test_tokens import DEVELOPMENT
from tests.support.api.server import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)


def new_key(aws: Emulator, spec: str = "ECC_NIST_P256") -> str:
    created = aws.client("kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    return str(created["KeyMetadata"]["Arn"])


def clients(url: str) -> Aws:
    idp = {"KIND": "cognito", "ISSUER": "https://idp.example.com", "CLIENT_ID": "x"}
    variables = {f"IDP__X__{name}": value for name, value in idp.items()}
    return Aws(load(DEVELOPMENT | variables | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url}))


@contextmanager
def signer(url: str, *key_ids: str) -> Iterator[TokenSigner]:
    aws = clients(url)
    made = TokenSigner(key_ids, lambda: aws.client("kms"))
    yield made
    made.close()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "https://api.example.com", "sub": "alice", "aud": "api", "iat": now, "exp": now + 600, **changes}


def verified(token: str, keys: dict[str, Any]) -> dict[str, Any]:
    """As somebody else would, with a library and our key set alone."""
    return jwt.decode(token, json.loads(json.dumps(keys)), algorithms=["ES256"], audience="api")


async def test_anybody_can_verify_a_token_with_the_published_keys(aws: Emulator) -> None:
    with signer(aws.url, new_key(aws)) as ours:
        token = await ours.sign(claims())
        assert verified(token, ours.jwks())["sub"] == "alice"
        (published,) = ours.jwks()["keys"]
        assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": published["kid"], "typ": "at+jwt"}
        assert set(published) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_a_key_has_the_same_kid_on_every_replica_and_by_every_name(aws: Emulator) -> None:
    arn = new_key(aws)
    aws.client("kms").create_alias(AliasName="alias/signing-test", TargetKeyId=arn)
    with signer(aws.url, arn) as first, signer(aws.url, "alias/signing-test") as second:
        await first.refresh()
        await second.refresh()
        assert first.jwks() == second.jwks()
        assert verified(await second.sign(claims()), first.jwks())


async def test_tokens_of_the_previous_key_are_good_while_it_is_listed(aws: Emulator) -> None:
    old, new = new_key(aws), new_key(aws)
    with signer(aws.url, old) as before, signer(aws.url, new, old) as after, signer(aws.url, new) as later:
        token = await before.sign(claims())
        await after.refresh()
        await later.refresh()
        kid = jwt.get_unverified_header(token)["kid"]
        assert after.find(kid, "ES256")
        assert verified(token, after.jwks())
        fresh = await after.sign(claims())
        assert jwt.get_unverified_header(fresh)["kid"] == after.jwks()["keys"][0]["kid"] != kid
        with pytest.raises(ApiError) as refused:
            later.find(kid, "ES256")
        assert refused.value.error is errors.TOKEN_KEY


async def test_a_key_of_another_kind_is_not_used(aws: Emulator) -> None:
    with signer(aws.url, new_key(aws, "RSA_2048")) as ours:
        await ours.refresh()
        assert not ours.ready
        with pytest.raises(ApiError) as refused:
            await ours.sign(claims())
        assert refused.value.error is errors.SIGNING_DOWN


async def test_while_kms_is_away_tokens_that_are_out_stay_good_and_new_ones_are_503(aws: Emulator) -> None:
    arn, there, gone = new_key(aws), clients(aws.url), clients(f"http://127.0.0.1:{free_port()}")
    at = [there]
    ours = TokenSigner([arn], lambda: at[0].client("kms"))
    token = await ours.sign(claims())
    at[0] = gone
    with pytest.raises(ApiError) as refused:
        await ours.sign(claims())
    assert (refused.value.error, refused.value.error.status) == (errors.SIGNING_DOWN, 503)
    await ours.refresh()
    assert verified(token, ours.jwks())
    assert ours.ready
    at[0] = there
    assert verified(await ours.sign(claims()), ours.jwks())
    ours.close()


async def test_no_key_set_is_published_before_there_is_a_key(aws: Emulator) -> None:
    with signer(f"http://127.0.0.1:{free_port()}", new_key(aws)) as ours:
        await ours.refresh()
        for attempt in (ours.jwks, lambda: ours.find("k", "ES256")):
            with pytest.raises(ApiError) as refused:
                attempt()
            assert refused.value.error is errors.KEYS_DOWN


async def test_a_kms_that_hangs_holds_nobody_up(aws: Emulator) -> None:
    """It takes connections and never answers; more callers than threads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []
        threading.Thread(target=lambda: _hold(listener, held), daemon=True).start()
        with signer(f"http://127.0.0.1:{listener.getsockname()[1]}", new_key(aws)) as ours:
            longest = 0.0
            started = time.monotonic()
            calls = [asyncio.ensure_future(ours.sign(claims())) for _ in range(40)]
            while not all(call.done() for call in calls):
                beat = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - beat)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(o, ApiError) and o.error is errors.SIGNING_DOWN for o in outcomes), outcomes
            assert time.monotonic() - started < 8
            assert longest < 0.5
        for connection in held:
            connection.close()


def _hold(listener: socket.socket, held: list[socket.socket]) -> None:
    while True:
        try:
            held.append(listener.accept()[0])
        except OSError:
            return


PUBLIC_URL = "https://api.example.com"


@contextmanager
def gate(aws: Emulator) -> Iterator[tuple[TokenSigner, OwnIssuer, Authenticator]]:
    """Two providers, each bound to a tenant of its own, and the gate that judges their tokens."""
    with signer(aws.url, new_key(aws)) as ours:
        issuers = [
            OwnIssuer(name, "saml", frozenset({TenantId.parse(tenant)}), signer=ours, public_url=PUBLIC_URL)
            for name, tenant in (("hospital", "acme"), ("clinic", "globex"))
        ]
        # Nothing was ended, and nothing is asked of the database.
        ended = EndedSessions(create_async_engine("postgresql+asyncpg://", async_creator=_no_database))
        yield ours, issuers[0], Authenticator([IssuedTokens(issuers, ended)])


async def _no_database() -> Any:
    raise AssertionError("a request must cost no query")


SESSION = Session("s", "u")
ACME = TenantId.parse("acme")


async def test_a_token_lives_an_hour_and_never_longer_than_the_providers_session(aws: Emulator) -> None:
    with gate(aws) as (_, issuer, authenticator):
        for ends_in, expected in ((None, 3600), (600, 600), (86_400, 3600)):
            now = time.time()
            token, expires_at = await issuer.issue("al-1", ACME, SESSION, None if ends_in is None else now + ends_in)
            assert abs(expires_at - now - expected) <= 1
            assert (await authenticator.verify(token)).expires_at == expires_at


async def test_the_gate_judges_our_own_tokens_like_everybodys(aws: Emulator) -> None:
    with gate(aws) as (ours, issuer, authenticator):
        token, _ = await issuer.issue("al-1", ACME, SESSION, None)
        good = jwt.get_unverified_claims(token)
        principal = principal_of(await authenticator.verify(token))
        assert (principal.tenant, principal.subject, principal.provider) == ("acme", "al-1", "hospital")
        clinic = f"{PUBLIC_URL}/api/v1/auth/clinic"
        for changes, row in (
            ({"tenant_id": "globex"}, errors.TENANT_FORBIDDEN),
            ({"tenant_id": None}, errors.TENANT_MALFORMED),
            ({"iss": clinic}, errors.TOKEN_AUDIENCE),
            ({"iss": clinic, "client_id": "clinic"}, errors.TENANT_FORBIDDEN),
            ({"iss": PUBLIC_URL}, errors.TOKEN_ISSUER),
            ({"aud": "https://other.example.com"}, errors.TOKEN_AUDIENCE),
            ({"token_use": "id"}, errors.TOKEN_KIND),
            ({"exp": good["iat"] + 3601}, errors.TOKEN_LIFETIME),
            ({"sub": ""}, errors.TOKEN_CLAIM),
        ):
            forged = await ours.sign({**good, **changes})
            with pytest.raises(ApiError) as refused:
                principal_of(await authenticator.verify(forged))
            assert refused.value.error is row, changes
        with signer(aws.url, new_key(aws)) as somebody, pytest.raises(ApiError) as refused:
            await authenticator.verify(await somebody.sign(good))
        assert refused.value.error is errors.TOKEN_KEY


async def test_however_often_the_key_set_is_asked_for_while_kms_is_down_kms_is_asked_once() -> None:
    asked = 0

    def connect() -> Any:
        nonlocal asked
        asked += 1
        raise OSError

    ours = TokenSigner(["a"], connect)
    for _ in range(20):
        await asyncio.gather(ours.look_again(), ours.look_again())
    assert asked == 1
