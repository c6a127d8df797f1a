"""HTTP clients for providers, made in a thread when they are first used: with their certificates and libraries they
were a tenth of a start, which no probe of liveness needs to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl

    import httpx


class Http(Protocol):
    """What is used of ``httpx.AsyncClient``."""

    def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], data: Mapping[str, str] | None
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a request; the answer's body is read in the block."""


class Clients:
    """All of one process, which share what TLS needs."""

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None
        self._making = asyncio.Lock()
        self._closed = False
        self._made: list[httpx.AsyncClient] = []
        self._using: set[asyncio.Task[object]] = set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """For as long as the running task uses one of them."""
        if (task := asyncio.current_task()) is None:  # never, in a coroutine
            raise RuntimeError("no task runs")
        self._using.add(task)
        try:
            yield
        finally:
            self._using.discard(task)

    async def make(self) -> httpx.AsyncClient:
        """One for all key sets, of which each has one fetch in flight, or for one provider's sign-in.

        Sign-ins at a provider that hangs then take no connection from anything else. No redirects, no cookies: every
        address that is asked is in the settings or in a document that was checked.
        """
        async with self._making:
            self._made.append(made := await asyncio.to_thread(self._make))
            if self._closed:  # a fetch that outlives the application opens nothing that nobody would close
                await made.aclose()
        return made

    async def close(self) -> None:
        """End what uses them, and close what was made and what will be: no connection outlives the application."""
        self._closed = True
        if users := self._using - {asyncio.current_task()}:
            for task in users:
                task.cancel()
            await asyncio.wait(users)
        async with self._making:
            for client in self._made:
                await client.aclose()

    def _make(self) -> httpx.AsyncClient:
        import httpx

        self._tls = self._tls or httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=5)
        return httpx.AsyncClient(verify=self._tls, timeout=5.0, follow_redirects=False, limits=limits)


class Client:
    """One client, made when it is first used.

    Args:
        clients: Makes it.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._made: asyncio.Task[httpx.AsyncClient] | None = None

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], data: Mapping[str, str] | None
    ) -> AsyncIterator[httpx.Response]:
        """See ``Http``."""
        with self._clients.used():
            if self._made is None or (self._made.done() and self._made.exception()):
                self._made = asyncio.create_task(self._clients.make())
            made = await asyncio.shield(self._made)  # a caller that gives up takes it from no other
            async with made.stream(method, url, headers=headers, data=data) as reply:
                yield reply
