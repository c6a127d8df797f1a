"""How much is taken on at once: by the replica, and of that by one tenant.

A replica that takes on everything serves nothing in time, and one tenant's flood or slow queries must not keep another
waiting. So a tenant has a share that is smaller than the pool of database connections (``Shares``, at the gate). And as
soon as a replica is busy, each request is counted for its tenant where it arrives (``Admission``), because a flood that
had to be authenticated before it is refused would take everybody's time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from service import errors
from service.errors import ApiError
from service.tenancy import TenantId

_REMEMBERED = 4096  # credentials
PATIENCE = 2.0  # seconds that a request waits for its tenant's share


class _Ticket:
    __slots__ = ("whose",)

    def __init__(self, whose: str) -> None:
        self.whose = whose


class Admission:
    """What may be begun, judged by the head of a request.

    Args:
        limit: Requests that are served at once.
        most: Requests of one tenant that run or wait.
        vital: Paths that are served however many there are.
        credentials: Names of the headers that credentials come in.
    """

    def __init__(self, *, limit: int, most: int, vital: Iterable[str], credentials: Iterable[str]) -> None:
        self._limit, self._most, self._busy = limit, most, limit // 4
        self._vital = frozenset(path.encode("ascii") for path in vital)
        self._names = frozenset(name.encode("ascii") for name in credentials)
        self._tenants: dict[bytes, TenantId] = {}
        self._under_way = Counter[str]()  # by tenant; "" for callers whom we do not know yet
        self._unknown: dict[bytes, list[_Ticket]] = {}

    def judge(self, under_way: int, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bool, bytes | None]:
        """Whether a request may be begun, and, if so while the replica is busy, its credential.

        Args:
            under_way: Requests that are.
            target: Of this one.
            headers: Names in lower case.
        """
        if under_way < self._busy or target.partition(b"?")[0] in self._vital:
            return True, None
        if under_way >= self._limit:  # the commonest by far while there is much too much to do
            return False, None
        credential = next((value for name, value in headers if name in self._names), b"")
        tenant = self._tenants.get(credential)
        if tenant is not None:
            fair = self._under_way[tenant] < self._most
        else:  # no number of invented credentials takes more than half, and no single one more than a tenant
            fair = self._under_way[""] < self._limit // 2 and len(self._unknown.get(credential, ())) < self._most
        return (True, credential) if fair else (False, None)

    def begin(self, credential: bytes) -> Callable[[], None]:
        """Count a request; what is returned is called when it ends.

        Args:
            credential: As ``judge`` found it.
        """
        ticket = _Ticket(self._tenants.get(credential, ""))
        self._under_way[ticket.whose] += 1
        if not ticket.whose:
            self._unknown.setdefault(credential, []).append(ticket)

        def end() -> None:
            self._less(ticket.whose)
            if not ticket.whose:
                tickets = self._unknown[credential]
                tickets.remove(ticket)
                if not tickets:
                    del self._unknown[credential]

        return end

    def learn(self, credential: bytes, tenant: TenantId) -> None:
        """Whose a credential is, once it was verified. It is relied on for nothing but this.

        Args:
            credential: As ``judge`` found it.
            tenant: Of its caller.
        """
        if len(self._tenants) >= _REMEMBERED:
            self._tenants.clear()
        self._tenants[credential] = tenant
        for ticket in self._unknown.pop(credential, ()):
            self._less("")
            ticket.whose = tenant
            self._under_way[tenant] += 1

    def _less(self, whose: str) -> None:
        self._under_way[whose] -= 1
        if not self._under_way[whose]:
            del self._under_way[whose]


class Shares:
    """How much of the replica each tenant uses.

    Args:
        running: Requests of one tenant that are served at once.
        waiting: Requests of one tenant that may wait for that.
    """

    def __init__(self, *, running: int, waiting: int) -> None:
        self._running, self._most = running, running + waiting
        self._users: dict[TenantId, int] = {}  # requests that run or wait
        self._turns: dict[TenantId, asyncio.Semaphore] = {}  # of those that wait

    async def take(self, tenant: TenantId) -> None:
        """Begin a request; the caller gives the share back when it ends.

        Args:
            tenant: The caller's.

        Raises:
            ApiError: SYS_011 when too many of the tenant's requests wait, or this one has waited too long.
        """
        users = self._users.get(tenant, 0)
        if users >= self._most:
            raise ApiError(errors.OVERLOADED, "tenant")
        self._users[tenant] = users + 1
        if users < self._running:
            return
        turns = self._turns.setdefault(tenant, asyncio.Semaphore(0))
        try:
            async with asyncio.timeout(PATIENCE):
                await turns.acquire()
        except BaseException as failure:
            if not turns.locked():  # its turn had come, and is nobody else's
                await turns.acquire()
            self._left(tenant)
            if isinstance(failure, TimeoutError):
                raise ApiError(errors.OVERLOADED, "tenant") from None
            raise

    def give_back(self, tenant: TenantId) -> None:
        """End a request.

        Args:
            tenant: The caller's.
        """
        if self._users[tenant] > self._running:
            self._turns[tenant].release()
        self._left(tenant)

    def _left(self, tenant: TenantId) -> None:
        self._users[tenant] -= 1
        if not self._users[tenant]:
            del self._users[tenant]
            self._turns.pop(tenant, None)
