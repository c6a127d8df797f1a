"""Work that belongs to no tenant, such as redeeming a login code: the database then shows no tenant's rows at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.session import database_errors


@asynccontextmanager
async def tenantless(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction without a tenant; committed at the end of the block, rolled back when it raises.

    Every tenant table is empty in it (``app.current_tenant()`` is NULL, which no policy lets through).

    Args:
        engine: The shared pool.

    Raises:
        ApiError: SYS_002 when the database is away; SYS_010 when it did not answer the commit.
    """
    with database_errors():
        async with engine.begin() as connection:
            yield connection
