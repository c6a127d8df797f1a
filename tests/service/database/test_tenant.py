"""A transaction begins with its tenant named, in one message, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database.engine import Connector, create_engine
from service.database.session import sessions
from service.database.tenant import NamingConnection, begin
from service.naming import Names
from service.settings import load
from service.tenancy import TenantId, tenant_scope
from tests.support.api.environments import DEVELOPMENT
from tests.support.database.databases import Database

ACME, GLOBEX = TenantId.parse("acme"), TenantId.parse("globex")
ISSUER = {"IDP__X__KIND": "cognito", "IDP__X__ISSUER": "https://idp.example.com", "IDP__X__CLIENT_ID": "x"}
WHO = text("select current_setting('app.tenant_id', true)")
Messages = list[str]


@asynccontextmanager
async def one_connection(database: Database, sent: Messages) -> AsyncIterator[AsyncEngine]:
    """A pool of one, and what its driver sends."""
    variables = {**DEVELOPMENT, **ISSUER, "DATABASE_URL": database.url(), "DATABASE_SECRET_ID": ""}
    variables |= {"DATABASE_POOL_SIZE": "1", "DATABASE_MAX_OVERFLOW": "0", "MAX_TENANT_REQUESTS": ""}
    settings = load({name: value for name, value in variables.items() if value})
    engine = create_engine(settings, Connector(settings, Secrets(Aws(settings)), None), Names("signalbox"))
    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, NamingConnection)
            driver.add_query_logger(lambda record: sent.append(record.query))
        sent.clear()
        yield engine
    finally:
        await engine.dispose()


def run(database: Database, work: Callable[[AsyncEngine, Messages], Awaitable[None]]) -> None:
    async def inside() -> None:
        sent: Messages = []
        async with one_connection(database, sent) as engine:
            await work(engine, sent)

    asyncio.run(inside())


def test_naming_the_tenant_costs_no_message_of_its_own(module_database: Database) -> None:
    async def work(engine: AsyncEngine, sent: Messages) -> None:
        made = sessions(engine)
        for tenant in (ACME, GLOBEX, ACME):
            sent.clear()
            with tenant_scope(tenant):
                async with made.begin() as session:
                    assert (await session.execute(WHO)).scalar() == tenant
            begin, end = sent  # beside the statement, which asyncpg prepares and does not log
            assert begin.startswith("BEGIN; select set_config(")
            assert end == "COMMIT;"
        async with engine.begin() as connection:
            assert not (await connection.execute(WHO)).scalar(), "what belongs to no tenant is done for none"

    run(module_database, work)


def test_a_session_that_goes_on_after_a_commit_goes_on_for_its_tenant(module_database: Database) -> None:
    async def work(engine: AsyncEngine, _: Messages) -> None:
        with tenant_scope(ACME):
            async with sessions(engine)() as session:
                for end in (session.commit, session.rollback, session.commit):
                    assert (await session.execute(WHO)).scalar() == ACME
                    await end()

    run(module_database, work)


@pytest.mark.parametrize(
    "options",
    [
        {"isolation_level": "SERIALIZABLE"},
        {"isolation_level": "AUTOCOMMIT"},
        {"postgresql_readonly": True},
        {"postgresql_deferrable": True},
    ],
    ids=str,
)
def test_what_a_transaction_is_cannot_be_chosen_once_it_has_begun_for_a_tenant(
    module_database: Database, options: dict[str, Any]
) -> None:
    async def work(engine: AsyncEngine, _: Messages) -> None:
        with tenant_scope(ACME):
            made = sessions(engine)
            for _again in range(2):
                with pytest.raises(InvalidRequestError, match="has begun"):
                    async with made.begin() as session:
                        await session.connection(execution_options=options)
                async with made.begin() as session:
                    assert (await session.execute(WHO)).scalar() == ACME
                async with engine.connect() as connection:  # which may choose it, and is the tenant's next
                    await (await connection.execution_options(**options)).execute(WHO)

    run(module_database, work)


@pytest.mark.parametrize("wrong", ["begun before", "another statement", "no tenant"])
def test_a_transaction_that_could_be_of_another_tenant_ends_its_connection(
    module_database: Database, wrong: str
) -> None:
    async def work(engine: AsyncEngine, _: Messages) -> None:
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if wrong == "begun before":
                await connection.execute(WHO)
            tenant: Any = "x'; reset role; --" if wrong == "no tenant" else ACME
            if wrong == "another statement":
                driver._tenant = ACME
            attempt = (
                driver.execute("select 1")
                if driver._tenant
                else connection.run_sync(lambda sync: begin(sync.connection, tenant))
            )
            with pytest.raises((RuntimeError, ValueError)):
                await attempt
            assert driver.is_closed()
            await connection.invalidate()

    run(module_database, work)


def test_a_begin_that_is_given_up_leaves_no_connection_in_half_a_transaction(module_database: Database) -> None:
    async def work() -> None:
        connection: Any = await asyncpg.connect(
            module_database.url().partition("?")[0], connection_class=NamingConnection
        )
        connection._tenant = ACME
        task = asyncio.create_task(connection.execute("BEGIN;"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert connection.is_closed()

    asyncio.run(work())
