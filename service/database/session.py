"""One transaction per request: the tenant is set first, and the commit comes before the response.

What is safe to do again is done again: to open a connection, to name the tenant on another one when the first is lost,
and the first statement of a transaction when the schema has outrun its plan. Nothing is once a statement of the handler
has run. A caller may repeat a whole request that was answered with SYS_002; one whose commit got no answer is answered
with SYS_010, for it may have been applied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.pool import PoolProxiedConnection
from starlette.requests import Request

from service import errors
from service.database.failures import OutcomeUnknown, Unreachable, meaning, sqlstate
from service.database.tenant import begin
from service.errors import ApiError, raises
from service.log import get_logger
from service.tenancy import current_tenant

log = get_logger(__name__)

_READING = frozenset({"GET", "HEAD"})


class _TenantEngine(OptionEngine):
    """Lends connections on which a transaction was begun for the current tenant."""

    def raw_connection(self) -> PoolProxiedConnection:
        """Lend a connection; another one if the first was cut after the pool had tested it.

        Raises:
            TenantMissingError: None is set.
            Unreachable: None could be had, or none answered: nothing was asked for yet that could be wrong.
        """
        try:
            return self._begun()
        except (OSError, self.dialect.loaded_dbapi.Error) as failure:
            if isinstance(failure, TimeoutError):
                raise Unreachable from failure
        try:
            return self._begun()
        except (OSError, self.dialect.loaded_dbapi.Error) as failure:
            raise Unreachable from failure

    def _begun(self) -> PoolProxiedConnection:
        tenant, connection = current_tenant(), super().raw_connection()
        try:
            begin(connection, tenant)
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection


class _Session(AsyncSession):
    async def __aexit__(self, type_: Any, value: Any, traceback: Any) -> None:
        """Close. SQLAlchemy does it in a task of its own, within the one by which ``begin`` keeps it from being
        cancelled; a close that is cancelled outside of that closes its connection."""
        await self.close()


def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions that see the rows of the current tenant alone.

    Args:
        engine: The shared pool.
    """
    lending = AsyncEngine(_TenantEngine(engine.sync_engine, {}))
    return async_sessionmaker(lending, class_=_Session, expire_on_commit=False)


@raises(errors.DATABASE_DOWN, errors.OUTCOME_UNKNOWN, errors.SECRETS_DOWN)
async def tenant_session(request: Request) -> AsyncIterator[AsyncSession]:
    """The session of a request; as a dependency: ``TenantSession``.

    Raises:
        TenantMissingError: The route is public: it has no tenant, so it has no session.
        ApiError: SYS_002 when the database is away; SYS_010 when it did not answer the
            commit; REQ_008 and REQ_003 when it refuses what the caller sent.
    """
    current_tenant()
    factory: async_sessionmaker[AsyncSession] = request.app.state.running.sessions
    with database_errors(request.method):
        async with factory.begin() as session:
            yield session


# scope="function" ends the dependency, and with it the transaction, before the response is sent: a client that reads
# 200 can rely on the commit.
TenantSession = Annotated[AsyncSession, Depends(tenant_session, scope="function")]


@contextmanager
def database_errors(method: str | None = None) -> Iterator[None]:
    """Turn what a database can throw into rows of the registry; SQL and values stay behind.

    An ``OSError`` or a time-out of the block itself passes: only the database layer's failures are turned.

    Args:
        method: Of the request; one that only reads may be repeated whatever became of its commit.

    Raises:
        ApiError: For an outage, a conflict, or a value the database cannot hold; SYS_010 for a commit without answer.
    """
    try:
        yield
    except (
        Unreachable,
        OutcomeUnknown,
        PendingRollbackError,
        asyncpg.InterfaceError,
        asyncpg.PostgresError,
        DBAPIError,
    ) as failure:
        row = meaning(failure)
        if row is errors.OUTCOME_UNKNOWN and method in _READING:
            row = errors.DATABASE_DOWN
        level: Any = log.error if row.status >= 500 else log.info
        event_name = "database_outcome_unknown" if row is errors.OUTCOME_UNKNOWN else "database_error"
        level(event_name, code=row.code, sqlstate=sqlstate(failure), exc_info=failure)
        raise ApiError(row, "database") from failure
