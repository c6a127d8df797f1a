"""Signing keys of one issuer: fetched before they are needed, bounded in age, never lost to a bad answer.

A known key is found without waiting. A refresh runs behind the requests; when the provider is down, the last good set
serves until its hard age, after which the answer is 503, never 401: an outage is not the caller's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx
from jose import jwk
from jose.backends.base import Key

from service.auth.errors import KEYS_DOWN, TOKEN_KEY
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider
from service.errors import ApiError
from service.fresh import Fresh
from service.log import get_logger
from service.strict import unbase64url

SOFT_AGE = 600.0  # seconds; a removed key dies after this while the provider answers
HARD_AGE = 86_400.0  # seconds; and after this when it does not
COOLDOWN = 30.0  # seconds between fetches that unknown key ids cause
MAX_KEYS = 100
_RSA_BITS = range(2048, 8193)  # NIST SP 800-131A: 112 bits of strength; a huge key would make every check slow
_AMBIGUOUS = object()  # equals no key
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

log = get_logger(__name__)

KeyTable = Mapping[tuple[str, str], Key]


def usable_keys(document: Mapping[str, object], algorithms: frozenset[str]) -> KeyTable:
    """Pick the keys of a JWK set (RFC 7517) that may verify signatures.

    An unfit entry loses itself and no other: a member that is null counts as absent, and only entries that could verify
    compete for a key id. Two different keys under one id and algorithm lose each other, because it would be a choice.

    Args:
        document: The parsed set.
        algorithms: What the provider may sign with.

    Returns:
        Keys by (key id, algorithm).
    """
    entries = document.get("keys")
    found: dict[tuple[str, str], Key] = {}
    numbers: dict[tuple[str, str], object] = {}
    for published in entries[:MAX_KEYS] if isinstance(entries, list) else ():
        if not isinstance(published, dict):
            continue
        entry = {name: value for name, value in published.items() if value is not None}
        kid = entry.get("kid", "")
        if not isinstance(kid, str) or len(kid) > 256:
            continue
        for algorithm in sorted(algorithms):
            if not _fits(entry, algorithm):
                continue
            try:
                key = jwk.construct(entry, algorithm)
            except Exception:  # the library raises whatever the entry makes it stumble over
                log.warning("signing_key_unusable", algorithm=algorithm)
                continue
            name, number = (kid, algorithm), key.to_dict()
            if numbers.setdefault(name, number) == number:
                found.setdefault(name, key)
            else:
                numbers[name] = _AMBIGUOUS
                found.pop(name, None)
    return found


def _fits(entry: dict[str, object], algorithm: str) -> bool:
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm or "d" in entry:
        return False
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    if algorithm.startswith("RS"):
        try:
            bits = int.from_bytes(unbase64url(entry.get("n"))).bit_length()
            return entry.get("kty") == "RSA" and bits in _RSA_BITS and len(unbase64url(entry.get("e"))) <= 8
        except ValueError:
            return False
    return entry.get("kty") == "EC" and entry.get("crv") == _CURVES[algorithm]


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
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
        *,
        discovery: Discovery | None = None,
    ) -> None:
        self.provider = provider
        self._client = client
        self._discovery = discovery or Discovery(provider, client, clock)
        self._clock = clock
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

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key that a token's header names.

        Args:
            kid: Key id from the header; None is accepted where exactly one key fits.
            algorithm: ``alg`` from the header, already allowed for this provider.

        Raises:
            ApiError: AUTH_005 for an unknown key; SYS_003 while no usable set could be fetched.
        """
        if key := self._lookup(kid, algorithm):
            return key
        # The cooldown alone bounds the fetches. A memory of unknown ids would save some of them, and would hold up a
        # key whose token came before the set that has it.
        if self._fresh.may_ask:
            await self._fresh.refresh()
            if key := self._lookup(kid, algorithm):
                return key
        if not self.ready:
            raise ApiError(KEYS_DOWN, self.failure)
        raise ApiError(TOKEN_KEY)

    def holds(self, key: Key, kid: str | None, algorithm: str) -> bool:
        """Whether a key that ``find`` gave would still be given: a rotation or the hard age takes it away."""
        return self._lookup(kid, algorithm) is key

    async def keep_fresh(self) -> None:
        """Fetch now and again before the soft age is reached; runs until cancelled."""
        await self._fresh.keep(SOFT_AGE)

    def _lookup(self, kid: str | None, algorithm: str) -> Key | None:
        keys = self._fresh.value or {}
        if kid is not None:
            return keys.get((kid, algorithm))
        fitting = [key for (_, name), key in keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _told(self, failure: Exception) -> str:
        if not isinstance(failure, FetchError):
            raise failure
        log.warning("signing_keys_fetch_failed", provider=self.provider.name, reason=str(failure), age=self.age)
        return str(failure)

    async def _fetch(self) -> KeyTable:
        url = self.provider.jwks_url or await self._discovery.endpoint("jwks_uri")
        keys = usable_keys(await get_json(self._client, url), self.provider.preset.algorithms)
        if not keys:
            raise FetchError("no_usable_key")
        if keys.keys() != (self._fresh.value or {}).keys():
            log.info("signing_keys_changed", provider=self.provider.name, keys=len(keys))
        return keys
