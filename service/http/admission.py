"""How much of a replica one tenant uses: less than the pool of database connections, so that neither its flood nor its
slow queries keep another tenant waiting. What the whole replica takes on is limited in ``service.http.protocol``."""

from __future__ import annotations

import asyncio

from service import errors
from service.errors import ApiError
from service.tenancy import TenantId

PATIENCE = 2.0  # seconds that a request waits for its tenant's share


class _Share(asyncio.Semaphore):
    users = 0  # requests that run or wait


class Shares:
    """How much of the replica each tenant uses.

    Args:
        running: Requests of one tenant that are served at once.
        waiting: Requests of one tenant that may wait for that.
    """

    def __init__(self, *, running: int, waiting: int) -> None:
        self._running, self._most = running, running + waiting
        self._shares: dict[TenantId, _Share] = {}

    async def take(self, tenant: TenantId) -> None:
        """Begin a request; the caller gives the share back when it ends.

        Args:
            tenant: The caller's.

        Raises:
            ApiError: SYS_011 when too many of the tenant's requests wait, or this one has waited too long.
        """
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = _Share(self._running)
        if share.users >= self._most:
            raise ApiError(errors.OVERLOADED, "tenant")
        share.users += 1
        try:
            if share.locked():
                async with asyncio.timeout(PATIENCE):
                    await share.acquire()
            else:
                await share.acquire()
        except BaseException as failure:
            self._left(tenant, share)
            if isinstance(failure, TimeoutError):
                raise ApiError(errors.OVERLOADED, "tenant") from None
            raise

    def give_back(self, tenant: TenantId) -> None:
        """End a request.

        Args:
            tenant: The caller's.
        """
        share = self._shares[tenant]
        share.release()
        self._left(tenant, share)

    def _left(self, tenant: TenantId, share: _Share) -> None:
        share.users -= 1
        if not share.users:
            del self._shares[tenant]
