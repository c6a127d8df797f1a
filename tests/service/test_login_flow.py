"""Whole sign-ins against a certified OpenID Provider, as a browser goes through them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.database import Databases
from tests.support.peers import CLIENT_SECRET, OpenIdProvider, sign_in
from tests.support.server import Server, free_port

FRONT_END = "http://127.0.0.1:3999"
CALLBACK = "/api/v1/auth/{}/callback"


@pytest.fixture(scope="module")
def provider(peers: Path) -> Iterator[OpenIdProvider]:
    with OpenIdProvider.running(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def server(provider: OpenIdProvider, databases: Databases) -> Iterator[Server]:
    environment = {
        **provider.settings("basic", secret=CLIENT_SECRET),
        "DATABASE_URL": databases.migrated().url(),
        "ALLOWED_ORIGINS": FRONT_END,
    }
    with Server(environment, port=provider.api_port) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20) as opened:
        yield opened


def code_of(answer: httpx.Response) -> str:
    (code,) = parse_qs(urlsplit(answer.headers["Location"]).query)["login_code"]
    return code


def login_url(server: Server, return_to: str | None = f"{FRONT_END}/welcome?tab=1") -> str:
    query = httpx.QueryParams({"return_to": return_to} if return_to else {})
    return f"{server.url}/api/v1/auth/op/login?{query}"


def test_a_sign_in_ends_with_a_token_that_the_api_accepts(server: Server, browser: httpx.Client) -> None:
    arrival = sign_in(browser, login_url(server), "alice", FRONT_END)
    assert arrival.headers["Location"].startswith(f"{FRONT_END}/welcome?tab=1&login_code=")
    answer = browser.post(f"{server.url}/api/v1/auth/token", json={"login_code": code_of(arrival)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    assert 0 < answer.json()["expires_in"] <= 300
    me = server.get("/api/v1/auth/validate", answer.json()["access_token"]).json()
    assert (me["subject"], me["tenant"], me["provider"]) == ("alice", "acme", "op")
    assert not [name for name in browser.cookies if name.startswith("signalbox-login")]
