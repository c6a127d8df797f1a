"""The database hangs, takes no writes, cuts connections: every request is answered, nothing is lost, all comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from infra.local.postgres import LocalPostgres
from tests.faults.drill import NOTES, READERS, Row, Traffic
from tests.faults.load import Callers, Outcome, get, percentile
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server
from tests.support.database.databases import Database

pytestmark = pytest.mark.faults
READY = get("/api/v1/health/ready")
OUTAGE = {"200", "201", "503 SYS_002", "503 SYS_010"}


def drill(
    name: str, server: Server, traffic: Traffic, fault: Callable[[], None], mend: Callable[[], None], seconds: float
) -> Row:
    """Callers before, while and after something is wrong; and one who asks for the replica's health."""

    pause = 0.02 if seconds > 1 else 0.08  # the short forms ask whether, and not how often

    async def run() -> tuple[list[Outcome], list[Outcome], float]:
        callers, mended = traffic.callers(server.port), asyncio.Event()
        health = asyncio.create_task(Callers(server.port).loop(1, seconds + 1, lambda _: READY, pause))

        async def happen() -> float:
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await asyncio.to_thread(fault)
            await asyncio.sleep(began + seconds - time.monotonic())
            await asyncio.to_thread(mend)
            mended.set()
            return time.monotonic()

        async def after() -> list[Outcome]:
            await mended.wait()
            return await callers.loop(4, seconds, traffic.request, pause)

        before = callers.loop(4, seconds + 0.3, traffic.request, pause)
        ended, during, then = await asyncio.gather(happen(), before, after())
        # What was asked for once it had recovered is served.
        assert all(outcome.good for outcome in then if outcome.began > ended + seconds / 2)
        return during + then, await health, ended

    outcomes, health, ended = in_a_loop(run())
    assert {outcome.kind for outcome in health} <= {"200", "503 SYS_005"}
    told = f"health p99 {1000 * percentile(health, 0.99):.0f} ms"
    return traffic.row(name, outcomes, ended, told)


def test_a_database_that_hangs(
    server: Server, traffic: Traffic, postgres_to_break: LocalPostgres, long: bool, told: Callable[[Row], Row]
) -> None:
    pause, resume = postgres_to_break.pause, postgres_to_break.resume
    row = told(drill("database hangs", server, traffic, pause, resume, 20 if long else 1))
    assert row.answers.keys() <= OUTAGE


def test_a_database_that_takes_no_writes(
    server: Server, traffic: Traffic, database_to_break: Database, long: bool, told: Callable[[Row], Row]
) -> None:
    def read_only(value: str) -> None:
        database_to_break.as_superuser(f"alter system {value}")
        database_to_break.as_superuser("select pg_reload_conf()")

    row = drill(
        "database is read-only",
        server,
        traffic,
        lambda: read_only("set default_transaction_read_only = on"),
        lambda: read_only("reset default_transaction_read_only"),
        10 if long else 1,
    )
    told(row)
    assert row.answers.keys() <= OUTAGE
    assert row.answers["503 SYS_002"]


def test_connections_that_are_cut(
    server: Server, traffic: Traffic, database_to_break: Database, long: bool, told: Callable[[Row], Row]
) -> None:
    """Those of the service, all at once, again and again."""
    seconds = 20 if long else 1

    def cut() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            database_to_break.as_superuser(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'signalbox_app'"
            )
            time.sleep(0.05)

    row = told(drill("connections are cut", server, traffic, cut, lambda: None, seconds))
    assert row.answers.keys() <= OUTAGE


def test_a_provider_that_was_never_read_is_told_and_keeps_no_request_away(server: Server, traffic: Traffic) -> None:
    ready = server.until_ready()
    assert (ready.status_code, ready.json()["checks"]["issuers"]) == (200, "stale")
    assert server.get(NOTES, traffic.token(READERS[0])).status_code == 200
