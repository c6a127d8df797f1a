"""Sessions that ended before their tokens did: remembered in the database, known to every replica within seconds.

A request costs no query: the list, which holds only what was ended within the life of a token, is read in the
background. While the database is away the last list counts; what a token could reach is away then, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.tenantless import tenantless
from service.errors import ApiError
from service.log import get_logger

READ_EVERY = 5.0  # seconds until another replica's logout counts here
_MOST = 100_000  # entries, some megabytes

log = get_logger(__name__)


class EndedSessions:
    """What was ended, and when.

    Args:
        engine: The shared pool.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._ended: Mapping[bytes, float] = {}

    async def end(self, *names: str, seconds: float) -> None:
        """End sessions.

        Args:
            names: As in ``is_ended``.
            seconds: How long a token of theirs could still live.

        Raises:
            ApiError: SYS_002 when it cannot be remembered.
        """
        async with tenantless(self._engine) as connection:
            for name in names:
                await connection.execute(
                    text("select sign_in.end_session(:digest, :seconds)"),
                    {"digest": _digest(name), "seconds": math.ceil(seconds)},
                )
        await self.read()

    def is_ended(self, name: str, begun_at: float) -> bool:
        """Whether a session was ended after it began.

        Args:
            name: A session, or a user; whatever was given to ``end``.
            begun_at: When the token was issued, in seconds since 1970.
        """
        return bool(self._ended) and self._ended.get(_digest(name), -math.inf) >= begun_at

    async def read(self) -> None:
        """Read the list."""
        async with tenantless(self._engine) as connection:
            rows = await connection.execute(text("select * from sign_in.ended_sessions(:most)"), {"most": _MOST})
            # Tokens tell whole seconds: one issued within the second of the logout was issued before it.
            self._ended = {bytes(row.digest): math.floor(row.ended_at.timestamp()) for row in rows}

    async def keep_fresh(self) -> None:
        """Read it now and again; runs until cancelled."""
        while True:
            try:
                await self.read()
            except ApiError as failure:
                log.warning("ended_sessions_unknown", code=failure.error.code)
            await asyncio.sleep(READ_EVERY)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
