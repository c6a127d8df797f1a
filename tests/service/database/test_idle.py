"""A connection is asked whether it answers where it was idle, and one that was cut is not lent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database import idle
from service.database.engine import Connector, create_engine
from service.naming import Names
from service.settings import load
from tests.support.api.environments import DEVELOPMENT
from tests.support.database.databases import Database

pytestmark = pytest.mark.anyio


async def driver_of(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return (await connection.get_raw_connection()).driver_connection


async def test_a_connection_is_asked_where_it_was_idle_and_a_closed_one_is_not_lent(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = {"KIND": "cognito", "ISSUER": "https://idp.example.com", "CLIENT_ID": "x"}
    variables = {"DATABASE_URL": database.url(), "DATABASE_SECRET_ID": "", "DATABASE_POOL_SIZE": "1"}
    settings = load({**DEVELOPMENT, **variables, **{f"IDP__X__{name}": value for name, value in provider.items()}})
    engine = create_engine(settings, Connector(settings, Secrets(Aws(settings)), None), Names("signalbox"))
    try:
        first = await driver_of(engine)
        for seconds in (3600.0, 0.0):
            sent: list[str] = []
            first.add_query_logger(lambda record, sent=sent: sent.append(record.query))
            monkeypatch.setattr(idle, "IDLE", seconds)
            assert await driver_of(engine) is first
            await asyncio.sleep(0)  # the logger is called behind the query
            assert bool(sent) == (seconds == 0.0), sent
        monkeypatch.setattr(idle, "IDLE", 3600.0)
        ended = asyncio.Event()
        first.add_termination_listener(lambda _: ended.set())
        await asyncio.to_thread(database.as_superuser, f"select pg_terminate_backend({first.get_server_pid()})")
        await ended.wait()
        assert await driver_of(engine) is not first
    finally:
        await engine.dispose()
