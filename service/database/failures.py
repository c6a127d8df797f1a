"""What a failure of the database or its driver means, and which connections must leave the pool after it.

What is known to be the caller's is the caller's, what is known to be ours is ours, and all else is an outage. Failures
are judged where they leave the driver, so that an ``OSError`` that a handler itself causes stays the handler's.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from service import errors
from service.errors import ApiError, Error

# SQLSTATE classes and codes (PostgreSQL documentation, appendix A); the longest that fits decides.
_MEANING: dict[str, Error] = {
    "22": errors.INVALID_REQUEST,  # a value that its type cannot hold; the driver says so of what it cannot encode
    "23514": errors.INVALID_REQUEST,  # a value that a check forbids, of a domain too
    "54000": errors.INVALID_REQUEST,  # a value that an index cannot hold
    "54001": errors.INVALID_REQUEST,  # a value that nests too deep
    "23001": errors.CONFLICT,  # foreign key, which forbids it at once; 23503 before PostgreSQL 18
    "23503": errors.CONFLICT,  # foreign key
    "23505": errors.CONFLICT,  # unique
    "23P01": errors.CONFLICT,  # exclusion
    # What only our own transactions, and our own statements and functions, can cause.
    **dict.fromkeys(("0B", "0L", "0P", "23", "24", "25", "2B", "2D", "34", "3B", "3F"), errors.INTERNAL),
    **dict.fromkeys(("03", "09", "0A", "0F", "0Z", "10", "20", "21", "27", "2F", "38", "39"), errors.INTERNAL),
    **dict.fromkeys(("42", "44", "54", "P0"), errors.INTERNAL),
    "2200H": errors.INTERNAL,  # a sequence that is used up
    # Of these classes, what is not our doing.
    "25006": errors.DATABASE_DOWN,  # the server is read-only: a primary that was demoted
    "25P03": errors.DATABASE_DOWN,  # idle in a transaction for too long
    "25P04": errors.DATABASE_DOWN,  # in a transaction for too long
    "42P05": errors.DATABASE_DOWN,  # a pooler in between lent us a server's connection that another had prepared on
}
# Such a connection cannot serve anybody again: a demoted or ended server, another protocol state than we believe.
_USELESS = ("08", "25006", "25P03", "25P04", "26", "3D", "42P05", "57P", "XX")
# The server answered COMMIT with one of these: it, or what it waited for, may have committed all the same.
_NO_WORD = ("08", "40003", "57P", "XX")
# A statement, or the commit, in a transaction that an earlier failure had ended: it says nothing of that one.
_ENDED_BEFORE = "25P02"
_LOST_CONNECTION = "8s2b"  # SQLAlchemy's name for what follows when a statement lost the connection
_OUTRUN = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_TRIES = 7  # so few that an outage is told, and its end, within some tries of readiness, and one failure is none


class Unreachable(Exception):  # noqa: N818  says what the database is
    """No connection could be had, or the one in use gave no answer, or its transaction was lost."""


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
            Unreachable: It could not be opened, every one that was tried is closed, or all of them were in use for too
                long.
            ApiError: SYS_004 when the password cannot be read.
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
        except ApiError:
            raise
        except Exception as failure:  # some of it wrapped; nothing was asked for yet that could be wrong
            raise Unreachable from failure


def watch(engine: AsyncEngine) -> None:
    """Judge what the driver raises on connections of a pool.

    Args:
        engine: The pool.
    """
    event.listen(engine.sync_engine, "handle_error", _judge, retval=True)


def meaning(failure: Exception) -> Error:
    """The row of the registry that a failure of the database stands for.

    Args:
        failure: What the database layer raised.
    """
    if isinstance(failure, OutcomeUnknown):
        return errors.OUTCOME_UNKNOWN
    if isinstance(failure, PendingRollbackError):  # a handler passed over a failure: a lost connection, or a flush
        return errors.DATABASE_DOWN if failure.code == _LOST_CONNECTION else errors.INTERNAL
    if outrun(failure):
        return errors.DATABASE_DOWN
    if isinstance(_driver_s(failure), asyncpg.InterfaceError) and not getattr(failure, "connection_invalidated", True):
        return errors.INTERNAL  # it does not do that, such as a statement of 40,000 values
    state = sqlstate(failure)
    return next((_MEANING[state[:end]] for end in (5, 2) if state[:end] in _MEANING), errors.DATABASE_DOWN)


def outrun(failure: BaseException | None) -> bool:
    """Whether the schema changed under a plan, or a type, that the driver had kept; it asks anew the next time.

    Args:
        failure: Of a statement: the driver's, or what SQLAlchemy made of it.
    """
    return isinstance(_driver_s(failure), _OUTRUN)


def _driver_s(failure: BaseException | None) -> BaseException | None:
    """What asyncpg raised, which SQLAlchemy wraps twice."""
    return failure.orig.__cause__ if isinstance(failure, DBAPIError) and failure.orig else failure


def sqlstate(failure: BaseException | None) -> str:
    """The SQLSTATE of a failure; "" where it has none.

    Args:
        failure: Of the driver, or wrapped by SQLAlchemy.
    """
    origin = failure.orig if isinstance(failure, DBAPIError) else failure
    return str(getattr(origin, "sqlstate", None) or "")


def _judge(context: ExceptionContext) -> Exception | None:
    failure, connection = context.original_exception, context.connection
    silent = isinstance(failure, OSError)  # time-outs are such, too
    state = sqlstate(failure)
    known: Any = None if connection is None or connection.invalidated else connection.connection.driver_connection
    if silent or state.startswith(_USELESS):
        context.is_disconnect = True
        # One answer that is late says nothing of the other connections; a server that was demoted does.
        context.invalidate_pool_on_disconnect = state == "25006"
    if known is not None and known.committing and (silent or state.startswith(_NO_WORD)):
        return OutcomeUnknown()
    if known is not None and state != _ENDED_BEFORE:
        told = context.sqlalchemy_exception
        known.lost = isinstance(told, DBAPIError) and meaning(told) is errors.DATABASE_DOWN
    after_an_outage = state == _ENDED_BEFORE and known is not None and known.lost
    return Unreachable() if silent or after_an_outage else None
