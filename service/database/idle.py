"""Connections that were idle are asked whether they still answer, and no others: asking takes three round trips.

One that was cut in the meantime is known to be closed without asking; one that is cut unseen within the second fails at
the message that begins its transaction, which is repeated on another connection (``service.database.session``).
"""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

IDLE: Final = 1.0  # seconds in the pool after which a connection is asked
_SINCE: Final = "idle_since"


def watch(engine: AsyncEngine) -> None:
    """Try the connections of a pool that have been idle.

    Args:
        engine: The pool; the driver is asyncpg.
    """
    event.listen(engine.sync_engine.pool, "checkin", _returned)
    event.listen(engine.sync_engine.pool, "checkout", _lent)


def _returned(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    if connection is not None:
        entry.info[_SINCE] = time.monotonic()


def _lent(connection: Any, entry: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
    since = entry.info.pop(_SINCE, None)
    if since is None:  # it was opened for this
        return
    # The pool opens another one in its place, and trusts none that is as old.
    if entry.driver_connection is None or entry.driver_connection.is_closed():
        raise InvalidatePoolError
    if time.monotonic() - since >= IDLE:
        try:
            connection.ping()
        except Exception as failure:
            raise InvalidatePoolError from failure
