"""A provider's OpenID configuration: believed only when it is about the issuer that was asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider

MAX_AGE = 600.0  # seconds; as long as a key set
RETRY_AFTER = 5.0  # seconds; anyone may press the sign-in button, and each press must not become a fetch
STALE_AGE = 86_400.0  # seconds; while the provider answers nothing, the last good document serves as long as its keys


class Discovery:
    """The configuration document of one provider, fetched when needed and kept.

    Args:
        provider: Whose.
        client: Follows no redirect.
        clock: Monotonic seconds.
    """

    def __init__(
        self, provider: Provider, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._client = client
        self._clock = clock
        self._document: Mapping[str, Any] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ""
        self._lock = asyncio.Lock()

    async def document(self) -> Mapping[str, Any]:
        """The document (OpenID Connect Discovery 1.0, section 3).

        Raises:
            FetchError: It cannot be had, or is about another issuer.
        """
        if self._age() < MAX_AGE:
            return self._document
        async with self._lock:  # one fetch, however many ask
            if self._age() < MAX_AGE:
                return self._document
            if self._clock() - self._failed_at >= RETRY_AFTER:
                try:
                    self._document, self._fetched_at = await self._fetch(), self._clock()
                    return self._document
                except FetchError as failure:
                    self._failure, self._failed_at = str(failure), self._clock()
            if self._age() < STALE_AGE:
                return self._document
            raise FetchError(self._failure)

    async def endpoint(self, name: str) -> str:
        """An address in the document.

        Args:
            name: Such as ``token_endpoint``.

        Raises:
            FetchError: There is none, or it is not https.
        """
        address = await self.optional(name)
        if address is None:
            raise FetchError(f"discovery_{name}_unfit")
        return address

    async def optional(self, name: str) -> str | None:
        """Like ``endpoint``; None where the document has no fit one."""
        address = (await self.document()).get(name)
        # Plain http only where the settings, which allow it for this machine alone, have the document there too.
        schemes = ("https://", "http://") if self._provider.discovery_url.startswith("http:") else ("https://",)
        return address if isinstance(address, str) and address.startswith(schemes) else None

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _fetch(self) -> Mapping[str, Any]:
        document = await get_json(self._client, self._provider.discovery_url)
        # Section 4.3: without it, one provider could send our people and their codes to another.
        if document.get("issuer") != self._provider.issuer:
            raise FetchError("discovery_issuer_differs")
        return document
