"""What is safe to do again is done again, what is the caller's is told as the caller's, and all else is an outage."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from structlog.testing import capture_logs

from service import errors
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database import engine, probe
from service.database.engine import REFUSED_PAUSE, Connector, create_engine
from service.database.session import database_errors, sessions
from service.database.tenantless import tenantless
from service.errors import ApiError, Error
from service.naming import Names
from service.settings import load
from service.tenancy import TenantId, tenant_scope
from tests.support.api.environments import DEVELOPMENT
from tests.support.database.cut import CutsOpening, LosesCommits
from tests.support.database.databases import APP_PASSWORD, Database, Databases

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def database(module_database: Database) -> Database:
    module_database.as_superuser("truncate app.note")
    return module_database


@asynccontextmanager
async def engine_of(
    database: Database, port: int | None = None, password: str = APP_PASSWORD, overflow: int = 9
) -> AsyncIterator[AsyncEngine]:
    """As the service makes it, with one connection that is kept."""
    url = database.url(password=password).replace(f":{database.server.port}/", f":{port or database.server.port}/")
    size = {"DATABASE_POOL_SIZE": "1", "DATABASE_MAX_OVERFLOW": str(overflow)}
    variables = {"DATABASE_URL": url, "DATABASE_SECRET_ID": "", **size}
    settings = load({name: value for name, value in {**DEVELOPMENT, **ISSUER, **variables}.items() if value})
    shared = create_engine(settings, Connector(settings, Secrets(Aws(settings)), None), Names("signalbox"))
    try:
        yield shared
    finally:
        await shared.dispose()


@asynccontextmanager
async def pool(database: Database, **options: Any) -> AsyncIterator[Sessions]:
    """The sessions of a tenant on such an engine."""
    async with engine_of(database, **options) as shared:
        with tenant_scope(TenantId.parse("acme")):
            yield sessions(shared)


ISSUER = {"IDP__X__KIND": "cognito", "IDP__X__ISSUER": "https://idp.example.com", "IDP__X__CLIENT_ID": "x"}


async def answer(made: Sessions, statement: str = "select app.current_tenant()", **values: Any) -> Any:
    """What a request with one statement gets: the value, or the row of the registry."""
    try:
        with database_errors("POST"):
            async with made.begin() as session:
                return (await session.execute(text(statement), values)).scalar()
    except ApiError as refused:
        return refused.error


def run(work: Callable[[Sessions], Awaitable[Any]], database: Database, **options: Any) -> Any:
    async def inside() -> Any:
        async with pool(database, **options) as made:
            return await work(made)

    with capture_logs():  # the outages of these tests are told to them alone
        return asyncio.run(inside())


@pytest.mark.parametrize(("times", "told"), [(1, "acme"), (2, errors.DATABASE_DOWN)])
def test_a_connection_that_is_lost_before_the_tenant_is_named_is_replaced_once(
    database: Database, times: int, told: object
) -> None:
    with LosesCommits(database.server.port, b"set_config", times) as way:
        way.armed = True
        assert run(answer, database, port=way.port) == told
        assert way.lost == times


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(("times", "told"), [(1, "acme"), (99, errors.DATABASE_DOWN)])
def test_a_connection_that_is_cut_while_it_is_opened(database: Database, after: int, times: int, told: object) -> None:
    with CutsOpening(database.server.port, after=after, times=times) as way:
        assert run(answer, database, port=way.port) == told


@pytest.mark.parametrize("by", ["session", "connection"])
def test_a_plan_that_the_schema_outran_is_made_again(database: Database, by: str) -> None:
    async def read(made: Sessions) -> Any:
        async with made.begin() as session:
            asked = session if by == "session" else await session.connection()
            found = (await asked.execute(text("select body from app.note"))).scalar()
            assert (await session.execute(text("select app.current_tenant()"))).scalar() == "acme"
            return found

    async def work(made: Sessions) -> None:
        await answer(made, "insert into app.note (body) values ('x') returning body")
        assert await read(made) == "x"
        await asyncio.to_thread(database.as_superuser, "alter table app.note alter column body type varchar(1000)")
        assert await read(made) == "x"

    try:
        run(work, database)
    finally:
        database.as_superuser("alter table app.note alter column body type text")


@pytest.mark.parametrize("by", ["session", "connection", "driver", "copy in", "copy out"])
def test_a_statement_is_not_done_again_when_others_would_be_lost_with_it(database: Database, by: str) -> None:
    insert, stale = "insert into app.note (body) values ('mine')", text("select slug from app.note")

    async def both(made: Sessions) -> None:
        with database_errors("POST"):
            async with made.begin() as session:
                connection = await session.connection()
                driver: Any = (await connection.get_raw_connection()).driver_connection
                if by == "driver":
                    await driver.execute(insert)
                elif by == "copy in":  # into a table without policies: PostgreSQL takes no other
                    await driver.copy_records_to_table("copied", schema_name="app", records=[("mine",)])
                elif by == "copy out":
                    await driver.copy_from_query(f"{insert} returning body", output=io.BytesIO())
                else:
                    await (session if by == "session" else connection).execute(text(insert))
                await session.execute(stale)

    async def work(made: Sessions) -> None:
        async with made.begin() as session:
            await session.execute(stale)
        await asyncio.to_thread(database.as_superuser, "alter table app.note alter column slug type varchar(1000)")
        with pytest.raises(ApiError, match=errors.DATABASE_DOWN.code):
            await both(made)

    database.as_superuser("create table app.copied (body text)")
    database.as_superuser("grant insert on app.copied to public")
    try:
        run(work, database)
        assert database.as_superuser("select from app.note") == []
    finally:
        database.as_superuser("drop table app.copied")
        database.as_superuser("alter table app.note alter column slug type text")


def test_a_type_that_the_schema_outran_is_read_anew(database: Database) -> None:
    made_of = "create or replace function app.pair_now() returns app.pair language sql as 'select row({})::app.pair'"

    async def work(made: Sessions) -> None:
        assert tuple(await answer(made, "select app.pair_now()")) == (1, 2)
        await asyncio.to_thread(database.as_superuser, "alter type app.pair add attribute c int")
        await asyncio.to_thread(database.as_superuser, made_of.format("1, 2, 3"))
        for _ in range(2):
            assert tuple(await answer(made, "select app.pair_now()")) == (1, 2, 3)

    database.as_superuser("create type app.pair as (a int, b int)")
    database.as_superuser(made_of.format("1, 2"))
    run(work, database)


def test_a_login_that_a_database_does_not_let_in_is_an_outage(databases: Databases) -> None:
    """The server says what it says of a statement that is wrong: 42501, which SQLAlchemy wraps as that of one."""

    async def without_a_tenant() -> None:
        async with engine_of(closed) as shared, tenantless(shared):
            pytest.fail("it was let in")

    closed = databases.migrated()
    closed.as_superuser(f"revoke connect on database {closed.name} from public, signalbox_app")
    assert run(answer, closed) == errors.DATABASE_DOWN
    with pytest.raises(ApiError, match=errors.DATABASE_DOWN.code):
        asyncio.run(without_a_tenant())


def test_an_unknown_database_is_an_outage(databases: Databases) -> None:
    assert run(answer, Database(databases.server, "there_is_none")) == errors.DATABASE_DOWN


@pytest.mark.parametrize(
    ("statement", "value", "told"),
    [
        ("insert into app.note (body, slug) values ('x', :value)", secrets.token_hex(8000), errors.INVALID_REQUEST),
        ("insert into app.note (body) values (:value)", "nul\0", errors.INVALID_REQUEST),
        ("insert into app.note (id, body) values (:value, 'x')", "no uuid", errors.INVALID_REQUEST),
        ("select cast(:value as jsonb)", "[" * 20_000, errors.INVALID_REQUEST),
        ("select cast(:value as information_schema.yes_or_no)", "maybe", errors.INVALID_REQUEST),
        ("select :value, (select count(*) from app.no_such_table)", "x", errors.INTERNAL),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_held_is_the_callers_and_a_statement_that_is_wrong_is_ours(
    database: Database, statement: str, value: str, told: Error
) -> None:
    assert run(lambda made: answer(made, statement, value=value), database) == told


DELETES_WHAT_IS_NAMED = """
    do $$ begin
        create temp table named (id int primary key) on commit drop;
        create temp table names (id int references named on delete KIND) on commit drop;
        insert into named values (1);
        insert into names values (1);
        delete from named;
    end $$
"""


@pytest.mark.parametrize(
    "kind", ["no action", "restrict"]
)  # the one looks at the end of a statement, the other at once
def test_a_row_that_others_name_is_kept_by_either_kind_of_foreign_key(database: Database, kind: str) -> None:
    statement = DELETES_WHAT_IS_NAMED.replace("KIND", kind)
    assert run(lambda made: answer(made, statement), database) == errors.CONFLICT


# Each class of PostgreSQL's appendix A, and of its codes those that are told otherwise than their class.
STATES = {
    errors.INVALID_REQUEST: "22000 23514 54000 54001",
    errors.CONFLICT: "23001 23503 23505 23P01",
    errors.INTERNAL: (
        "03000 09000 0A000 0B000 0F000 0L000 0P000 0Z000 10608 20000 21000 2200H 23000 23502 24000 25000 25P01 25P02 "
        "27000 2B000 2D000 2F000 34000 38000 39000 3B000 3F000 42000 42501 44000 54011 P0001"
    ),
    errors.DATABASE_DOWN: (
        "08000 08P01 25006 25P03 25P04 26000 28000 3D000 40001 40003 40P01 42P05 53000 53100 53300 55000 55P03 57014 "
        "57P01 57P04 58030 72000 F0000 HV00N XX000 ZZ999"
    ),
}
LEAVE = "08000 08P01 25006 25P03 25P04 26000 3D000 42P05 57P01 57P04 XX000"


@pytest.mark.parametrize("told", STATES, ids=lambda row: row.code)
def test_what_the_database_says_is_the_callers_or_ours_or_else_an_outage(database: Database, told: Error) -> None:
    async def work(made: Sessions) -> None:
        for state in STATES[told].split():
            before = await answer(made, "select pg_backend_pid()")
            said = f"do $$ begin raise exception using errcode = '{state}'; end $$"
            assert await answer(made, said) == told, state
            assert (await answer(made, "select pg_backend_pid()") != before) == (state in LEAVE), state

    run(work, database)


async def passed_over(made: Sessions, database: Database, statement: str) -> object:
    """What a request gets whose handler does not mind that a statement failed."""
    try:
        with database_errors("POST"):
            async with made.begin() as session:
                await session.execute(text("insert into app.note (body) values ('mine')"))
                if not statement:
                    pid = (await session.execute(text("select pg_backend_pid()"))).scalar()
                    await asyncio.to_thread(database.as_superuser, "select pg_terminate_backend($1)", pid)
                with suppress(Exception):
                    await session.execute(text(statement or "select 1"))
    except ApiError as refused:
        return refused.error
    return "stored"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("select 1 / 0", errors.INTERNAL),
        ("do $$ begin raise exception using errcode = '40001'; end $$", errors.DATABASE_DOWN),
        ("", errors.DATABASE_DOWN),
    ],
    ids=["wrong", "outage", "cut"],
)
def test_nothing_is_called_stored_that_was_rolled_back_after_a_failure_that_a_handler_passes_over(
    database: Database, statement: str, told: Error
) -> None:
    """The server answers such a COMMIT with a ROLLBACK, and not with a failure."""
    assert run(lambda made: passed_over(made, database, statement), database) == told
    assert database.as_superuser("select from app.note") == []


@pytest.mark.parametrize(("state", "told"), [("40003", errors.OUTCOME_UNKNOWN), ("40001", errors.DATABASE_DOWN)])
def test_a_commit_whose_outcome_the_server_does_not_know_is_told_as_unknown(
    database: Database, state: str, told: Error
) -> None:
    """As the coordinator of a distributed database says it, or a pooler that lost the server."""
    database.as_superuser(
        "create or replace function app.unsure() returns trigger language plpgsql as "
        "$$ begin raise exception using errcode = TG_ARGV[0]; end $$"
    )
    database.as_superuser(
        "create constraint trigger unsure after insert on app.note deferrable initially deferred "
        f"for each row execute function app.unsure('{state}')"
    )
    try:
        assert run(lambda made: answer(made, "insert into app.note (body) values ('x') returning 1"), database) == told
    finally:
        database.as_superuser("drop trigger unsure on app.note")


def test_what_the_driver_does_not_do_is_ours(database: Database) -> None:
    async def work(made: Sessions) -> None:
        with pytest.raises(ApiError, match=errors.INTERNAL.code), database_errors("POST"):
            async with made.begin() as session:
                await (await session.connection()).exec_driver_sql("select 1", ("a value too many",))

    run(work, database)


def test_a_connection_to_a_server_that_takes_no_writes_leaves_the_pool(database: Database) -> None:
    write = "insert into app.note (body) values ('x') returning pg_backend_pid()"

    async def work(made: Sessions) -> None:
        before = await answer(made, write)
        async with made() as session:  # the one connection of the pool becomes as if its server had been demoted
            await (await session.connection()).exec_driver_sql("set session characteristics as transaction read only")
            await session.commit()
        assert await answer(made, write) == errors.DATABASE_DOWN
        assert await answer(made, write) not in (before, errors.DATABASE_DOWN)

    run(work, database)


def test_a_password_that_is_wrong_is_tried_by_one_at_a_time_and_after_a_pause(database: Database) -> None:
    async def work(made: Sessions) -> list[int]:
        begun = []
        for pause in (0.0, 0.0, REFUSED_PAUSE):
            await asyncio.sleep(pause)
            before = way.begun
            assert set(await asyncio.gather(*(answer(made) for _ in range(9)))) == {errors.DATABASE_DOWN}
            begun.append(way.begun - before)
        return begun

    with CutsOpening(database.server.port) as way:
        started = time.monotonic()
        first, second, third = run(work, database, port=way.port, password="wrong")
        pauses = (time.monotonic() - started) // REFUSED_PAUSE
    assert 1 <= first <= 9, "nobody knew"
    assert second <= pauses - 1, "in the pause the server is left alone"
    assert 1 <= third <= pauses


def test_a_pool_that_is_used_up_is_not_ready_until_it_is_free(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether requests wait for its connections or readiness alone, and also when none comes afterwards."""
    monkeypatch.setattr(probe, "_BORROW_PATIENCE", 0.2)
    monkeypatch.setattr(engine, "POOL_TIMEOUT", 0.1)

    async def work(made: Sessions) -> None:
        asked = probe.DatabaseProbe(connector, made.kw["bind"])
        async with made.begin() as session:  # opening one may take longer than the patience that is set here
            await session.connection()
        for _ in range(9):
            assert await asked.connections() == "ok"
        async with made.begin() as session:
            await session.connection()
            assert await asked.connections() == "ok", "one that waited is no outage"
            for _ in range(4):
                assert await answer(made) == errors.DATABASE_DOWN
            assert await asked.connections() == "unavailable"
        for _ in range(9):
            state = await asked.connections()
        assert state == "ok"
        async with made.begin() as session:
            await session.connection()
            for _ in range(9):
                state = await asked.connections()
            assert state == "unavailable"

    settings = load({**DEVELOPMENT, **ISSUER})
    connector = Connector(settings, Secrets(Aws(settings)), None)
    run(work, database, overflow=0)
