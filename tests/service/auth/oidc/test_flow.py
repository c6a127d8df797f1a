"""Whole sign-ins against a certified OpenID Provider, as a browser goes through them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.api.app import LOGIN_COOKIE
from tests.support.api.server import Server, free_port
from tests.support.database.databases import Databases
from tests.support.idp.peers import CLIENT_SECRET, Form, OpenIdProvider, sign_in

FRONT_END = "http://127.0.0.1:3999"
CALLBACK = "/api/v1/auth/op/callback"


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


def code_of(answer: httpx.Response) -> str:
    (code,) = parse_qs(urlsplit(answer.headers["Location"]).query)["login_code"]
    return code


def login_url(server: Server, return_to: str | None = f"{FRONT_END}/welcome?tab=1") -> str:
    query = httpx.QueryParams({"return_to": return_to} if return_to else {})
    return f"{server.url}/api/v1/auth/op/login?{query}"


def test_a_sign_in_ends_with_a_token_that_the_api_accepts(server: Server, browser: httpx.Client) -> None:
    token = signed_in(server, browser)
    me = server.get("/api/v1/auth/validate", token["access_token"]).json()
    assert (me["subject"], me["tenant"], me["provider"]) == ("alice", "acme", "op")
    assert token["token_type"] == "Bearer"
    assert 0 < token["expires_in"] <= 300
    assert not [name for name in browser.cookies if name.startswith(LOGIN_COOKIE)]


def test_without_return_to_the_token_comes_as_json(server: Server, browser: httpx.Client) -> None:
    arrival = sign_in(browser, login_url(server, None), "bob", f"{server.url}{CALLBACK}")
    answer = browser.get(arrival.headers["Location"])
    assert answer.status_code == 200
    assert server.get("/api/v1/auth/validate", answer.json()["access_token"]).json()["tenant"] == "globex"


@pytest.mark.parametrize(("client_id", "secret"), [("post", CLIENT_SECRET), ("public", None), ("es256", None)])
def test_other_client_authentication_and_es256(
    provider: OpenIdProvider, databases: Databases, client_id: str, secret: str | None
) -> None:
    with OpenIdProvider.running(free_port()) as own:
        environment = {
            **own.settings(client_id, secret=secret),
            "DATABASE_URL": databases.migrated().url(),
            "ALLOWED_ORIGINS": FRONT_END,
        }
        with Server(environment, port=own.api_port) as server, httpx.Client(timeout=20) as browser:
            token = signed_in(server, browser)["access_token"]
            assert server.get("/api/v1/auth/validate", token).json()["subject"] == "alice"
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            assert header["alg"] == ("ES256" if client_id == "es256" else "RS256")


def test_a_code_that_was_used_is_not_used_again(server: Server, browser: httpx.Client) -> None:
    """The provider refuses it too; ours does not even ask."""
    arrival = sign_in(browser, login_url(server, None), "alice", f"{server.url}{CALLBACK}")
    kept = [(c.name, c.value) for c in browser.cookies.jar if c.name.startswith(LOGIN_COOKIE)]
    assert browser.get(arrival.headers["Location"]).status_code == 200
    assert browser.get(arrival.headers["Location"]).status_code == 400
    for name, value in kept:
        browser.cookies.set(name, value or "", domain="127.0.0.1")
    assert browser.get(arrival.headers["Location"]).json()["error"]["code"] == "AUTH_040"
    # In a transaction of its own, the same code is refused by the provider.
    (code,) = parse_qs(urlsplit(arrival.headers["Location"]).query)["code"]
    started = browser.get(login_url(server, None)).headers["Location"]
    (state,) = parse_qs(urlsplit(started).query)["state"]
    replayed = browser.get(
        f"{server.url}{CALLBACK}", params={"code": code, "state": state, "iss": arrival_iss(arrival)}
    )
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (400, "AUTH_047")


def test_two_tabs_sign_two_people_in(server: Server) -> None:
    with httpx.Client(timeout=20) as one, httpx.Client(timeout=20) as two:
        started = [one.get(login_url(server)), one.get(login_url(server))]
        cookies = dict(one.cookies)
        assert len([name for name in cookies if name.startswith(LOGIN_COOKIE)]) == 2
        arrivals = [sign_in(one, start.headers["Location"], "alice", FRONT_END) for start in reversed(started)]
        for arrival in arrivals:
            answer = one.post(f"{server.url}/api/v1/auth/token", json={"login_code": code_of(arrival)})
            assert answer.status_code == 200
        stolen = sign_in(one, login_url(server), "alice", FRONT_END)
        refused = two.post(f"{server.url}/api/v1/auth/token", json={"login_code": code_of(stolen)})
        assert refused.json()["error"]["code"] == "AUTH_045"


def test_sign_out_ends_the_session_at_the_provider(server: Server, browser: httpx.Client) -> None:
    token = signed_in(server, browser)
    options = {"return_to": f"{FRONT_END}/bye", "id_token_hint": token["id_token"]}
    answer = browser.post(f"{server.url}/api/v1/auth/op/logout", json=options)
    page = browser.get(answer.json()["logout_url"])
    form = Form(page)
    back = browser.post(form.action or "", data={**form.fields, "logout": "yes"})
    assert back.headers["Location"].startswith(f"{server.url}/api/v1/auth/op/logout?state=")
    assert browser.get(back.headers["Location"]).headers["Location"] == f"{FRONT_END}/bye"
    asks_again = browser.get(browser.get(login_url(server)).headers["Location"])
    page = browser.get(f"{asks_again.url.scheme}://{asks_again.url.netloc.decode()}{path_of(asks_again)}")
    assert "login" in Form(page).fields


@pytest.mark.parametrize("mode", ["overlap", ""])
def test_a_rotation_at_the_provider_is_picked_up(databases: Databases, mode: str) -> None:
    """With overlap, old tokens go on; without, they die with their key."""
    with OpenIdProvider.running(free_port()) as provider:
        environment = {
            **provider.settings("basic", secret=CLIENT_SECRET),
            "DATABASE_URL": databases.migrated().url(),
            "ALLOWED_ORIGINS": FRONT_END,
            "TEST_COOLDOWN": "1",
        }
        with (
            Server(environment, "tests.support.api.serve_impatient", port=provider.api_port) as server,
            httpx.Client(timeout=20) as browser,
        ):
            before = signed_in(server, browser)["access_token"]
            assert server.get("/api/v1/auth/validate", before).status_code == 200
            provider.rotate(mode)
            time.sleep(1.1)
            after = signed_in(server, browser)["access_token"]
            assert server.get("/api/v1/auth/validate", after).status_code == 200
            assert server.get("/api/v1/auth/validate", before).status_code == (200 if mode == "overlap" else 401)


def test_the_log_has_every_sign_in_and_no_secret_of_it(server: Server, browser: httpx.Client) -> None:
    token = signed_in(server, browser)
    text = "\n".join(server.lines)
    for secret in (token["access_token"], token["id_token"], CLIENT_SECRET, "login_code=", "alice@example.com"):
        assert secret not in text
    assert any(event["message"] == "signed_in" and event["provider"] == "op" for event in server.events())


def signed_in(server: Server, browser: httpx.Client) -> dict[str, Any]:
    arrival = sign_in(browser, login_url(server), "alice", FRONT_END)
    assert arrival.headers["Location"].startswith(f"{FRONT_END}/welcome?tab=1&login_code=")
    answer = browser.post(f"{server.url}/api/v1/auth/token", json={"login_code": code_of(arrival)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def arrival_iss(arrival: httpx.Response) -> str:
    return parse_qs(urlsplit(arrival.headers["Location"]).query)["iss"][0]


def path_of(answer: httpx.Response) -> str:
    return urlsplit(answer.headers["Location"]).path
