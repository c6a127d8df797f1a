"""One runner at a time: a lock that outlives transactions, on the very connection that migrates.

A migration may end its own transaction (an index built concurrently, a backfill in batches), so the lock belongs to the
session. Whoever waits asks again and again and holds no snapshot in between: ``CREATE INDEX CONCURRENTLY`` waits for
every older snapshot, and would wait for those who wait for it. A holder that dies loses the lock with its connection,
and what it left running on the server is ended there too, so that the next never works beside it.
"""

from __future__ import annotations

import asyncio
import time

import asyncpg

from service.database.engine import Connector
from service.log import get_logger
from service.naming import Names

_LOCK = 0x7369676E616C6278  # any constant of this project: "signalbx" in ASCII, as a positive bigint
_AGAIN = 0.2  # seconds between two tries
_ASK_TIMEOUT = 10.0  # seconds for one try: a server that hangs keeps no runner for ever
PATIENCE = 3600  # seconds to wait for the turn; `-x patience=SECONDS` names others

_SESSION = {
    # A migration takes as long as it takes; what bounds it is in service/database/online.py.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # How soon the server notices that this process is gone: in the midst of a statement, and when the network is.
    "client_connection_check_interval": "1000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_HOLDER = """
    select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1
    and (classid::bigint << 32 | objid::bigint) = $1
    and database = (select oid from pg_database where datname = current_database())
    """

log = get_logger(__name__)


async def connect(connector: Connector, names: Names, patience: int = PATIENCE) -> asyncpg.Connection:
    """A connection that holds the lock for as long as it lives.

    Args:
        connector: Of the migrating login.
        names: Under which the server shows the connection.
        patience: Seconds to wait for the turn.

    Raises:
        SystemExit: It did not come; the text names who holds the lock, and what to do.
    """
    settings = _SESSION | {"application_name": f"{names.product}-migrations"}
    connection = await connector.connect(server_settings=settings)
    try:
        deadline = time.monotonic() + patience
        told = False
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK, timeout=_ASK_TIMEOUT):
            if time.monotonic() >= deadline:
                raise SystemExit(_refusal(await connection.fetchval(_HOLDER, _LOCK, timeout=_ASK_TIMEOUT), patience))
            if not told:
                log.info("migrations_wait")
                told = True
            await asyncio.sleep(_AGAIN)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _refusal(holder: int | None, patience: int) -> str:
    return (
        f"Nothing was migrated: another runner (process {holder or 'unknown'} of the database) has been at it for more "
        f"than {patience} seconds.\nWait until it is done and try again. If it hangs, see what it does in "
        f"pg_stat_activity, and end it there: select pg_terminate_backend({holder or 'PID'})"
    )
