"""What may be used once, on any replica: the database remembers it, as a digest that tells nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.tenantless import tenantless
from service.errors import ApiError, Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a sign-in uses up.

    Attributes:
        kind: What it is, such as ``login``: values of different kinds do not meet.
        value: For SAML, connection and assertion id together. Only a digest is kept.
        seconds: How long to remember it, up to a day.
        again: What the second use is answered.
    """

    kind: str
    value: str
    seconds: int
    again: Error


class OneTime:
    """The database's memory of what may be used once, on any replica.

    Args:
        engine: The shared pool.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def first_use(self, kind: str, value: str, seconds: int) -> bool:
        """Whether a value has not been seen before; it is from now on.

        Args:
            kind: What it is, such as ``login``: values of different kinds do not meet.
            value: For SAML, connection and assertion id together. Only a digest is kept.
            seconds: How long to remember it, up to a day.

        Raises:
            ApiError: SYS_002; a use that cannot be remembered must not happen.
        """
        async with tenantless(self._engine) as connection:
            return await _first(connection, kind, value, seconds)

    async def keep(self, code: str, sealed: bytes, seconds: int, uses: Sequence[Use] = ()) -> None:
        """Store something under a code's digest, and use up what it stands for: both or neither."""
        async with tenantless(self._engine) as connection:
            await _use(connection, uses)
            await connection.execute(
                text("select sign_in.keep(:digest, :sealed, :seconds)"),
                {"digest": _digest("code", code), "sealed": sealed, "seconds": seconds},
            )

    async def use(self, uses: Sequence[Use]) -> None:
        """Use up all of it or, where one was used before, nothing.

        Raises:
            ApiError: The row of the first that was; SYS_002, as ``first_use``.
        """
        if uses:
            async with tenantless(self._engine) as connection:
                await _use(connection, uses)

    async def redeem(self, code: str) -> bytes | None:
        """Take out what is stored under a code: one caller gets it, however many ask at once."""
        async with tenantless(self._engine) as connection:
            found = await connection.execute(text("select sign_in.redeem(:digest)"), {"digest": _digest("code", code)})
            value: bytes | None = found.scalar_one_or_none()
            return value


async def _first(connection: AsyncConnection, kind: str, value: str, seconds: int) -> bool:
    first = await connection.execute(
        text("select sign_in.use_once(:digest, :seconds)"), {"digest": _digest(kind, value), "seconds": seconds}
    )
    return bool(first.scalar_one())


async def _use(connection: AsyncConnection, uses: Sequence[Use]) -> None:
    for use in uses:
        if not await _first(connection, use.kind, use.value, use.seconds):
            raise ApiError(use.again, "used")


def _digest(kind: str, value: str) -> bytes:
    return hashlib.sha256(f"{kind}:{value}".encode()).digest()
