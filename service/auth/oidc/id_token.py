"""The ID token of a sign-in: who the provider says has just signed in, and to whom it says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from service.auth import errors
from service.auth.tokens.claims import LEEWAY, audiences, check_subject, check_times
from service.auth.tokens.judge import (
    KeySource,
    check_kind,
    check_signature,
)
from service.auth.tokens.unverified import UnverifiedToken
from service.errors import ApiError
from service.strict import base64url

# Some providers let them live long (Auth0: ten hours); it only has to be young, which is checked.
_MAX_LIFETIME = 86_400
_TYPES = frozenset({"", "jwt"})
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


async def check_id_token(
    text: str,
    *,
    keys: KeySource,
    algorithms: frozenset[str],
    client_id: str,
    nonce: str,
    access_token: str,
    not_before: float,
    now: float,
) -> str:
    """Judge an ID token (OpenID Connect Core 1.0, sections 3.1.3.7 and 3.1.3.8), signature included.

    Args:
        text: The token.
        keys: Of the provider that was asked.
        algorithms: What the client's ID tokens are signed with.
        client_id: Ours.
        nonce: Of the transaction.
        access_token: That came with it.
        not_before: When the sign-in began, in seconds since 1970.
        now: Seconds since 1970.

    Returns:
        Its ``sub``.

    Raises:
        ApiError: AUTH_046, with the failed rule as the reason; SYS_003 while no keys can be had.
    """
    with _told_as_identity():
        token = UnverifiedToken.parse(text)
        claims = token.claims
        issuer = keys.provider.issuer_of(claims)
        if issuer is None or claims.get("iss") != issuer:
            raise ApiError(errors.LOGIN_IDENTITY, "iss")
        await check_signature(token, keys, _TYPES, algorithms)
        check_kind(claims, keys.provider.preset.id_required)
        subject = check_subject(claims)
        _check_audience(claims, client_id)
        check_times(claims, now, _MAX_LIFETIME)
        if claims["iat"] < not_before - LEEWAY - keys.provider.preset.backdated:
            raise ApiError(errors.LOGIN_IDENTITY, "iat_before_sign_in")
        # Compared as they are: neither is a secret to who holds the token, and text in JSON may not be encodable.
        if claims.get("nonce") != nonce:
            raise ApiError(errors.LOGIN_IDENTITY, "nonce")
        if "at_hash" in claims and claims["at_hash"] != _half_hash(access_token, str(token.header["alg"])):
            raise ApiError(errors.LOGIN_IDENTITY, "at_hash")
        return subject


@contextmanager
def _told_as_identity() -> Iterator[None]:
    try:
        yield
    except ApiError as failure:
        if failure.error.status == 503 or failure.error is errors.LOGIN_IDENTITY:
            raise
        cause = f"{failure.error.code}_{failure.reason}" if failure.reason else failure.error.code
        raise ApiError(errors.LOGIN_IDENTITY, cause) from None


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    named = audiences(claims)
    if client_id not in named:
        raise ApiError(errors.LOGIN_IDENTITY, "aud")
    if len(named) > 1 and "azp" not in claims:
        raise ApiError(errors.LOGIN_IDENTITY, "azp_absent")
    if "azp" in claims and claims["azp"] != client_id:
        raise ApiError(errors.LOGIN_IDENTITY, "azp")


def _half_hash(text: str, algorithm: str) -> str:
    digest = _HASHES[algorithm[-3:]](text.encode()).digest()
    return base64url(digest[: len(digest) // 2])
