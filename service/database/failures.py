"""What a failure of the database or its driver means, and which connections must leave the pool after it.

What is known to be the caller's is the caller's, what is known to be ours is ours, and all else is an outage. Failures
are judged where they leave the driver, so that an ``OSError`` that a handler itself causes stays the handler's.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from service import errors
from service.errors import Error

# SQLSTATE classes and codes (PostgreSQL documentation, appendix A); the longest that fits decides.
_MEANING: dict[str, Error] = {
    "22": errors.INVALID_REQUEST,  # a value that its type cannot hold
    "54000": errors.INVALID_REQUEST,  # a value that an index cannot hold
    "23505": errors.CONFLICT,  # unique
    "23503": errors.CONFLICT,  # foreign key
    "23P01": errors.CONFLICT,  # exclusion
    # What only our own statements and transactions can cause.
    **dict.fromkeys(
        ("0A", "0B", "21", "23", "24", "25", "2B", "2D", "2F", "34", "38", "39", "3B", "3F", "42", "44", "54", "P0"),
        errors.INTERNAL,
    ),
    # Of these classes, what is not our doing.
    "25006": errors.DATABASE_DOWN,  # the server is read-only: a primary that was demoted
    "25P03": errors.DATABASE_DOWN,  # idle in a transaction for too long
}
# Such a connection cannot serve anybody again: a demoted or ended server, another protocol state than we believe.
_USELESS = ("08", "25006", "25P03", "26", "3D", "57P", "XX")
# The server answered COMMIT with one of these: it, or what it waited for, may have committed all the same.
_NO_WORD = ("08", "57P", "XX")
_COMMITTING = "committing"
_TRIES = 7  # so few that an outage is told, and its end, within some tries of readiness, and one failure is none


class Unreachable(Exception):  # noqa: N818  says what the database is
    """No connection could be had, or the one in use gave no answer."""


class OutcomeUnknown(Exception):  # noqa: N818  says what it is
    """The transaction was to be committed, and no answer says whether it was."""


class Pool(AsyncAdaptedQueuePool):
    """Connections; whatever keeps it from lending one is one kind of failure.

    Attributes:
        lent: Whether each of the last tries to get one did; readiness asks for it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lent: deque[bool] = deque(maxlen=_TRIES)

    def recreate(self) -> Pool:
        """Another one of the same settings, as SQLAlchemy makes it when all connections are to go."""
        made = super().recreate()
        assert isinstance(made, Pool)
        made.lent = self.lent
        return made

    @property
    def failing(self) -> bool:
        """Whether most of the last tries to get a connection failed."""
        return self.lent.count(False) > len(self.lent) / 2

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection.

        Raises:
            Unreachable: It could not be opened, or every one that was tried is closed.
            sqlalchemy.exc.TimeoutError: All of them were in use for too long.
        """
        try:
            connection = self._lend()
        except Exception:
            self.lent.append(False)
            raise
        self.lent.append(True)
        return connection

    def _lend(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError, InvalidRequestError) as failure:
            raise Unreachable from failure
        except self._dialect.loaded_dbapi.Error as failure:  # type: ignore[attr-defined]
            raise Unreachable from failure


def watch(engine: AsyncEngine) -> None:
    """Judge what the driver raises on connections of a pool.

    Args:
        engine: The pool.
    """
    event.listen(engine.sync_engine, "begin", _began)
    event.listen(engine.sync_engine, "commit", _commits)
    event.listen(engine.sync_engine, "handle_error", _judge, retval=True)


def meaning(failure: Exception) -> Error:
    """The row of the registry that a failure of the database stands for.

    Args:
        failure: What the database layer raised.
    """
    if isinstance(failure, OutcomeUnknown):
        return errors.OUTCOME_UNKNOWN
    if not isinstance(failure, DBAPIError):
        return errors.DATABASE_DOWN
    cause = getattr(failure.orig, "__cause__", None)
    if isinstance(cause, asyncpg.DataError):  # the driver could not even encode the value
        return errors.INVALID_REQUEST
    if outrun(failure):
        return errors.DATABASE_DOWN
    state = sqlstate(failure)
    return next((_MEANING[state[:end]] for end in (5, 2) if state[:end] in _MEANING), errors.DATABASE_DOWN)


def outrun(failure: DBAPIError) -> bool:
    """Whether the schema changed under a plan that the driver had kept; it makes another the next time.

    Args:
        failure: Of a statement.
    """
    return isinstance(getattr(failure.orig, "__cause__", None), asyncpg.InvalidCachedStatementError)


def sqlstate(failure: BaseException | None) -> str:
    """The SQLSTATE of a failure; "" where it has none.

    Args:
        failure: Of the driver, or wrapped by SQLAlchemy.
    """
    origin = failure.orig if isinstance(failure, DBAPIError) else failure
    return str(getattr(origin, "sqlstate", None) or "")


def _began(connection: Connection) -> None:
    connection.info.pop(_COMMITTING, None)


def _commits(connection: Connection) -> None:
    connection.info[_COMMITTING] = True


def _judge(context: ExceptionContext) -> Exception | None:
    failure, connection = context.original_exception, context.connection
    silent = isinstance(failure, OSError)  # time-outs are such, too
    state = sqlstate(failure)
    committing = connection is not None and not connection.invalidated and connection.info.pop(_COMMITTING, False)
    if silent or state.startswith(_USELESS):
        context.is_disconnect = True
        # One answer that is late says nothing of the other connections; a server that was demoted does.
        context.invalidate_pool_on_disconnect = state == "25006"
    if committing and (silent or state.startswith(_NO_WORD)):
        return OutcomeUnknown()
    return Unreachable() if silent else None
