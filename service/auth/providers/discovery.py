"""A provider's OpenID configuration: believed only when it is about the issuer that was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from service.auth.providers.causes import issuers_differ
from service.auth.providers.client import Http
from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider
from service.fresh import Fresh
from service.log import get_logger

MAX_AGE = 600.0  # seconds; as long as a key set
RETRY_AFTER = 5.0  # seconds; anyone may press the sign-in button, and each press must not become a fetch
STALE_AGE = 86_400.0  # seconds; while the provider answers nothing, the last good document serves as long as its keys

log = get_logger(__name__)


class Discovery:
    """The configuration document of one provider, fetched when needed and kept.

    Args:
        provider: Whose.
        client: Follows no redirect.
        clock: Monotonic seconds.
    """

    def __init__(self, provider: Provider, client: Http, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._client = client
        self._fresh: Fresh[Mapping[str, Any]] = Fresh(
            self._fetch, self._told, hard_age=STALE_AGE, pause=RETRY_AFTER, clock=clock
        )
        self._failed = FetchError("discovery_too_old")

    async def document(self) -> Mapping[str, Any]:
        """The document (OpenID Connect Discovery 1.0, section 3).

        Raises:
            FetchError: It cannot be had, or is about another issuer.
        """
        if (self._fresh.age is None or self._fresh.age >= MAX_AGE) and self._fresh.may_ask:
            await self._fresh.refresh()
        if (document := self._fresh.value) is None:
            raise FetchError(str(self._failed), self._failed.cause, self._failed.told)
        return document

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

    async def _fetch(self) -> Mapping[str, Any]:
        document = await get_json(self._client, self._provider.discovery_url)
        # Section 4.3: without it, one provider could send our people and their codes to another.
        if document.get("issuer") != self._provider.issuer:
            provider = self._provider
            told = issuers_differ(provider.kind, provider.name, provider.issuer, document.get("issuer"))
            raise FetchError("discovery_issuer_differs", told=told)
        return document

    def _told(self, failure: Exception) -> str:
        if not isinstance(failure, FetchError):
            raise failure
        self._failed = failure
        log.warning("discovery_failed", provider=self._provider.name, **failure.logged())
        return str(failure)
