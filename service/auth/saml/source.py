"""A provider's metadata, kept fresh behind the sign-ins: its certificates change without a restart of ours.

When it cannot be had, or is not what it must be, the last good one serves until its hard age.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from service.auth.errors import KEYS_DOWN, KEYS_UNUSABLE
from service.auth.providers.causes import cause_of
from service.auth.providers.client import Http
from service.auth.providers.fetch import FetchError, streamed
from service.auth.saml.federation import Federation
from service.auth.saml.grammar import METADATA
from service.auth.saml.messages import utc_now
from service.auth.saml.metadata import MetadataError, read_idp
from service.auth.saml.party import Idp
from service.auth.saml.rules import SKEW
from service.auth.saml.workers import Workers
from service.errors import ApiError
from service.fresh import Fresh
from service.log import get_logger

SOFT_AGE = 600.0  # seconds; a certificate that was taken out dies after this while the provider answers
HARD_AGE = 3 * 86_400.0  # seconds; and after this when it does not: a weekend
COOLDOWN = 30.0  # seconds between fetches that unknown signatures cause, on the average
_BURST = 4  # of these at once: a certificate may change twice in a minute, and anyone can send an unknown signature
EXPIRES_SOON = timedelta(days=30)
_PIECE = 65_536  # bytes
_LONG_FETCH = 180.0  # seconds for a federation's metadata, once it is more than one provider's
_PATIENCE = 5.0  # seconds that a sign-in waits for metadata
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
        client: Http,
        workers: Workers,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._provider, self._entity_id, self._origin, self._signer = provider, entity_id, origin, signer
        self._client, self._workers = client, workers
        self._clock, self._now = clock, now
        self._asked: deque[float] = deque(maxlen=_BURST)
        self.remedy = ""
        self._unanswered = True
        self._fresh = Fresh(self._fetch, self._told, hard_age=HARD_AGE, pause=COOLDOWN, clock=clock)

    @property
    def failure(self) -> str | None:
        """Reason code of the last fetch; None when it was good."""
        return self._fresh.failure

    @property
    def ready(self) -> bool:
        """Whether the metadata can be relied on."""
        return self._usable() is not None

    @property
    def state(self) -> str:
        """``ok``, ``stale`` (the last good one serves), ``expiring`` (a certificate ends soon), ``unavailable``."""
        if (idp := self._usable()) is None:
            return "unavailable"
        if self.failure is not None:
            return "stale"
        return "expiring" if idp.expires_at <= self._now() + EXPIRES_SOON else "ok"

    async def current(self) -> Idp:
        """What the metadata says.

        Raises:
            ApiError: SYS_003 while none can be had; SYS_013 while what is had cannot be relied on.
        """
        if not self.ready and self._fresh.may_ask:
            await self._wait()
        if (idp := self._usable()) is None:
            raise ApiError(KEYS_DOWN if self._unanswered else KEYS_UNUSABLE, self.failure)
        return idp

    async def changed(self, known: Idp) -> bool:
        """Whether there are other certificates by now; asked when a signature fits none of the known ones."""
        latest = self._fresh.value
        if latest is not None and latest.certificates != known.certificates:
            return True
        if self._fresh.under_way:
            await self._wait()
        elif len(self._asked) < _BURST or self._clock() - self._asked[0] >= _BURST * COOLDOWN:
            self._asked.append(self._clock())
            await self._wait()
        latest = self._fresh.value
        return latest is not None and latest.certificates != known.certificates

    async def refresh(self) -> None:
        """One fetch at a time; a caller that is cancelled does not cancel it for the others."""
        await self._fresh.refresh()

    async def _wait(self) -> None:
        """For a fetch, as long as a person who signs in may be kept waiting; a long one goes on behind them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.refresh()

    async def keep_fresh(self) -> None:
        """Fetch now and again; runs until cancelled."""
        await self._fresh.keep(SOFT_AGE)

    def _usable(self) -> Idp | None:
        idp = self._fresh.value
        return idp if idp is not None and (idp.valid_until is None or idp.valid_until + SKEW > self._now()) else None

    def _told(self, failure: Exception) -> str:
        self.remedy = self._remedy(failure)
        self._unanswered = not isinstance(failure, MetadataError)
        reason = str(failure) if isinstance(failure, MetadataError | FetchError) else type(failure).__name__
        logged = failure.logged() if isinstance(failure, FetchError) else {"reason": reason}
        log.warning("saml_metadata_unusable", provider=self._provider, **logged)
        return reason

    def _remedy(self, failure: Exception) -> str:
        if isinstance(failure, MetadataError | FetchError):
            return failure.told
        if isinstance(failure, TimeoutError):
            return cause_of("timeout")
        if isinstance(self._origin, Path) and isinstance(failure, OSError):
            return f"METADATA_FILE is {self._origin}, and no file can be read there: see the path inside the container"
        return ""

    async def _fetch(self) -> Idp:
        if isinstance(self._origin, Path):
            idp = await self._read(_pieces(self._origin))
        else:
            async with streamed(self._client, "GET", self._origin, headers=_HEADERS) as answer:
                if answer.status != 200:
                    raise FetchError(f"status_{answer.status}")
                idp = await self._read(answer.chunks, answer.limit)
        if (before := self._fresh.value) is not None and before.certificates != idp.certificates:
            log.info("saml_certificates_changed", provider=self._provider, certificates=len(idp.certificates))
        warn_of_expiry(self._provider, "provider", idp.expires_at, self._now())
        return idp

    async def _read(self, pieces: AsyncIterator[bytes], limit: asyncio.Timeout | None = None) -> Idp:
        """One provider's document as a tree; of what is larger, a federation's, nothing but its entity is kept."""
        work, raw = self._workers.run, bytearray()
        async for piece in pieces:
            raw += piece
            if len(raw) > METADATA.max_bytes:
                break
        else:
            return await work(read_idp, bytes(raw), self._entity_id, self._signer, self._now())
        if limit is not None:
            limit.reschedule(asyncio.get_running_loop().time() + _LONG_FETCH)
        federation = Federation(self._entity_id, self._signer)
        for start in range(0, len(raw), _PIECE):  # the sign-ins of this provider take turns with it
            await work(federation.feed, bytes(raw[start : start + _PIECE]))
        del raw
        async for piece in pieces:
            await work(federation.feed, piece)
        await work(federation.feed, b"", last=True)
        entity, around = federation.found()
        return await work(read_idp, entity, self._entity_id, None, self._now(), around)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


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
