"""Any bytes in the Authorization header get an answer with a code: never a 500, never slowly."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.auth.tokens.judge import Authenticator, ExternalIssuers, UnverifiedToken
from service.auth.tokens.keys import IssuerKeys
from service.errors import ApiError
from service.feature import all_errors
from service.product import FEATURES
from tests.support.api.app import application
from tests.support.api.environments import DEVELOPMENT
from tests.support.idp.issuer import Issuer, b64, provider_of

_EXAMPLES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "client_id", "token_use", "tenant_id", "cnf", "tid"])
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "zip", "enc"])
headers = st.dictionaries(header_names, json_values | st.sampled_from(["RS256", "none", "HS256", "k1", "JWT"]))


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(scope="module")
def client(portal: BlockingPortal, module_issuer: Issuer) -> Iterator[httpx.AsyncClient]:
    with portal.wrap_async_context_manager(application({**DEVELOPMENT, **module_issuer.environment()})) as app:
        opened = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        good = {"Authorization": f"Bearer {module_issuer.token()}"}
        assert portal.call(lambda: opened.get("/api/v1/auth/validate", headers=good)).status_code == 200
        yield opened
        portal.call(opened.aclose)


def ask(portal: BlockingPortal, client: httpx.AsyncClient, value: bytes) -> httpx.Response:
    return portal.call(lambda: client.get("/api/v1/auth/validate", headers=[(b"Authorization", value)]))


def refused(answer: httpx.Response) -> None:
    assert answer.status_code in (401, 403)
    assert answer.json()["error"]["code"] in all_errors(FEATURES)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@_EXAMPLES
@given(value=st.binary(max_size=200))
def test_any_bytes(portal: BlockingPortal, client: httpx.AsyncClient, value: bytes) -> None:
    refused(ask(portal, client, value))
    refused(ask(portal, client, b"Bearer " + value))


@_EXAMPLES
@given(head=headers, payload=st.dictionaries(names, json_values), signature=st.binary(max_size=300))
def test_any_json_in_the_form_of_a_token(
    portal: BlockingPortal, client: httpx.AsyncClient, head: object, payload: object, signature: bytes
) -> None:
    parts = (json.dumps(head).encode(), json.dumps(payload).encode(), signature or b"x")
    refused(ask(portal, client, b"Bearer " + ".".join(b64(part) for part in parts).encode()))


@_EXAMPLES
@given(changes=st.dictionaries(names, json_values, min_size=1))
def test_signed_tokens_with_any_claims(
    portal: BlockingPortal, client: httpx.AsyncClient, module_issuer: Issuer, changes: dict[str, Any]
) -> None:
    answer = ask(portal, client, f"Bearer {module_issuer.token(**changes)}".encode())
    assert answer.status_code in (200, 401, 403)
    assert answer.json().get("error", {"code": "AUTH_001"})["code"] in all_errors(FEATURES)


@_EXAMPLES
@given(raw=st.binary(max_size=400))
def test_the_parser_raises_nothing_but_refusals(raw: bytes) -> None:
    encoded = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    for text in (raw.decode("latin-1"), f"{encoded}.{encoded}.{encoded}", f"{encoded}.{encoded}"):
        with suppress(ApiError):  # anything else fails the test
            UnverifiedToken.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer " + b"a" * 16_000,
        b"Bearer " + b"." * 16_000,
        b"Bearer " + b64(b"[" * 11_000).encode() + b".e30.eA",
        b"Bearer " + b64(b'{"a":' * 2_000).encode() + b".e30.eA",
        b"Bearer " + b64(b'{"a":' + b"9" * 11_000 + b"}").encode() + b".e30.eA",
        b"Bearer " + b64(b'{"a":1e' + b"9" * 11_000 + b"}").encode() + b".e30.eA",
        b"Bearer " + b64(b"{" + b",".join(b'"%d":0' % n for n in range(1_200)) + b"}").encode() + b".e30.eA",
    ],
)
def test_the_largest_are_refused_for_under_five_milliseconds_of_work(
    portal: BlockingPortal, client: httpx.AsyncClient, module_issuer: Issuer, value: bytes
) -> None:
    """Of the processor's time, which a busy machine does not lengthen; the best of five."""
    gate = Authenticator([ExternalIssuers([IssuerKeys(provider_of(module_issuer), client)])])
    text = value.decode("latin-1").removeprefix("Bearer ")

    async def once() -> float:
        started = time.thread_time()
        with pytest.raises(ApiError):
            await gate.verify(text)
        return time.thread_time() - started

    refused(ask(portal, client, value))
    assert min(portal.call(once) for _ in range(5)) < 0.005
