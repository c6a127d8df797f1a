"""Whether the database answers, asked on a connection of its own so that a busy pool does not make it look down."""

from __future__ import annotations

import asyncio

import asyncpg

from service.database.engine import Connector, RoamingLoginError
from service.database.migrations import Expected, applied, expected
from service.log import get_logger

BUDGET = 0.07  # seconds a caller waits; readiness promises an answer in under 0.1
PATIENCE = 1.0  # seconds an attempt may take behind the caller's back before it is given up

log = get_logger(__name__)


class DatabaseProbe:
    """Asks the database for its revision.

    An attempt outlives the caller that began it: a connection over a slow tunnel may take longer than the budget, and
    the next caller then finds it open.

    Args:
        connector: Opens the connection.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: asyncpg.Connection | None = None
        self._attempt: asyncio.Task[str | None] | None = None
        self._expected: Expected | None = None

    async def prepare(self) -> None:
        """Read which revisions this code expects: at start, because it would cost a first caller the budget."""
        self._expected = await asyncio.to_thread(expected)

    async def check(self) -> tuple[str, str]:
        """The state of the database and of its schema, after 0.07 seconds at most.

        Returns:
            Two words: ``ok`` or the reason why not, for ``database`` and for ``migrations``.
        """
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._attempt}, timeout=BUDGET)
        if not done:
            return "timeout", "unknown"
        reason = self._attempt.result()
        if reason in (None, "behind"):
            return "ok", reason or "ok"
        return reason or "unavailable", "unknown"

    async def close(self) -> None:
        """Give the connection back."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._connection is not None:
            self._connection.terminate()

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connector.connect(timeout=PATIENCE)
                found = await applied(self._connection)
        except (
            Exception
        ) as failure:  # drivers, resolvers and TLS throw what they like; readiness must answer all the same
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            log.warning("database_probe_failed", exc_info=failure)
            return "login" if isinstance(failure, RoamingLoginError) else "unavailable"
        satisfied = self._expected is not None and self._expected.satisfied_by(found)
        return None if satisfied else "behind"
