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
from service.auth.tokens import keys
from service.auth.tokens.judge import Authenticator, ExternalIssuers
from service.auth.tokens.keys import IssuerKeys
from service.errors import ApiError
from tests.support.api.environments import NO_DATABASE
from tests.support.api.server import Server, free_port
from tests.support.clock import Clock
from tests.support.idp.issuer import Issuer, provider_of

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
                time.sleep(0.01)  # a hundred in a second tell as much as all that there could be

    with provider, Server(environment, "tests.support.api.serve_impatient") as server:
        # Live comes before the first fetch: a provider that stops in between was never there.
        until(lambda: ready(server)["checks"]["issuers"] == "ok", 10)
        fetched = time.monotonic()  # or up to a soft age earlier
        provider.close()
        runner = threading.Thread(target=load, args=[server.url])
        runner.start()
        try:
            until(lambda: ready(server)["checks"]["issuers"] == "stale", HARD_AGE)
            told = [event for event in server.events() if event["message"] == "signing_keys_fetch_failed"]
            assert (told[-1]["provider"], told[-1]["reason"]) == ("test", "ConnectError")
            assert 0 < told[-1]["age"] < HARD_AGE
            until(lambda: ready(server)["checks"]["issuers"] == "unavailable", 15)
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
    clock = Clock()
    async with httpx.AsyncClient() as client:
        gate = Authenticator([ExternalIssuers([IssuerKeys(provider_of(issuer), client, clock)])])
        good = issuer.token()
        _, payload, signature = good.split(".")
        await gate.verify(good)
        clock.now += keys.COOLDOWN  # the flood may cause one fetch
        alone = await work(gate, good, 300)

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

        with issuer.holding() as asked:
            flooding = asyncio.create_task(flood())
            assert await asyncio.to_thread(asked.wait, 20)
            for _ in range(500):  # while the provider lets the flood wait
                await gate.verify(good)
            assert not flooding.done()
        served = 0
        while not flooding.done():
            await gate.verify(good)
            served += 1
            await asyncio.sleep(0)
        assert await flooding == {errors.TOKEN_KEY.code: 10_000}
        assert issuer.fetches <= 2
        assert served > 500
        assert await work(gate, good, 300) < alone * 3


def ready(server: Server) -> Any:
    return server.get("/api/v1/health/ready").json()


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


async def work(gate: Authenticator, token: str, times: int) -> float:
    """Seconds of the processor's time that judging it so often takes."""
    started = time.thread_time()
    for _ in range(times):
        await gate.verify(token)
    return time.thread_time() - started
