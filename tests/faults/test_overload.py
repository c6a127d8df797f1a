"""More is asked than can be served: the rest is told so at once, and no tenant pays for another."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.drill import NOTES, READERS, Row, Traffic
from tests.faults.load import Callers, Outcome, get, kinds, percentile, post
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server
from tests.support.idp.peers import absent

pytestmark = pytest.mark.faults
READY = get("/api/v1/health/ready")
BUSY = {"200", "503 SYS_011"}


def serving(traffic: Traffic) -> Server:
    environment = {**traffic.issuer.environment(), "DATABASE_URL": traffic.database.url(), "LOG_LEVEL": "INFO"}
    return Server(environment, "tests.support.api.serve")


def test_one_tenants_flood_and_slow_queries_harm_no_other(
    traffic: Traffic, long: bool, told: Callable[[Row], Row]
) -> None:
    """More callers of one tenant than the replica serves, and then as many with queries that take seconds."""
    seconds, token = 15.0 if long else 1.5, traffic.issuer.token("flood")
    flood = {"flood": get(NOTES, token), "slow queries": post(f"{NOTES}/sleep/2", token)}

    async def run(port: int, request: str) -> tuple[list[Outcome], list[Outcome], list[Outcome]]:
        many = Callers(port).loop(100, seconds, lambda _: flood[request], 0.02)
        others = traffic.callers(port).loop(4, seconds, traffic.read, 0.02)
        health = Callers(port).loop(1, seconds, lambda _: READY, 0.02)
        return await asyncio.gather(many, others, health)

    with serving(traffic) as server:
        server.until_ready()
        for name in flood:
            many, others, health = in_a_loop(run(server.port, name))
            told_besides = (
                f"of that tenant: {dict(kinds(many))}; others' p99 {1000 * percentile(others, 0.99):.0f} ms, "
                f"health p99 {1000 * percentile(health, 0.99):.0f} ms"
            )
            row = told(traffic.row(f"one tenant's {name}", others, besides=told_besides))
            assert row.answers.keys() == {"200"}
            assert kinds(many).keys() == BUSY
            assert kinds(health).keys() == {"200"}


def test_five_times_what_can_be_served(traffic: Traffic, long: bool, told: Callable[[Row], Row]) -> None:
    if not long:
        pytest.skip("what a machine can do is measured in a minute: -m faults")
    if shutil.which("wrk") is None:
        absent("wrk is not on this machine (Debian: apt-get install wrk)")

    async def wrk(server: Server, connections: int, pause: float, seconds: int) -> tuple[dict[str, float], float]:
        """Good answers and others, and the seconds of CPU that they took."""
        tokens = " ".join(traffic.issuer.token(tenant) for tenant in READERS)
        script = str(Path(__file__).with_name("flood.lua"))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script]
        before = cpu(server)
        process = await asyncio.create_subprocess_exec(
            *command,
            f"{server.url}{NOTES}",
            env={**os.environ, "TOKENS": tokens, "PAUSE": str(int(1000 * pause))},
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        found: dict[str, float] = json.loads(out.decode().splitlines()[-1])
        return found, cpu(server) - before

    async def run(server: Server) -> tuple[list[Outcome], str, float]:
        await wrk(server, 8, 0, 2)
        best = best_by_cpu = 0.0
        for connections in (8, 16):
            found, took = await wrk(server, connections, 0, 8)
            best, best_by_cpu = max(best, found["good"] / found["seconds"]), max(best_by_cpu, found["good"] / took)
        health = asyncio.create_task(Callers(server.port).loop(2, 15, lambda _: READY, 0.05))
        others = asyncio.create_task(traffic.callers(server.port).loop(1, 15, traffic.read, 1))
        found, took = await wrk(server, 1000, 1000 / (5 * best), 15)
        asked, by_cpu = found["good"] + found["refused"], found["good"] / took / best_by_cpu
        assert found["other"] == found["failed"] == 0
        besides = (
            f"best {best:.0f}/s; asked {asked / found['seconds']:.0f}/s, good {found['good'] / found['seconds']:.0f}/s "
            f"({found['good'] / found['seconds'] / best:.0%} of the best, {by_cpu:.0%} of it for a second of CPU), "
            f"health p99 {1000 * percentile(await health, 0.99):.0f} ms"
        )
        assert kinds(await health).keys() == {"200"}
        return await others, besides, by_cpu

    with serving(traffic) as server:
        server.until_ready()
        outcomes, besides, by_cpu = in_a_loop(run(server))
    row = told(traffic.row("five times what can be served", outcomes, besides=besides))
    assert row.answers.keys() <= BUSY
    assert by_cpu > 0.5, "the share of its time that a replica spends on refusing"


def cpu(server: Server) -> float:
    """Seconds of CPU that the process has had."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
