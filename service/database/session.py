"""One transaction per request: the tenant is set first, and the commit comes before the response.

Nothing is retried once a statement has run: only opening the connection is (the pool tests a connection before it
lends it out, and reads a rotated password again). A caller may repeat a whole request that was answered with 503.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends
from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction
from starlette.requests import Request

from service import errors
from service.database.engine import RoamingLoginError
from service.errors import ApiError, Error, raises
from service.log import get_logger
from service.tenancy import current_tenant

log = get_logger(__name__)

_SET_TENANT = text("select set_config('app.tenant_id', :tenant, true)")
# SQLSTATE classes and codes (PostgreSQL documentation, appendix A) that mean "not now" rather than "not so".
_PASSING = ("08", "25P03", "53", "57", "40", "55P03", "28")  # 25P03: idle in a transaction for too long


class _TenantSession(Session):
    """A session in which every transaction begins by naming its tenant."""


@event.listens_for(_TenantSession, "after_begin")
def _name_tenant(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    # true = for this transaction only: a pooled connection must not carry a tenant to its next user.
    connection.execute(_SET_TENANT, {"tenant": current_tenant()})


def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions that see the rows of the current tenant alone.

    Args:
        engine: The shared pool.
    """
    return async_sessionmaker(engine, sync_session_class=_TenantSession, expire_on_commit=False)


@raises(errors.DATABASE_DOWN, errors.SECRETS_DOWN)
async def tenant_session(request: Request) -> AsyncIterator[AsyncSession]:
    """The session of a request; as a dependency: ``TenantSession``.

    Raises:
        TenantMissingError: The route is public: it has no tenant, so it has no session.
        ApiError: SYS_002 when the database is away; REQ_008 and REQ_003 when it refuses what the caller sent.
    """
    current_tenant()
    factory: async_sessionmaker[AsyncSession] = request.app.state.running.sessions
    with database_errors():
        async with factory.begin() as session:
            yield session


# scope="function" ends the dependency, and with it the transaction, before the response is sent: a client that reads
# 200 can rely on the commit.
TenantSession = Annotated[AsyncSession, Depends(tenant_session, scope="function")]


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what a database can throw into rows of the registry; SQL and values stay behind.

    Raises:
        ApiError: For an outage, a conflict, or a value the database cannot hold.
    """
    try:
        yield
    except (
        RoamingLoginError,
        PoolTimeout,
        OSError,
        asyncpg.InterfaceError,
        asyncpg.PostgresError,
    ) as failure:
        # OSError covers refused connections, unknown hosts and, since Python 3.11, time-outs; while a connection is
        # being opened these and asyncpg's own errors come unwrapped.
        raise _logged(errors.DATABASE_DOWN, failure) from failure
    except DBAPIError as failure:
        raise _logged(_row_for(failure), failure) from failure


def _row_for(failure: DBAPIError) -> Error:
    state = _sqlstate(failure)
    if failure.connection_invalidated or state.startswith(_PASSING):
        return errors.DATABASE_DOWN
    if state in ("23505", "23503", "23P01"):  # unique, foreign key, exclusion
        return errors.CONFLICT
    if state.startswith("22") or isinstance(getattr(failure.orig, "__cause__", None), asyncpg.DataError):
        return errors.INVALID_REQUEST
    return errors.INTERNAL


def _logged(row: Error, failure: Exception) -> ApiError:
    level: Any = log.error if row.status >= 500 else log.info
    level("database_error", code=row.code, sqlstate=_sqlstate(failure), exc_info=failure)
    return ApiError(row, "database")


def _sqlstate(failure: Exception) -> str:
    origin = failure.orig if isinstance(failure, DBAPIError) else failure
    return str(getattr(origin, "sqlstate", None) or "")
