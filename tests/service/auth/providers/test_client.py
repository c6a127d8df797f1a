"""HTTP clients of providers: what their end leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from service.auth.providers.client import Client, Clients

pytestmark = pytest.mark.anyio


async def test_no_fetch_and_no_connection_outlives_the_clients() -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with suppress(ConnectionError):
            await reader.read()
        hung_up.set()
        writer.close()

    clients = Clients()
    client = Client(clients)

    async def fetch() -> None:
        async with client.stream("GET", f"http://127.0.0.1:{port}/", headers={}, data=None):
            pass

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        under_way = asyncio.create_task(fetch())
        await asyncio.wait_for(asked.wait(), 10)
        await clients.close()
        assert under_way.cancelled()
        await asyncio.wait_for(hung_up.wait(), 10)
        asked.clear()
        with pytest.raises(RuntimeError, match="closed"):
            await fetch()
        assert not asked.is_set()
