"""A big table is changed while requests go on, as docs/MIGRATIONS.md says, by several runners, of which two die."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from migrations import turn
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database import online
from service.database.engine import Connector
from service.database.online import alter, backfill, build_index
from service.naming import Names
from service.product import NAME
from service.settings import load
from tests.support.api.server import ROOT
from tests.support.api.zygote import Divided
from tests.support.database.databases import (
    MASTER,
    MASTER_PASSWORD,
    Database,
    Databases,
    migrate,
    migration_environment,
    start_migration,
)

GUIDE = (ROOT / "docs/MIGRATIONS.md").read_text()
VALID = "select indisvalid from pg_index where indexrelid = 'app.note_size'::regclass"
SIZES = "select count(*) from app.note where size is distinct from octet_length(body)"
RUNNERS = (
    "select from pg_stat_activity where application_name = 'signalbox-migrations' and datname = current_database()"
)
LOCK = "select a.pid, a.query from pg_locks join pg_stat_activity a using (pid) where locktype = 'advisory' and granted"


@pytest.fixture
def notes(databases: Databases) -> Database:
    database = databases.migrated()
    database.as_superuser(
        "insert into app.note (tenant_id, body)"
        " select 'tenant-' || n % 7, repeat('x', n % 50) from generate_series(1, 2500) n"
    )
    return database


@pytest.fixture
def guide(tmp_path: Path) -> str:
    """The migrations of the guide, letter for letter."""
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL), 2):
        (tmp_path / f"n00{number}_guide.py").write_text(block)
    assert len(list(tmp_path.iterdir())) == 2
    return str(tmp_path)


def taken_over(notes: Database, pid: int) -> bool:
    """Whether another than the backend of that id has the lock; for a moment after its end, none has."""
    return any(row["pid"] != pid for row in notes.as_superuser(LOCK))


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def transaction(database: Database, statement: str = "select 1") -> Iterator[None]:
    """One that goes on: no index is complete before a snapshot that is older than it is gone."""
    with asyncio.Runner() as runner:
        address = database.url(database.server.superuser, database.server.password).partition("?")[0]
        connection = runner.run(asyncpg.connect(address, ssl=False))
        try:
            runner.run(connection.execute(f"begin isolation level repeatable read; {statement}"))
            yield
        finally:
            runner.run(connection.close())


def connector(database: Database) -> Connector:
    settings = load(migration_environment(database))
    return Connector(settings, Secrets(Aws(settings)), None, confined=False)


def building(database: Database) -> bool:
    return any("create index concurrently" in row["query"] for row in database.as_superuser(LOCK))


def finished(process: Divided) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.wait(), out + err


def within(database: Database, change: Callable[[], object]) -> None:
    """Run what a migration does, as the migrating login, in this process."""

    async def run() -> None:
        url = database.url(MASTER, MASTER_PASSWORD).partition("?")[0].replace("postgresql:", "postgresql+asyncpg:")
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"ssl": False})
        async with engine.connect() as connection:
            await connection.run_sync(migrate_with)
        await engine.dispose()

    def migrate_with(connection: Connection) -> None:
        context = MigrationContext.configure(connection)
        with Operations.context(context), context.begin_transaction():
            change()

    asyncio.run(run())


def test_runners_that_die_in_mid_build_are_followed_by_the_next_which_completes_the_change(
    notes: Database, guide: str
) -> None:
    with transaction(notes):  # no index is complete while it lasts, and what a dead one left running waits for it, too
        killed = start_migration(notes, versions=guide)
        wait_until(lambda: building(notes))
        (first,) = notes.as_superuser(LOCK)
        waiting = [start_migration(notes, versions=guide) for _ in range(2)]
        wait_until(lambda: len(notes.as_superuser(RUNNERS)) == 3)
        killed.kill()
        assert finished(killed)[0] != 0
        wait_until(lambda: building(notes) and taken_over(notes, first["pid"]))
        (second,) = notes.as_superuser(LOCK)
        with pytest.raises(SystemExit, match=rf"pg_terminate_backend\({second['pid']}\)"):
            asyncio.run(turn.connect(connector(notes), Names(NAME), patience=0))
        notes.as_superuser(f"select pg_terminate_backend({second['pid']})")
        wait_until(lambda: building(notes) and taken_over(notes, second["pid"]))
    ends = sorted(finished(process) for process in waiting)
    assert [code for code, _ in ends] == [0, 1], ends
    assert "index_half_built" in ends[0][1], "what was found half done is said"
    assert notes.as_superuser(VALID)[0][0] is True
    assert notes.as_superuser(SIZES)[0][0] == 0
    assert notes.as_superuser("select from pg_policies where policyname = 'backfill'") == []
    assert notes.as_superuser(LOCK) == []
    with pytest.raises(asyncpg.NotNullViolationError):
        notes.as_superuser("insert into app.note (tenant_id, body) values ('acme', 'of the code before')")


def test_an_index_that_a_migration_by_hand_left_half_built_is_told(notes: Database) -> None:
    """With "if not exists" every later run finds the name, and takes it for the index."""
    with pytest.raises(asyncpg.UniqueViolationError):
        notes.as_superuser("create unique index concurrently note_key on app.note (tenant_id, body)")
    done = migrate(notes)
    assert done.returncode == 0
    assert "The index app.note_key was left half built" in done.stderr


def test_a_key_without_the_tenant_is_refused(notes: Database) -> None:
    with pytest.raises(ValueError, match="note_key must contain tenant_id"):
        within(notes, lambda: build_index("note_key", "note", ("body",), unique=True))
    within(notes, lambda: build_index("note_key", "note", ("tenant_id", "id"), unique=True))


def test_a_name_is_no_statement(notes: Database) -> None:
    with pytest.raises(ValueError, match="a name is"):
        within(notes, lambda: alter("note; drop table app.note", "add column x int"))


def test_a_table_that_stays_busy_is_told_and_other_requests_do_not_stand_in_line(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "LOCK_TRIES", 2)
    notes.as_superuser(f"alter database {notes.name} set lock_timeout = '10s'")

    def add() -> None:
        within(notes, lambda: alter("note", "add column size integer"))

    with transaction(notes, "select 1 from app.note limit 1"), ThreadPoolExecutor(1) as thread:
        change = thread.submit(add)
        wait_until(lambda: notes.as_superuser("select from pg_locks where not granted"))
        notes.as_superuser("select count(*) from app.note")
        with pytest.raises(online.TableBusyError, match="a long transaction keeps the table"):
            change.result()
    add()


def test_a_backfill_reaches_the_rows_of_every_tenant_and_goes_on_where_it_was(notes: Database) -> None:
    def fill() -> None:
        changed.append(backfill("note", assign="slug = id::text", missing="slug is null", batch=100))

    changed: list[int] = []
    notes.as_superuser("update app.note set slug = id::text where tenant_id = 'tenant-1'")
    (done,) = notes.as_superuser("select count(*) from app.note where slug is not null")
    within(notes, fill)
    within(notes, fill)
    assert changed == [2500 - done[0], 0]
    assert notes.as_superuser("select from app.note where slug is distinct from id::text") == []
