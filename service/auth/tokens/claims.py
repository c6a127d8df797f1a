"""Rules for single claims; what they return has the type that was asked for, and nothing is converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.auth import errors
from service.errors import ApiError
from service.strict import is_name

LEEWAY = 30  # seconds of clock difference between us and the issuer
_MAX_TIME = 1 << 40  # a later "exp" is in milliseconds or nonsense


def check_subject(claims: Mapping[str, Any], name: str = "sub", longest: int = 255) -> str:
    """The user's identifier: a printable text of bounded length, not blanks alone.

    Raises:
        ApiError: AUTH_009.
    """
    subject = claims.get(name)
    if not is_name(subject, longest):
        raise ApiError(errors.TOKEN_CLAIM, name)
    return subject


def audiences(claims: Mapping[str, Any]) -> list[str]:
    """``aud`` as a list (RFC 7519, section 4.1.3).

    Raises:
        ApiError: AUTH_007, it is neither a text nor a list of texts.
    """
    audience = claims.get("aud")
    if isinstance(audience, str):
        audience = [audience]
    if not isinstance(audience, list) or not all(isinstance(item, str) for item in audience):
        raise ApiError(errors.TOKEN_AUDIENCE, "aud_form")
    return audience


def check_times(claims: Mapping[str, Any], now: float, lifetime: int, backdated: int = 0) -> int:
    """RFC 7519, section 4.1, with ``exp`` and ``iat`` required and the life bounded.

    Args:
        claims: Of the token.
        now: Seconds since 1970.
        lifetime: Longest allowed, in seconds.
        backdated: By how many seconds the provider is known to write ``iat`` too early.

    Returns:
        ``exp``, in seconds since 1970.

    Raises:
        ApiError: AUTH_001, AUTH_009, AUTH_010 or AUTH_011.
    """
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if issued >= expires:
        raise ApiError(errors.TOKEN_CLAIM, "iat")
    if expires - issued > lifetime + backdated:
        raise ApiError(errors.TOKEN_LIFETIME)
    if expires + LEEWAY <= now:
        raise ApiError(errors.TOKEN_EXPIRED)
    if issued > now + LEEWAY or ("nbf" in claims and _time(claims, "nbf") > now + LEEWAY):
        raise ApiError(errors.TOKEN_EARLY)
    # What is left of it is bounded too: a later end cannot be bought with the seconds that backdating is allowed.
    if expires > now + lifetime + LEEWAY:
        raise ApiError(errors.TOKEN_LIFETIME)
    return int(expires)


def scopes_of(value: object) -> frozenset[str]:
    """Both forms that are in use; anything else permits nothing."""
    if isinstance(value, str):
        value = value.split(" ")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return frozenset()
    return frozenset(item for item in value if item)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_TIME:
        raise ApiError(errors.TOKEN_CLAIM, name)
    return float(value)
