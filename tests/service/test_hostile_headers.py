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

from service.auth.tokens.judge import UnverifiedToken
from service.errors import ApiError
from service.feature import all_errors
from service.product import FEATURES
from service.settings import load
from tests.service.test_tokens import DEVELOPMENT
from tests.support.api.app import product
from tests.support.idp.issuer import Issuer, b64

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
def issuer_of_module() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def client(portal: BlockingPortal, issuer_of_module: Issuer) -> Iterator[httpx.AsyncClient]:
    app = product(load({**DEVELOPMENT, **issuer_of_module.environment()}))
    opened = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    good = {"Authorization": f"Bearer {issuer_of_module.token()}"}
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
    portal: BlockingPortal, client: httpx.AsyncClient, issuer_of_module: Issuer, changes: dict[str, Any]
) -> None:
    answer = ask(portal, client, f"Bearer {issuer_of_module.token(**changes)}".encode())
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
def test_the_largest_are_refused_in_under_five_milliseconds(
    portal: BlockingPortal, client: httpx.AsyncClient, value: bytes
) -> None:
    def once() -> float:
        started = time.perf_counter()
        text = value.decode("latin-1").removeprefix("Bearer ")
        with pytest.raises(ApiError):
            portal.call(client._transport.app.state.auth.authenticator.verify, text)  # type: ignore[attr-defined]
        return time.perf_counter() - started

    refused(ask(portal, client, value))
    assert min(once() for _ in range(5)) < 0.005
