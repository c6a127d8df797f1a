"""Four unlike things of the network bear one class in the library: the log tells which it was, and what to do."""

from __future__ import annotations

import ssl
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
import trustme
from structlog.testing import capture_logs

from service.auth.providers.causes import CAUSES
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError
from service.auth.tokens.keys import IssuerKeys
from service.errors import ApiError
from tests.support.api.server import free_port
from tests.support.idp.issuer import Issuer, provider_of
from tests.support.local_http import LocalHttp

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("https://idp.invalid/keys", "name"),
        ("http://127.0.0.1:{nobody}/keys", "refused"),
        ("https://localhost:{tls}/keys", "certificate_authority"),
        ("https://127.0.0.1:{tls}/keys", "certificate_name"),
        ("https://127.0.0.1:{plain}/keys", "tls"),
    ],
)
async def test_the_log_tells_unlike_failures_of_a_connection_apart(issuer: Issuer, address: str, cause: str) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    known = ssl.create_default_context()
    if cause == "certificate_name":
        authority.configure_trust(known)
    with LocalHttp(BaseHTTPRequestHandler) as server:
        server.serve_tls(context)
        ports = {"nobody": free_port(), "tls": server.url.rpartition(":")[2], "plain": issuer.url.rpartition(":")[2]}
        provider = provider_of(issuer, IDP__TEST__JWKS_URL=address.format(**ports))
        async with httpx.AsyncClient(verify=known) as client:
            with capture_logs() as told, pytest.raises(ApiError):
                await IssuerKeys(provider, client).find("k1", "RS256", issuer.url)
    (event,) = [line for line in told if line["event"] == "signing_keys_fetch_failed"]
    assert (event["reason"], event["cause"], event["remedy"]) == ("ConnectError", cause, CAUSES[cause])


async def test_what_a_provider_says_is_for_the_terminal_and_not_for_the_log(issuer: Issuer) -> None:
    issuer.answer = lambda: (200, b'{"issuer": "https://planted.example"}')
    async with httpx.AsyncClient() as client:
        with capture_logs() as told, pytest.raises(FetchError) as failure:
            await Discovery(provider_of(issuer), client).document()
    assert "planted.example" in failure.value.told
    assert told[0]["remedy"] == CAUSES["discovery_issuer_differs"]
    assert "planted" not in str(told)
