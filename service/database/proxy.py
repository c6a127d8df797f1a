"""PostgreSQL through a SOCKS5 proxy, as a tunnel without a network device of its own offers it (RFC 1928).

The proxy sees a name, a port and TLS: the name is resolved on its side, because a private database has no address on
ours, and the certificate is verified on this side, because a proxy can lead anywhere.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from python_socks import ProxyError, ProxyTimeoutError
from python_socks.async_.asyncio import Proxy

TIMEOUT = 5.0  # seconds to reach the proxy, and for it to reach the database


class ProxiedLoop:
    """The running event loop, except that it opens TCP connections through the proxy.

    asyncpg takes a loop and no socket; with this one, everything it opens goes through the proxy, cancel requests
    included.

    Args:
        url: ``socks5://host:port``. Its host is resolved for every connection: a private name moves with each
            deployment of the proxy.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, **options: Any
    ) -> Any:
        """Like the loop's own.

        Raises:
            ConnectionError: The proxy cannot be reached, or cannot reach the host.
            TimeoutError: One of them takes too long.
        """
        connected = await self._connect(host, port)
        try:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a tunnel drops what is silent for long
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await self._loop.create_connection(factory, sock=connected, **options)
        except BaseException:
            connected.close()
            raise

    async def _connect(self, host: str, port: int) -> socket.socket:
        proxy = Proxy.from_url(self._url, rdns=True, loop=self._loop)
        try:
            return await proxy.connect(host, port, timeout=TIMEOUT)
        except ProxyTimeoutError:
            raise TimeoutError("the proxy took too long") from None
        except (ProxyError, OSError) as failure:  # ProxyError is no OSError, which is what callers know
            raise ConnectionError(f"not through the proxy: {type(failure).__name__}") from failure
