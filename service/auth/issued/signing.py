"""Tokens that we issue: KMS signs them with a key that never leaves it, and the key set publishes what verifies them.

An outage of KMS costs new tokens (503), not those that are out: the public keys are fetched before they are needed and
kept. Every call runs in a thread of its own pool and has an end, so that a KMS that hangs holds up nothing but itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets as random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from service.auth.errors import KEYS_DOWN, SIGNING_DOWN, TOKEN_KEY
from service.bounded import Bounded
from service.errors import ApiError
from service.fresh import Flight
from service.log import get_logger
from service.strict import base64url

if TYPE_CHECKING:
    from jose.backends.base import Key
    from mypy_boto3_kms import KMSClient

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068, section 2.1
CALL_TIMEOUT = 3.0  # seconds a caller waits; the client (service.aws.identity) gives up before
REFRESH = 600.0  # seconds between looks at the public keys
COOLDOWN = 1.0  # seconds between looks that callers of the key set cause
_THREADS = 4
_MAX_WAITING = 32  # calls under way; more would only wait for their end

log = get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies our signatures.

    Attributes:
        kid: Thumbprint of the key (RFC 7638): the same on every replica, and after every restart.
        arn: The KMS key, to sign with exactly this one even where the setting names an alias that moves.
        jwk: As it is published.
        verifier: For our own use.
    """

    kid: str
    arn: str
    jwk: Mapping[str, str]
    verifier: Key


class TokenSigner:
    """Signs claims and publishes the keys.

    Args:
        key_ids: KMS keys (ids, ARNs or aliases) for ECC_NIST_P256 signing. The first signs; the others were first
            once, or will be, and only verify.
        connect: Gives the KMS client; called in a thread, where it may block.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        key_ids: Sequence[str],
        connect: Callable[[], KMSClient],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key_ids = tuple(key_ids)
        self._connect = connect
        self._clock = clock
        self._threads = Bounded("kms", threads=_THREADS, waiting=_MAX_WAITING, full=SIGNING_DOWN, reason="busy")
        self._keys: dict[str, PublicKey] = {}
        self._flight = Flight(self.refresh)
        self._asked_at = float("-inf")
        self.failure: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the key that signs is known."""
        return self._key_ids[0] in self._keys

    def jwks(self) -> dict[str, list[Mapping[str, str]]]:
        """The key set (RFC 7517), the signing key first.

        Raises:
            ApiError: SYS_003 while no key is known: an empty set would tell verifiers to forget what they have.
        """
        if not self.ready:
            raise ApiError(KEYS_DOWN, self.failure)
        return {"keys": [self._keys[key_id].jwk for key_id in self._key_ids if key_id in self._keys]}

    def find(self, kid: str | None, algorithm: str) -> Key:
        """The key that a token of ours names.

        Raises:
            ApiError: AUTH_005 for an unknown one; SYS_003 while ours are not known.
        """
        for key in self._keys.values():
            if key.kid == kid and algorithm == ALGORITHM:
                return key.verifier
        raise ApiError(TOKEN_KEY) if len(self._keys) == len(self._key_ids) else ApiError(KEYS_DOWN, self.failure)

    def holds(self, kid: str | None) -> bool:
        """Whether a key is still one of ours."""
        return any(key.kid == kid for key in self._keys.values())

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed token (RFC 7515, compact form).

        Args:
            claims: What it says; ``jti`` is added.

        Raises:
            ApiError: SYS_009 when KMS does not sign within 3 seconds.
        """
        key = self._keys.get(self._key_ids[0]) or await self._look_at(self._key_ids[0])
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}
        signing_input = f"{_part(header)}.{_part({**claims, 'jti': random.token_urlsafe(16)})}"
        digest = hashlib.sha256(signing_input.encode("ascii")).digest()
        signature = await self._call(lambda client: _sign(client, key.arn, digest))
        return f"{signing_input}.{base64url(signature)}"

    async def refresh(self) -> None:
        """Look at the public keys; one that cannot be had keeps what is known of it."""
        for key_id in self._key_ids:
            with suppress(ApiError):
                await self._look_at(key_id)

    async def look_again(self) -> None:
        """Look sooner than that because somebody asks: once in a while, however many ask, for anybody may."""
        if self._flight.under_way or self._clock() - self._asked_at >= COOLDOWN:
            if not self._flight.under_way:
                self._asked_at = self._clock()
            await self._flight.join()

    async def keep_fresh(self) -> None:
        """Refresh now and again; runs until cancelled."""
        await self._flight.repeat(REFRESH, lambda: len(self._keys) < len(self._key_ids) or self.failure is not None)

    def close(self) -> None:
        """Take no more calls; those under way end by themselves."""
        self._threads.close()

    async def _look_at(self, key_id: str) -> PublicKey:
        found = await self._call(lambda client: _public_key(client, key_id))
        if self._keys.get(key_id, found).kid != found.kid:
            log.warning("token_signing_key_changed", position=self._key_ids.index(key_id))
        self._keys[key_id] = found
        return found

    async def _call(self, work: Callable[[KMSClient], T]) -> T:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                result = await self._threads.run(lambda: work(self._connect()))
        except ApiError:  # the pool is full: that says nothing about KMS
            raise
        except Exception as failure:  # botocore has no common base for what can go wrong on the way
            self.failure = type(failure).__name__
            log.error("kms_call_failed", reason=self.failure)
            raise ApiError(SIGNING_DOWN, self.failure) from None
        self.failure = None
        return result


def _public_key(client: KMSClient, key_id: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from jose import jwk

    answer = client.get_public_key(KeyId=key_id)
    loaded = load_der_public_key(answer["PublicKey"])
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")
    point = loaded.public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": base64url(point.x.to_bytes(32, "big")),
        "y": base64url(point.y.to_bytes(32, "big")),
    }
    # RFC 7638: the required members in the order of their names, without blanks.
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    published = {**members, "kid": base64url(thumbprint), "use": "sig", "alg": ALGORITHM}
    return PublicKey(published["kid"], answer["KeyId"], published, jwk.construct(published, ALGORITHM))


def _sign(client: KMSClient, arn: str, digest: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    answer = client.sign(KeyId=arn, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    # KMS answers DER, JWS wants both numbers in 32 bytes each (RFC 7518, section 3.4).
    r, s = decode_dss_signature(answer["Signature"])
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _part(members: Mapping[str, Any]) -> str:
    return base64url(json.dumps(members, separators=(",", ":")).encode())
