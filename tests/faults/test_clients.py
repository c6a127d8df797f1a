"""Clients who stall: they are refused in time, and others do not notice them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.drill import Row, Traffic
from tests.faults.load import Outcome, percentile
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server

pytestmark = pytest.mark.faults


def test_clients_who_stall_are_refused_and_others_do_not_notice(
    traffic: Traffic, long: bool, told: Callable[[Row], Row]
) -> None:
    """A third sends half a head, a third half a body, a third nothing."""
    number, limit, pause = (900, 10, 0.02) if long else (90, 1, 0.2)
    limits = {"TEST_HEAD_SECONDS": str(limit), "TEST_BODY_IDLE_SECONDS": str(limit)}
    environment = {**traffic.issuer.environment(), "DATABASE_URL": traffic.database.url(), **limits}
    token = traffic.issuer.token("staller")
    head = f"POST /api/v1/notes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n"
    sent = (head[:40].encode(), head.encode() + b"half", b"")
    refused = Counter[str]()

    async def stall(port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        try:
            async with asyncio.timeout(limit + 5):
                refused[(await reader.read()).partition(b"\r\n")[0].decode()] += 1
        except TimeoutError:
            refused["open"] += 1
        writer.close()

    async def run(port: int) -> list[Outcome]:
        callers = traffic.callers(port)
        others = asyncio.create_task(callers.loop(4, limit + 4, traffic.request, pause))
        await asyncio.gather(*[stall(port, sent[n % 3]) for n in range(number)])
        return await others

    with Server(environment, "tests.support.api.serve_hurried") as server:
        server.until_ready()
        outcomes = in_a_loop(run(server.port))
        began = time.monotonic()
        assert server.stop() == 0
        took = time.monotonic() - began
    besides = f"{dict(refused)}, others' p99 {1000 * percentile(outcomes, 0.99):.0f} ms, stop {took:.1f} s"
    row = told(traffic.row(f"{number} clients stall", outcomes, besides=besides))
    assert row.answers.keys() == {"200", "201"}
    # A connection on which nothing was ever sent is an idle one, and those are kept.
    assert refused["open"] == number // 3
    # Of bodies, as many as the tenant's share; the others are refused before they are waited for.
    assert set(refused) <= {"open", "HTTP/1.1 408 Request Timeout", "HTTP/1.1 503 Service Unavailable"}
    assert refused["HTTP/1.1 408 Request Timeout"] > number // 3
