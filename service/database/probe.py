"""Whether the database answers, asked on a connection of its own, and whether requests get one of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import Connector
from service.database.failures import Pool, Unreachable
from service.database.migrations import Expected, applied, expected
from service.errors import ApiError
from service.readiness import PATIENCE, State

_BORROW_PATIENCE = PATIENCE * 0.75  # seconds; less than a look may take, so that its outcome is counted

# A primary that was demoted answers every ping and refuses every write.
_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool"


class ReadOnlyServerError(Exception):
    """The server takes no writes."""


class DatabaseProbe:
    """Asks the database for its revisions.

    Args:
        connector: Opens the connection.
        engine: The pool that requests share.
        lines: Folders of the features' migrations.
    """

    def __init__(self, connector: Connector, engine: AsyncEngine, lines: Sequence[Path] = ()) -> None:
        self._connector = connector
        self._engine = engine
        self._lines = tuple(lines)
        self._connection: asyncpg.Connection | None = None
        self._expected: Expected | None = None
        self._behind = True
        self._asked = asyncio.Event()

    async def prepare(self) -> None:
        """Read which revisions this code expects: at start, because it reads files."""
        self._expected = await asyncio.to_thread(expected, self._lines)

    async def database(self) -> State:
        """For readiness: whether it answers.

        Raises:
            ReadOnlyServerError: It takes no writes.
            Exception: What drivers, resolvers and TLS raise when it does not.
        """
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connector.connect(timeout=PATIENCE)
            if await self._connection.fetchval(_READ_ONLY):
                raise ReadOnlyServerError
            found = await applied(self._connection)
        except BaseException:  # a cancelled question leaves the connection in the middle of an answer, too
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            self._asked.set()
            raise
        self._behind = self._expected is None or not self._expected.satisfied_by(found)
        self._asked.set()
        return "ok"

    async def connections(self) -> State:
        """For readiness: whether most of those who lately asked the pool for a connection got one.

        It asks like a request, so that the end of an outage is seen while no request comes.
        """
        pool = self._engine.pool
        assert isinstance(pool, Pool)
        try:
            async with asyncio.timeout(_BORROW_PATIENCE), self._engine.connect():
                pass
        except TimeoutError:
            pool.lent.append(False)  # who waits for so long waits for one that hangs, or for all of them
        except (Unreachable, SQLAlchemyError, ApiError):  # the pool has counted it
            pass
        return "unavailable" if pool.failing else "ok"

    async def migrations(self) -> State:
        """For readiness: whether the schema was not behind this code when the database last answered."""
        await self._asked.wait()
        return "unavailable" if self._behind else "ok"

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.terminate()
