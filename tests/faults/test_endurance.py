"""Much is read while much goes wrong, and for long: no row reaches another tenant, and nothing grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.drill import BROWSERS, NOTES, READERS, Row, Traffic, promised, table, told_of
from tests.faults.load import Callers, Outcome, Request, get, kinds, percentile, post
from tests.faults.load import run as in_a_loop
from tests.support.api.server import Server
from tests.support.database.databases import Database

pytestmark = pytest.mark.faults
FEW = 2000  # rows
ANEW = Request(b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # connects each time


class Wrong:
    """Statements that fail, callers who hang up in the middle of one, connections to the database that are cut.

    Args:
        traffic: Whose tenants do it.
        cut_every: Seconds between two cuts, of a third of the connections each.
        slower: All else by this much, where it is to be seen whether something is noticed and not how often.

    Attributes:
        answered: What became of the statements that fail.
        hung_up: How many callers did.
        cut: How many connections were.
    """

    def __init__(self, traffic: Traffic, cut_every: float, slower: float = 1) -> None:
        self._traffic, self._cut_every, self._slower = traffic, cut_every, slower
        self._over = asyncio.Event()
        self.answered: list[Outcome] = []
        self.hung_up = self.cut = 0

    @property
    def happened(self) -> bool:
        """Whether each of it did."""
        return bool(self.cut and self.hung_up and "422 REQ_003" in kinds(self.answered))

    @asynccontextmanager
    async def going(self, port: int) -> AsyncIterator[None]:
        """For the duration of the block."""
        task = asyncio.create_task(self._all(port))
        try:
            yield
        finally:
            self._over.set()
            await task

    async def _all(self, port: int) -> None:
        await asyncio.gather(self._fail(port), self._hang_up(port), self._cut())

    async def _fail(self, port: int) -> None:
        callers = Callers(port)
        while not self._over.is_set():
            for tenant in BROWSERS:
                token = self._traffic.token(tenant)
                self.answered.append(await callers.ask(post(f"{NOTES}/broken-sql", token)))
                self.answered.append(await callers.ask(get(f"{NOTES}/unknown", token)))
            await asyncio.sleep(0.1 * self._slower)

    async def _hang_up(self, port: int) -> None:
        callers = Callers(port)
        while not self._over.is_set():
            self.hung_up += 1
            slow = post(f"{NOTES}/sleep/0.05", self._traffic.token(BROWSERS[self.hung_up % 4]))
            request = self._traffic.browse(self.hung_up) if self.hung_up % 2 else slow
            await callers.abandon(request, self.hung_up % 7 / 300)
            await callers.ask(
                ANEW
            )  # on a machine with no time left, whoever reads would wait behind ever more of these
            await asyncio.sleep(0.02 * self._slower)

    async def _cut(self) -> None:
        while not self._over.is_set():
            ended = await asyncio.to_thread(
                self._traffic.database.as_superuser,
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'signalbox_app' "
                "and random() < 0.3",
            )
            self.cut += len(ended)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._cut_every)


async def read_much(
    traffic: Traffic, port: int, rows: int, wrong: Wrong, *, until_seen: bool = False
) -> tuple[list[Outcome], Callers]:
    """Tenants read until so many rows were looked at, each for its owner, and each thing went wrong.

    Args:
        traffic: Whose tenants do it.
        port: Of the replica.
        rows: How many.
        wrong: What goes wrong.
        until_seen: Stop at the first row that was leaked, or that its owner did not get.
    """
    callers, found = traffic.callers(port), list[Outcome]()

    async def read(number: int) -> None:
        while not (until_seen and callers.leaked + callers.missing) and (
            callers.rows + callers.missing < rows or not wrong.happened
        ):
            number += 1
            found.append(await callers.ask(traffic.browse(number)))

    async with wrong.going(port):
        await asyncio.gather(*map(read, range(12)))
    return found, callers


def test_no_row_reaches_another_tenant_while_statements_fail_callers_hang_up_and_connections_are_cut(
    server: Server, traffic: Traffic, long: bool, told: Callable[[Row], Row], pytestconfig: pytest.Config
) -> None:
    rows, slower = (pytestconfig.option.reads, 1) if long else (FEW, 5)
    wrong = Wrong(traffic, 0.3, slower)
    found, callers = in_a_loop(read_much(traffic, server.port, rows, wrong))
    besides = (
        f"{callers.rows} rows read and looked at; {wrong.hung_up} hung up, {wrong.cut} connections cut, "
        f"of statements that fail: {told_of(wrong.answered)}"
    )
    row = told(traffic.row("errors, hang-ups, cuts", found, besides=besides))
    assert row.answers.keys() <= {"200", "503 SYS_002", "503 SYS_011"}
    assert row.answers["200"] > sum(row.answers.values()) / 2
    assert kinds(wrong.answered).keys() <= {"422 REQ_003", "503 SYS_002", "503 SYS_011"}


@contextmanager
def mended_afterwards(database: Database) -> Iterator[None]:
    """The policy as its migration made it, whatever became of it in the block."""
    ((made,),) = database.as_superuser(
        "select format('create policy %I on app.note for all to signalbox_app using (%s) with check (%s)', polname, "
        "pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy "
        "where polrelid = 'app.note'::regclass"
    )
    try:
        yield
    finally:
        for name in ("tenant_isolation", "more"):
            database.as_superuser(f"drop policy if exists {name} on app.note")
        database.as_superuser(made)
        database.as_superuser("alter table app.note enable row level security")


@pytest.mark.parametrize(
    ("damage", "leaks"),
    [
        ("drop policy tenant_isolation on app.note", False),  # without any policy PostgreSQL gives no row to anyone
        ("alter policy tenant_isolation on app.note using (true)", True),
        ("create policy more on app.note for select to signalbox_app using (true)", True),
        ("alter table app.note disable row level security", True),
    ],
    ids=["dropped", "true for every row", "another beside it", "switched off"],
)
def test_the_drill_fails_when_a_policy_is_taken_away_while_tenants_read(
    server: Server, traffic: Traffic, database_to_break: Database, damage: str, leaks: bool
) -> None:
    """What finds nothing proves nothing: the same readers, and in the middle of it the database no longer isolates."""

    async def until_damaged() -> list[Outcome]:
        wrong = Wrong(traffic, 0.3, slower=5)
        reading = asyncio.create_task(read_much(traffic, server.port, 10 * FEW, wrong, until_seen=True))
        while not traffic.rows:  # noqa: ASYNC110  who counts them waits for nothing
            await asyncio.sleep(0.01)
        await asyncio.to_thread(database_to_break.as_superuser, damage)
        return (await reading)[0]

    with mended_afterwards(database_to_break):
        row = traffic.row(damage, in_a_loop(until_damaged()))
    with pytest.raises(AssertionError, match="rows leaked"):
        promised(row)
    assert (row.leaked > 0, row.lost > 0) == (leaks, not leaks), table([row])


@pytest.mark.usefixtures("in_full")
def test_nothing_grows_under_load(
    server: Server, traffic: Traffic, told: Callable[[Row], Row], pytestconfig: pytest.Config
) -> None:
    """Sampled while there is nothing to do: after a third of the time, and at the end."""
    seconds, token = pytestconfig.option.soak, traffic.issuer.token(READERS[0])

    def sample() -> dict[str, int]:
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

    async def load(length: float) -> list[Outcome]:
        wrong = Wrong(traffic, cut_every=1)
        async with wrong.going(server.port):
            outcomes = await traffic.callers(server.port).loop(8, length, mixed, 0.002)
        return outcomes + wrong.answered

    def mixed(number: int) -> Request:
        return traffic.read(number) if number % 4 else traffic.request()

    samples: list[dict[str, int]] = []
    outcomes: list[Outcome] = []
    for length in (seconds / 3, 2 * seconds / 3):
        outcomes += in_a_loop(load(length))
        server.until_ready()
        samples.append(sample())
    first, last = samples
    besides = "; ".join(f"{name} {first[name]} then {last[name]}" for name in first)
    row = told(
        traffic.row(f"{seconds} s of load", outcomes, besides=f"{besides}; p99 {percentile(outcomes, 0.99):.2f} s")
    )
    assert row.answers.keys() <= {"200", "201", "422 REQ_003", "503 SYS_002", "503 SYS_010", "503 SYS_011"}
    assert last["MB"] <= 1.1 * first["MB"] + 8
    for name in ("descriptors", "threads", "tasks", "connections"):
        assert last[name] <= first[name] + 8, besides
