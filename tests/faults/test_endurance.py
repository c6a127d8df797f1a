"""Much is read while much goes wrong, and for long: no row reaches another tenant, and nothing grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.drill import NOTES, READERS, Row, Traffic
from tests.faults.load import Callers, Outcome, Request, get, kinds, percentile, post
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server

pytestmark = pytest.mark.faults
FEW = 300  # reads, in a run of all tests


def serving(traffic: Traffic) -> Server:
    environment = {**traffic.issuer.environment(), "DATABASE_URL": traffic.database.url(), "LOG_LEVEL": "INFO"}
    return Server(environment, "tests.support.api.serve")


async def go_wrong(traffic: Traffic, port: int, over: asyncio.Event, *, cut_every: float) -> list[Outcome]:
    """Statements that fail, callers who hang up in the middle of one, connections to the database that are cut."""
    callers, found = Callers(port), list[Outcome]()

    async def fail() -> None:
        while not over.is_set():
            for tenant in READERS:
                found.append(await callers.ask(post(f"{NOTES}/broken-sql", traffic.issuer.token(tenant))))
                found.append(await callers.ask(get(f"{NOTES}/unknown", traffic.issuer.token(tenant))))
                await asyncio.sleep(0.02)

    async def hang_up() -> None:
        number = 0
        while not over.is_set():
            number += 1
            slow = post(f"{NOTES}/sleep/0.05", traffic.issuer.token(READERS[number % 4]))
            await callers.abandon(traffic.read(number) if number % 2 else slow, number % 7 / 300)

    async def cut() -> None:
        while not over.is_set():
            await asyncio.to_thread(
                traffic.database.as_superuser,
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'signalbox_app' "
                "and random() < 0.3",
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), cut_every)

    await asyncio.gather(fail(), hang_up(), cut())
    return found


def test_no_row_reaches_another_tenant_while_statements_fail_callers_hang_up_and_connections_are_cut(
    traffic: Traffic, long: bool, told: Callable[[Row], Row], pytestconfig: pytest.Config
) -> None:
    reads = pytestconfig.option.reads if long else FEW

    async def run(port: int) -> tuple[list[Outcome], list[Outcome], int]:
        callers, over, found, good = traffic.callers(port), asyncio.Event(), list[Outcome](), [0]
        wrong = asyncio.create_task(go_wrong(traffic, port, over, cut_every=0.3))

        async def read(number: int) -> None:
            while good[0] < reads:
                number += 1
                found.append(await callers.ask(traffic.read(number)))
                good[0] += found[-1].good

        await asyncio.gather(*map(read, range(12)))
        over.set()
        return found, await wrong, callers.rows

    with serving(traffic) as server:
        server.until_ready()
        found, wrong, count = in_a_loop(run(server.port))
    row = told(
        traffic.row("errors, hang-ups, cuts", found, besides=f"{count} rows read; of errors: {dict(kinds(wrong))}")
    )
    assert row.answers.keys() <= {"200", "503 SYS_002", "503 SYS_011"}
    assert row.answers["200"] > sum(row.answers.values()) / 2
    assert {"422 REQ_003"} <= kinds(wrong).keys() <= {"422 REQ_003", "503 SYS_002", "503 SYS_011"}


def test_nothing_grows_under_load(
    traffic: Traffic, long: bool, told: Callable[[Row], Row], pytestconfig: pytest.Config
) -> None:
    """Sampled while there is nothing to do: after a third of the time, and at the end."""
    if not long:
        pytest.skip("what leaks slowly shows after a while: -m faults --soak 600")
    seconds, token = pytestconfig.option.soak, traffic.issuer.token(READERS[0])

    def sample(server: Server) -> dict[str, int]:
        process = Path(f"/proc/{server.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        inside = json.loads(server.post(f"{NOTES}/inside", token).content)
        pool = traffic.database.as_superuser("select count(*) from pg_stat_activity where usename = 'signalbox_app'")
        return {
            "MB": int(status["VmRSS"].split()[0]) // 1024,
            "descriptors": len([*(process / "fd").iterdir()]),
            "threads": int(status["Threads"]),
            "tasks": inside["tasks"],
            "connections": pool[0][0],
        }

    async def load(port: int, length: float) -> list[Outcome]:
        over = asyncio.Event()
        wrong = asyncio.create_task(go_wrong(traffic, port, over, cut_every=1))
        outcomes = await traffic.callers(port).loop(8, length, mixed, 0.002)
        over.set()
        return outcomes + await wrong

    def mixed(number: int) -> Request:
        return traffic.read(number) if number % 4 else traffic.request()

    samples: list[dict[str, int]] = []
    outcomes: list[Outcome] = []
    with serving(traffic) as server:
        server.until_ready()
        for length in (seconds / 3, 2 * seconds / 3):
            outcomes += in_a_loop(load(server.port, length))
            server.until_ready()
            samples.append(sample(server))
    first, last = samples
    besides = "; ".join(f"{name} {first[name]} then {last[name]}" for name in first)
    row = told(
        traffic.row(f"{seconds} s of load", outcomes, besides=f"{besides}; p99 {percentile(outcomes, 0.99):.2f} s")
    )
    assert row.answers.keys() <= {"200", "201", "422 REQ_003", "503 SYS_002", "503 SYS_010", "503 SYS_011"}
    assert last["MB"] <= 1.1 * first["MB"] + 8
    assert last["connections"] <= 21
    for name in ("descriptors", "threads", "tasks"):
        assert last[name] <= first[name] + 8, besides
