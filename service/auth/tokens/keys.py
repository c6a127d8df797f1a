"""Signing keys of one issuer: fetched before they are needed, bounded in age, never lost to a bad answer.

A known key is found without waiting. A refresh runs behind the requests; when the provider is down, the last good set
serves until its hard age, after which the answer is 503, never 401: an outage is not the caller's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from service.auth.errors import KEYS_DOWN, KEYS_UNUSABLE, TOKEN_KEY
from service.auth.providers.client import Http
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider
from service.auth.tokens.key_set import KeyTable, key_for, reasons
from service.auth.tokens.key_set import usable_keys as usable_keys
from service.errors import ApiError
from service.fresh import Fresh
from service.log import get_logger

if TYPE_CHECKING:
    from jose.backends.base import Key

SOFT_AGE = 600.0  # seconds; a removed key dies after this while the provider answers
HARD_AGE = 86_400.0  # seconds; and after this when it does not
COOLDOWN = 30.0  # seconds between fetches that unknown key ids cause
_NO_USABLE_KEY = "no_usable_key"

log = get_logger(__name__)


class NoUsableKeyError(FetchError):
    """The set was fetched and is no help: an outage of ours to mend, not of the provider's."""


class IssuerKeys:
    """The key set of one provider.

    Args:
        provider: Whose keys.
        client: For the fetches; shared, follows no redirect.
        clock: Monotonic seconds.
        discovery: Where the set is, unless the settings say so; the sign-in shares it.
    """

    def __init__(
        self,
        provider: Provider,
        client: Http,
        clock: Callable[[], float] = time.monotonic,
        *,
        discovery: Discovery | None = None,
    ) -> None:
        self.provider = provider
        self._client = client
        self._discovery = discovery or Discovery(provider, client, clock)
        self._clock = clock
        self.told = ""
        self._fresh: Fresh[KeyTable] = Fresh(self._fetch, self._told, hard_age=HARD_AGE, pause=COOLDOWN, clock=clock)

    @property
    def failure(self) -> str | None:
        """Reason code of the last fetch; None when it was good."""
        return self._fresh.failure

    @property
    def age(self) -> float | None:
        """Seconds since the keys were fetched; None before the first success."""
        return self._fresh.age

    @property
    def ready(self) -> bool:
        """Whether tokens of this issuer can be judged now."""
        return self._fresh.value is not None

    @property
    def state(self) -> str:
        """``ok``, ``stale`` (the provider is down, its last keys still serve), ``unavailable``."""
        return self._fresh.state

    async def find(self, kid: str | None, algorithm: str, issuer: str) -> Key:
        """The key that a token's header names.

        Args:
            kid: Key id from the header; None is accepted where exactly one key fits.
            algorithm: ``alg`` from the header, already allowed for this provider.
            issuer: ``iss``, already found to be this provider's; some keys verify for one issuer alone.

        Raises:
            ApiError: AUTH_005 for an unknown key; SYS_003 while no set could be fetched, SYS_013 while it has no key
                that can be used.
        """
        if key := self._lookup(kid, algorithm, issuer):
            return key
        # The cooldown alone bounds the fetches. A memory of unknown ids would save some of them, and would hold up a
        # key whose token came before the set that has it.
        if self._fresh.may_ask:
            await self._fresh.refresh()
            if key := self._lookup(kid, algorithm, issuer):
                return key
        if not self.ready:
            raise ApiError(KEYS_UNUSABLE if self.failure == _NO_USABLE_KEY else KEYS_DOWN, self.failure)
        raise ApiError(TOKEN_KEY)

    def holds(self, key: Key, kid: str | None, algorithm: str, issuer: str) -> bool:
        """Whether a key that ``find`` gave would still be given: a rotation or the hard age takes it away."""
        return self._lookup(kid, algorithm, issuer) is key

    async def keep_fresh(self) -> None:
        """Fetch now and again before the soft age is reached; runs until cancelled."""
        await self._fresh.keep(SOFT_AGE)

    def _lookup(self, kid: str | None, algorithm: str, issuer: str) -> Key | None:
        return key_for(self._fresh.value or {}, kid, algorithm, issuer)

    def _told(self, failure: Exception) -> str:
        if not isinstance(failure, FetchError):
            raise failure
        if not isinstance(failure, NoUsableKeyError):
            log.warning("signing_keys_fetch_failed", provider=self.provider.name, age=self.age, **failure.logged())
        self.told = failure.told
        return str(failure)

    async def _fetch(self) -> KeyTable:
        url = self.provider.jwks_url or await self._discovery.endpoint("jwks_uri")
        published, algorithms = await get_json(self._client, url), self.provider.preset.algorithms
        keys = usable_keys(published, algorithms)
        if not keys:
            log.warning(
                "signing_keys_unusable",
                provider=self.provider.name,
                wanted=" or ".join(sorted(algorithms)),
                left_out=reasons(published, algorithms),
                age=self.age,
            )
            raise NoUsableKeyError(_NO_USABLE_KEY)
        if keys.keys() != (self._fresh.value or {}).keys():
            log.info("signing_keys_changed", provider=self.provider.name, keys=len(keys))
        return keys
