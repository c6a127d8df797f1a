"""Asking a provider: one host that the settings or a checked document named, bounded in time and size, JSON only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from service.strict import json_object

TIMEOUT = 5.0  # seconds for a whole exchange, connection included
MAX_BYTES = 512 * 1024
# No compression: nothing we ask for needs it, and a small bomb would become a large body.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """There is no usable answer; the text is a reason code for the log, never what the other side said."""


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
    client: httpx.AsyncClient,
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
    client: httpx.AsyncClient,
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
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream(method, url, headers={**HEADERS, **(headers or {})}, data=data) as reply,
        ):
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchError("compressed")
            content = bytearray()
            async for chunk in reply.aiter_raw(65_536):
                content += chunk
                if len(content) > max_bytes:
                    raise FetchError("too_large")
    except (TimeoutError, httpx.TimeoutException):
        raise FetchError("timeout") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as failure:
        raise FetchError(type(failure).__name__) from None
    return reply.status_code, bytes(content)


async def get_json(client: httpx.AsyncClient, url: str) -> Mapping[str, Any]:
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
