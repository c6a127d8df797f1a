"""How long a token may live, by what each kind of provider is known to write into ``iat``."""

from __future__ import annotations

import pytest

from service.auth import errors
from service.auth.providers.presets import PRESETS
from service.auth.tokens.claims import LEEWAY, check_times
from service.auth.tokens.judge import MAX_LIFETIME
from service.errors import ApiError

NOW = 1_764_000_000


def times(kind: str, iat: int, exp: int) -> str:
    """The code that a token of a kind of provider gets; empty when it is accepted."""
    try:
        check_times({"iat": iat, "nbf": iat, "exp": exp}, NOW, MAX_LIFETIME, PRESETS[kind].backdated)
    except ApiError as refusal:
        return refusal.error.code
    return ""


def test_an_hour_of_entra_counts_from_when_the_token_was_made() -> None:
    """Its ``iat`` is five minutes early: ``exp`` is 65 minutes after it, and 60 after now."""
    assert times("entra", NOW - 300, NOW + 3600) == ""
    assert times("entra", NOW - 301, NOW + 3600) == errors.TOKEN_LIFETIME.code


def test_backdating_buys_no_later_end() -> None:
    assert times("entra", NOW, NOW + 3600 + LEEWAY) == ""
    assert times("entra", NOW, NOW + 3900) == errors.TOKEN_LIFETIME.code


@pytest.mark.parametrize("kind", sorted(PRESETS.keys() - {"entra"}))
def test_no_other_provider_is_granted_more_than_an_hour(kind: str) -> None:
    assert times(kind, NOW - 300, NOW + 3300) == ""
    assert times(kind, NOW - 300, NOW + 3301) == errors.TOKEN_LIFETIME.code
