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
from sqlalchemy import event
from sqlalchemy.engine import Connection, Result
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session
from starlette.requests import Request

from service import errors
from service.database.failures import OutcomeUnknown, Unreachable, meaning, outrun, sqlstate
from service.database.tenant import begin
from service.errors import ApiError, raises
from service.log import get_logger
from service.tenancy import current_tenant

log = get_logger(__name__)

_STATEMENTS = "statements"  # how many have run since the tenant was named
_READING = frozenset({"GET", "HEAD"})


class _TenantSession(Session):
    """A session in which every transaction begins by naming its tenant."""


@event.listens_for(_TenantSession, "do_orm_execute")
def _again(state: ORMExecuteState) -> Result[Any] | None:
    """Do a statement again whose plan the schema has outrun: a migration under way costs no request.

    The server ends the transaction at that. Where the statement was the first of it, nothing is lost with it.
    """
    try:
        return state.invoke_statement()
    except DBAPIError as failure:
        if not outrun(failure) or not state.session.is_active:
            raise
        connection = state.session.connection()
        if connection.info[_STATEMENTS] != 1:
            raise
        connection.connection.rollback()  # of the driver: the session's own transaction goes on
        _name_tenant(connection)
        return state.invoke_statement()


def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions that see the rows of the current tenant alone.

    Args:
        engine: The shared pool.
    """
    named = engine.execution_options()  # with the pool and the events of the shared one, and events of its own
    event.listen(named.sync_engine, "engine_connect", _begin)
    event.listen(named.sync_engine, "before_cursor_execute", _count)
    return async_sessionmaker(named, sync_session_class=_TenantSession, expire_on_commit=False)


def _begin(connection: Connection) -> None:
    """Begin the transaction that the session takes over: by naming the tenant, before any statement of the handler."""
    try:
        try:
            _name_tenant(connection)
        except (DBAPIError, Unreachable) as failure:
            if not connection.invalidated or isinstance(failure.__cause__, TimeoutError):
                raise
            connection.rollback()  # it was cut after the pool had tested it; the pool lends another
            _ = connection.connection  # asked for here: within a statement, a failure of the pool's counts as its own
            _name_tenant(connection)
    except BaseException:
        connection.close()  # its maker never gets to hold it
        raise


def _name_tenant(connection: Connection) -> None:
    begin(connection, current_tenant())
    connection.info[_STATEMENTS] = 0


def _count(connection: Connection, *_: object) -> None:
    connection.info[_STATEMENTS] = connection.info.get(_STATEMENTS, 0) + 1


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
