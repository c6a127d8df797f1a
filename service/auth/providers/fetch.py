"""Asking a provider: one host that the settings or a checked document named, bounded in time and size, JSON only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.auth.providers.causes import cause_of, cause_of_network
from service.auth.providers.client import Http
from service.strict import json_object

TIMEOUT = 5.0  # seconds for a whole exchange, connection included
MAX_BYTES = 256 * 1024
# No compression: nothing we ask for needs it, and a small bomb would become a large body.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """There is no usable answer; the text is a reason code for the log, never what the other side said.

    Args:
        reason: The code.
        cause: What it is more exactly, as in ``causes.CAUSES``; the reason itself where that is exact.
        told: Cause and remedy for the person who configures the provider, with both sides; may quote the other side,
            and is never logged.
    """

    def __init__(self, reason: str, cause: str | None = None, told: str | None = None) -> None:
        super().__init__(reason)
        self.cause = cause or reason
        self.told = told or cause_of(self.cause)

    def logged(self) -> dict[str, str]:
        """The fields of a log line: reason, cause, and what to do."""
        found = {"reason": str(self), "cause": self.cause, "remedy": cause_of(self.cause)}
        return {name: value for name, value in found.items() if value and (name != "cause" or value != str(self))}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: HTTP status.
        content: Its JSON object, or None when the body holds something else.
    """

    status: int
    content: Mapping[str, Any] | None


async def exchange(
    client: Http,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
) -> Reply:
    """Send a request and read the answer.

    Args:
        client: Follows no redirect.
        method: ``GET`` or ``POST``.
        url: From the settings or a checked document.
        headers: Beyond ours.
        data: Form fields.

    Raises:
        FetchError: No answer in time, or one that is too large or compressed.
    """
    status, content = await exchange_bytes(client, method, url, headers=headers, data=data)
    try:
        return Reply(status, json_object(content))
    except (ValueError, RecursionError):
        return Reply(status, None)


async def exchange_bytes(
    client: Http,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> tuple[int, bytes]:
    """Like ``exchange``, for what is no JSON: everything that is fetched from a provider comes through here.

    Args:
        client: Follows no redirect.
        method: ``GET`` or ``POST``.
        url: From the settings or a checked document.
        headers: Beyond ours, or in their place.
        data: Form fields.
        max_bytes: Largest body.

    Returns:
        Status and body.

    Raises:
        FetchError: No answer in time, or one that is too large or compressed.
    """
    content = bytearray()
    async with streamed(client, method, url, headers=headers, data=data) as answer:
        async for chunk in answer.chunks:
            content += chunk
            if len(content) > max_bytes:
                raise FetchError("too_large")
    return answer.status, bytes(content)


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that has begun.

    Attributes:
        status: HTTP status.
        chunks: Its body.
        limit: When it must have ended; the caller may move that.
    """

    status: int
    chunks: AsyncIterator[bytes]
    limit: asyncio.Timeout


@asynccontextmanager
async def streamed(
    client: Http,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
) -> AsyncIterator[Streamed]:
    """Like ``exchange_bytes``, a piece at a time, for what may be large: the caller bounds its size.

    Raises:
        FetchError: No answer in time, or one that is compressed.
    """
    try:
        async with (
            asyncio.timeout(TIMEOUT) as limit,
            client.stream(method, url, headers={**HEADERS, **(headers or {})}, data=data) as reply,
        ):
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchError("compressed")
            yield Streamed(reply.status_code, reply.aiter_raw(65_536), limit)
    except Exception as failure:
        import httpx  # not at the start: see client.py

        if isinstance(failure, TimeoutError | httpx.TimeoutException):
            raise FetchError("timeout") from None
        if isinstance(failure, httpx.HTTPError | httpx.InvalidURL | ValueError | OSError):
            raise FetchError(type(failure).__name__, cause_of_network(failure)) from None
        raise


async def get_json(client: Http, url: str) -> Mapping[str, Any]:
    """A JSON object.

    Args:
        client: Follows no redirect.
        url: From the settings or a checked document.

    Raises:
        FetchError: There is none.
    """
    reply = await exchange(client, "GET", url)
    if reply.status != 200:
        raise FetchError(f"status_{reply.status}")
    if reply.content is None:
        raise FetchError("not_json")
    return reply.content
