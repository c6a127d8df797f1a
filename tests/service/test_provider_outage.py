"""Drills: the provider goes away under load, and a flood of tokens with made-up key ids."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from service.auth import errors
from service.auth.tokens.judge import Authenticator, ExternalIssuers
from service.auth.tokens.keys import IssuerKeys
from service.errors import ApiError
from tests.service.test_request import NO_DATABASE
from tests.service.test_tokens import provider_of
from tests.support.api.server import Server, free_port
from tests.support.idp.issuer import Issuer

pytestmark = pytest.mark.anyio
HARD_AGE = 6.0  # seconds


def test_an_outage_of_the_provider_under_load() -> None:
    """Longer than the soft age: nobody notices. Past the hard age: 503. Back: recovers by itself, asked by nobody."""
    port = free_port()
    seen: list[tuple[float, int]] = []
    done = threading.Event()
    provider = ExitStack()
    issuer = provider.enter_context(Issuer(port))
    ages = {"TEST_SOFT_AGE": "0.3", "TEST_HARD_AGE": str(HARD_AGE), "TEST_COOLDOWN": "0.2"}
    environment = {**issuer.environment(), "DATABASE_URL": NO_DATABASE, **ages}
    token = issuer.token()

    def load(url: str) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            while not done.is_set():
                started = time.monotonic()
                seen.append((started, client.get("/api/v1/auth/validate").status_code))

    with provider, Server(environment, "tests.support.api.serve_impatient") as server:
        # Live comes before the first fetch: a provider that stops in between was never there.
        until(lambda: ready(server)["checks"]["signing_keys_test"] == "ok", 10)
        fetched = time.monotonic()  # or up to a soft age earlier
        provider.close()
        runner = threading.Thread(target=load, args=[server.url])
        runner.start()
        try:
            until(lambda: ready(server)["checks"]["signing_keys_test"] == "stale", HARD_AGE)
            told = ready(server)["signing_keys"]["test"]
            assert told["failure"] == "ConnectError"
            assert 0 < told["age_seconds"] < HARD_AGE
            until(lambda: ready(server)["checks"]["signing_keys_test"] == "unavailable", 15)
            answer = server.get("/api/v1/auth/validate", token)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SYS_003")
            assert answer.headers["Retry-After"].isdigit()
            with Issuer(port):
                until(lambda: server.get("/api/v1/auth/validate", token).status_code == 200, 20)
                time.sleep(0.3)
        finally:
            done.set()
            runner.join()
    during = Counter(status for at, status in seen if at < fetched + HARD_AGE - 1)
    assert set(during) == {200}
    assert during[200] > 50
    assert {status for _, status in seen} == {200, 503}
    assert seen[-1][1] == 200
    failures = [event for event in server.events() if event["message"] == "signing_keys_fetch_failed"]
    assert failures
    assert {event["provider"] for event in failures} == {"test"}
    assert all(event["reason"] == "ConnectError" and "age" in event for event in failures)


async def test_ten_thousand_made_up_key_ids_cost_two_fetches_and_hold_nobody_up(issuer: Issuer) -> None:
    async with httpx.AsyncClient() as client:
        source = IssuerKeys(provider_of(issuer), client)
        gate = Authenticator([ExternalIssuers([source])], remembered=0)
        good = issuer.token()
        _, payload, signature = good.split(".")
        await gate.verify(good)
        source._tried_at = None  # the cooldown is over: the flood may cause one fetch
        issuer.delay = 0.5
        alone = await rate(gate, good, 0.5)

        async def flood() -> Counter[str]:
            told: Counter[str] = Counter()
            for n in range(10_000):
                head = json.dumps({"alg": "RS256", "kid": secrets.token_hex(8)}).encode()
                made_up = f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{payload}.{signature}"
                try:
                    await gate.verify(made_up)
                except ApiError as refused:
                    told[refused.error.code] += 1
                if n % 10 == 0:
                    await asyncio.sleep(0)  # as between requests
            return told

        flooding = asyncio.create_task(flood())
        slowest = 0.0
        served = 0
        while not flooding.done():
            started = time.perf_counter()
            await gate.verify(good)
            slowest = max(slowest, time.perf_counter() - started)
            served += 1
            await asyncio.sleep(0)
        assert await flooding == {errors.TOKEN_KEY.code: 10_000}
        assert issuer.fetches <= 2
        assert slowest < issuer.delay / 2
        assert served > 500
        assert await rate(gate, good, 0.5) > alone / 3
        assert len(source._unknown) <= 128


def ready(server: Server) -> Any:
    return server.get("/api/v1/health/ready").json()


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


async def rate(gate: Authenticator, token: str, seconds: float) -> float:
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        await gate.verify(token)
        count += 1
    return count / seconds
