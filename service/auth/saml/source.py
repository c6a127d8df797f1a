"""A provider's metadata, kept fresh behind the sign-ins: its certificates change without a restart of ours.

When it cannot be had, or is not what it must be, the last good one serves until its hard age.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from service.auth.errors import KEYS_DOWN
from service.auth.providers.fetch import FetchError, exchange_bytes
from service.auth.saml.grammar import METADATA
from service.auth.saml.messages import utc_now
from service.auth.saml.metadata import MetadataError, read_idp
from service.auth.saml.party import Idp
from service.auth.saml.workers import Workers
from service.errors import ApiError
from service.fresh import Flight
from service.log import get_logger

SOFT_AGE = 600.0  # seconds; a certificate that was taken out dies after this while the provider answers
HARD_AGE = 3 * 86_400.0  # seconds; and after this when it does not: a weekend
COOLDOWN = 30.0  # seconds between fetches that unknown signatures cause
EXPIRES_SOON = timedelta(days=30)
_FETCH_TIMEOUT = 5.0  # seconds for a whole fetch, connection included
_HEADERS = {"Accept": "application/samlmetadata+xml, application/xml"}

log = get_logger(__name__)


class MetadataSource:
    """Where one provider's metadata comes from.

    Args:
        provider: Its name.
        entity_id: Which entity of the document.
        origin: Address, or file.
        signer: Certificate (PEM) it must be signed with, or None.
        client: Follows no redirect.
        workers: For parsing.
        clock: Monotonic seconds.
        now: The time.
    """

    def __init__(
        self,
        provider: str,
        entity_id: str,
        origin: str | Path,
        signer: str | None,
        *,
        client: httpx.AsyncClient,
        workers: Workers,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._provider, self._entity_id, self._origin, self._signer = provider, entity_id, origin, signer
        self._client, self._workers = client, workers
        self._clock, self._now = clock, now
        self._idp: Idp | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._asked_at = float("-inf")
        self._flight = Flight(self._fetch)
        self.failure: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the metadata can be relied on."""
        if self._idp is None or self._clock() - self._fetched_at >= HARD_AGE:
            return False
        return self._idp.valid_until is None or self._idp.valid_until > self._now()

    @property
    def state(self) -> str:
        """``ok``, ``stale`` (the last good one serves), ``expiring`` (a certificate ends soon), ``unavailable``."""
        if not self.ready or self._idp is None:
            return "unavailable"
        if self.failure is not None:
            return "stale"
        return "expiring" if self._idp.expires_at <= self._now() + EXPIRES_SOON else "ok"

    async def current(self) -> Idp:
        """What the metadata says.

        Raises:
            ApiError: SYS_003 while there is none to rely on.
        """
        if not self.ready and self._clock() - self._tried_at >= COOLDOWN:
            await self.refresh()
        if not self.ready or self._idp is None:
            raise ApiError(KEYS_DOWN, self.failure)
        return self._idp

    async def changed(self, known: Idp) -> bool:
        """Whether there are other certificates by now; asked when a signature fits none of the known ones."""
        if self._clock() - self._asked_at >= COOLDOWN:
            self._asked_at = self._clock()
            await self.refresh()
        return self._idp is not None and self._idp.certificates != known.certificates

    async def refresh(self) -> None:
        """One fetch at a time; a caller that is cancelled does not cancel it for the others."""
        await self._flight.join()

    async def keep_fresh(self) -> None:
        """Fetch now and again; runs until cancelled."""
        await self._flight.repeat(SOFT_AGE, lambda: self.failure is not None)

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT):
                raw = await self._read()
                idp = await self._workers.run(read_idp, raw, self._entity_id, self._signer, self._now())
        except Exception as failure:  # network, file system and XML have no common base
            known = isinstance(failure, MetadataError | FetchError)
            self.failure = str(failure) if known else type(failure).__name__
            log.warning("saml_metadata_unusable", provider=self._provider, reason=self.failure)
            return
        if self._idp is not None and self._idp.certificates != idp.certificates:
            log.info("saml_certificates_changed", provider=self._provider, certificates=len(idp.certificates))
        self._idp, self._fetched_at, self.failure = idp, self._clock(), None
        warn_of_expiry(self._provider, "provider", idp.expires_at, self._now())

    async def _read(self) -> bytes:
        if isinstance(self._origin, Path):
            return await asyncio.to_thread(_bounded_file, self._origin)
        status, content = await exchange_bytes(
            self._client, "GET", self._origin, headers=_HEADERS, max_bytes=METADATA.max_bytes
        )
        if status != 200:
            raise MetadataError(f"status_{status}")
        return content


def warn_of_expiry(provider: str, side: str, expires_at: datetime, now: datetime) -> None:
    """Say it while there is time.

    Args:
        provider: Name of the provider.
        side: Whose certificate: ``provider`` or ``ours``.
        expires_at: When it ends.
        now: The time.
    """
    if expires_at <= now + EXPIRES_SOON:
        log.warning("saml_certificate_expires", provider=provider, side=side, days=(expires_at - now).days)


def _bounded_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(METADATA.max_bytes + 1)
