"""What an outage, an attack or a rotation at the provider does to callers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service import errors as core_errors
from service.auth import errors
from service.auth.tokens import keys
from service.auth.tokens.keys import IssuerKeys, usable_keys
from service.errors import ApiError
from tests.support.clock import Clock
from tests.support.idp.issuer import Issuer, SigningKey, provider_of

pytestmark = pytest.mark.anyio
ISSUER = "https://idp.example.com"  # of the tokens; keys that name none are for all of a provider's


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def issuer_keys(issuer: Issuer, clock: Clock) -> AsyncIterator[IssuerKeys]:
    async with httpx.AsyncClient() as client:
        yield IssuerKeys(provider_of(issuer), client, clock)


async def refused(issuer_keys: IssuerKeys, kid: str) -> core_errors.Error:
    with pytest.raises(ApiError) as failure:
        await issuer_keys.find(kid, "RS256", ISSUER)
    return failure.value.error


async def test_one_fetch_serves_many_callers(issuer: Issuer, issuer_keys: IssuerKeys) -> None:
    issuer.delay = 0.1
    await asyncio.gather(*(issuer_keys.find("k1", "RS256", ISSUER) for _ in range(50)))
    assert issuer.fetches == 1


async def test_a_key_beside_another_is_still_held(issuer: Issuer, issuer_keys: IssuerKeys) -> None:
    """Or every token of a provider with two keys would be judged anew at each request."""
    second = SigningKey("k2")
    issuer.keys = [issuer.key.jwk(), second.jwk()]
    key = await issuer_keys.find("k1", "RS256", ISSUER)
    assert issuer_keys.holds(key, "k1", "RS256", ISSUER)
    assert not issuer_keys.holds(key, "k2", "RS256", ISSUER)


async def test_unknown_key_ids_cause_one_fetch_per_cooldown(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += keys.COOLDOWN + 1
    for n in range(500):
        assert await refused(issuer_keys, f"guess-{n}") == errors.TOKEN_KEY
    assert issuer.fetches == 2


async def test_a_key_that_appears_late_is_found_after_one_cooldown_though_it_was_asked_for_before(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    late = SigningKey("late")
    await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += keys.COOLDOWN
    assert await refused(issuer_keys, "late") == errors.TOKEN_KEY
    assert issuer.fetches == 2
    issuer.keys = [issuer.key.jwk(), late.jwk()]
    clock.now += keys.COOLDOWN
    assert await issuer_keys.find("late", "RS256", ISSUER)
    assert issuer.fetches == 3


async def test_a_rotation_is_picked_up_within_one_cooldown(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    issuer.keys = [SigningKey("k2").jwk()]
    clock.now += keys.COOLDOWN
    assert await issuer_keys.find("k2", "RS256", ISSUER)
    assert await refused(issuer_keys, "k1") == errors.TOKEN_KEY


async def test_a_key_that_was_met_before_it_was_published_is_found_after_the_cooldown(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += 5
    issuer.keys = [SigningKey("k2").jwk()]
    assert await refused(issuer_keys, "k2") == errors.TOKEN_KEY  # within the cooldown nobody is asked
    clock.now += keys.COOLDOWN
    assert await issuer_keys.find("k2", "RS256", ISSUER)


async def test_a_key_that_was_met_while_the_provider_was_down_is_found_when_it_is_back(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += keys.COOLDOWN
    issuer.keys, issuer.answer = [SigningKey("k2").jwk()], lambda: (500, b"")
    assert await refused(issuer_keys, "k2") == errors.TOKEN_KEY
    clock.now += keys.COOLDOWN
    issuer.answer = None
    assert await issuer_keys.find("k2", "RS256", ISSUER)


async def test_a_good_set_that_is_too_large_is_refused(issuer: Issuer, issuer_keys: IssuerKeys) -> None:
    body = json.dumps({"keys": issuer.keys}).encode()
    issuer.answer = lambda: (200, body + b" " * 600_000)
    assert await refused(issuer_keys, "k1") == errors.KEYS_DOWN
    assert issuer_keys.failure == "too_large"


async def test_known_keys_are_not_held_up_by_a_fetch(issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += keys.COOLDOWN
    with issuer.holding() as asked:
        unknown = asyncio.create_task(refused(issuer_keys, "other"))
        assert await asyncio.to_thread(asked.wait, 20)
        for _ in range(100):
            assert await issuer_keys.find("k1", "RS256", ISSUER)
        assert not unknown.done()
    assert await unknown == errors.TOKEN_KEY


async def test_a_compressed_answer_is_refused_before_it_grows(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    bomb = gzip.compress(b" " * 50_000_000)  # made before it is asked for: the answer has five seconds
    issuer.headers, issuer.answer = {"Content-Encoding": "gzip"}, lambda: (200, bomb)
    assert await refused(issuer_keys, "k1") == errors.KEYS_DOWN
    assert issuer_keys.failure == "compressed"


async def test_known_keys_serve_through_an_outage_until_the_hard_age(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    issuer.answer = lambda: (500, b"")
    clock.now += keys.HARD_AGE - 1
    assert await issuer_keys.find("k1", "RS256", ISSUER)
    clock.now += 2
    assert await refused(issuer_keys, "k1") == errors.KEYS_DOWN
    assert not issuer_keys.ready


async def test_a_cold_start_without_the_provider_is_503_and_recovers(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    issuer.answer = lambda: (500, b"")
    assert await refused(issuer_keys, "k1") == errors.KEYS_DOWN
    issuer.answer = None
    clock.now += keys.COOLDOWN
    assert await issuer_keys.find("k1", "RS256", ISSUER)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": "none"}'),
        (200, b'{"keys": [1, null, {"kty": "oct", "k": "AAAA", "kid": "k1"}]}'),
        (200, b'{"keys": [], "keys": []}'),
        (200, b'{"x": "' + b"x" * 600_000 + b'"}'),
        (200, b"[" * 100_000),
        (302, b"http://127.0.0.1:1/elsewhere"),
        (404, b"{}"),
        (503, b"{}"),
    ],
)
async def test_a_bad_answer_never_replaces_good_keys(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock, answer: tuple[int, bytes]
) -> None:
    await issuer_keys.find("k1", "RS256", ISSUER)
    issuer.answer = lambda: answer
    clock.now += keys.COOLDOWN
    assert await refused(issuer_keys, "new") == errors.TOKEN_KEY
    assert issuer_keys.failure is not None
    assert await issuer_keys.find("k1", "RS256", ISSUER)


async def test_discovery_must_name_the_issuer_it_was_asked_for(issuer: Issuer, clock: Clock) -> None:
    provider = provider_of(issuer, IDP__TEST__KIND="oidc", IDP__TEST__AUDIENCE="x")
    async with httpx.AsyncClient() as client:
        good = IssuerKeys(provider, client, clock)
        assert await good.find("k1", "RS256", ISSUER)
        issuer.answer = lambda: (200, json.dumps({"issuer": "https://x", "jwks_uri": f"{issuer.url}/keys"}).encode())
        bad = IssuerKeys(provider, client, clock)
        assert await refused(bad, "k1") == errors.KEYS_DOWN
        assert bad.failure == "discovery_issuer_differs"


async def test_what_becomes_of_a_set_is_a_line_in_the_log(
    issuer: Issuer, issuer_keys: IssuerKeys, clock: Clock
) -> None:
    async def logged() -> list[dict[str, Any]]:
        clock.now += keys.COOLDOWN
        with capture_logs() as logs:
            await refused(issuer_keys, "unknown")
        return [dict(entry) for entry in logs]

    changed = {"event": "signing_keys_changed", "log_level": "info", "provider": "test"}
    assert await logged() == [{**changed, "keys": 1}]
    assert (issuer_keys.age, issuer_keys.state, issuer_keys.failure) == (0, "ok", None)
    assert await logged() == []
    issuer.keys = [issuer.key.jwk(), SigningKey("k2").jwk()]
    assert await logged() == [{**changed, "keys": 2}]
    issuer.answer = lambda: (404, b"{}")
    (failed,) = await logged()
    assert (failed.pop("remedy"), failed) == (
        issuer_keys.told,
        {
            "event": "signing_keys_fetch_failed",
            "log_level": "warning",
            "provider": "test",
            "age": keys.COOLDOWN,
            "reason": "status_404",
        },
    )
    assert (issuer_keys.age, issuer_keys.state, issuer_keys.failure) == (keys.COOLDOWN, "stale", "status_404")
    issuer.answer, issuer.keys = None, [issuer.key.jwk(use="enc"), SigningKey("k3").jwk(alg="PS256")]
    assert await logged() == [
        {
            "event": "signing_keys_unusable",
            "log_level": "warning",
            "provider": "test",
            "wanted": "RS256",
            "left_out": "1 of 2 algorithm, 1 of 2 use",
            "age": 2 * keys.COOLDOWN,
        }
    ]
    assert issuer_keys.failure == "no_usable_key"
    any_kind = provider_of(issuer, IDP__TEST__KIND="oidc", IDP__TEST__AUDIENCE="x", IDP__TEST__JWKS_URL=issuer.url)
    async with httpx.AsyncClient() as client:
        with capture_logs() as logs:
            await refused(IssuerKeys(any_kind, client), "k1")
    assert [entry["wanted"] for entry in logs] == ["ES256 or ES384 or ES512 or RS256 or RS384 or RS512"]


async def test_a_mistake_of_ours_in_a_fetch_is_no_outage(
    issuer_keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(keys, "usable_keys", mistaken)
    with pytest.raises(RuntimeError, match="ours"):
        await issuer_keys.find("k1", "RS256", ISSUER)


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"kty": "EC"},
        {"kty": "oct"},
        {"d": "AAAA"},
        {"n": "AQAB"},
        {"n": "A" * 1600},
        {"e": "A" * 40},
        {"n": 5},
        {"e": None},
        {"kid": 7},
        {"kid": "x" * 300},
    ],
)
def test_an_unfit_key_loses_itself_and_no_other(changes: dict[str, Any]) -> None:
    good, unfit = SigningKey("good"), SigningKey("unfit")
    table = usable_keys({"keys": [unfit.jwk(**changes), good.jwk()]}, frozenset({"RS256"}))
    assert set(table) == {("good", "RS256")}


def test_a_point_that_is_not_on_its_curve_is_no_key() -> None:
    curve = SigningKey("curve", curve=True)
    off = curve.jwk(y=curve.jwk()["x"], kid="off")
    assert set(usable_keys({"keys": [off, curve.jwk()]}, frozenset({"ES256"}))) == {("curve", "ES256")}


def test_weak_and_ambiguous_keys_are_left_out() -> None:
    weak, good, curve = SigningKey("weak", bits=1024), SigningKey("good"), SigningKey("curve", curve=True)
    entries = [weak.jwk(), good.jwk(), curve.jwk(), curve.jwk(kid="p384", crv="P-384")]
    assert set(usable_keys({"keys": entries}, frozenset({"RS256", "ES256"}))) == {("good", "RS256"), ("curve", "ES256")}
    assert usable_keys({"keys": [good.jwk(), SigningKey("good").jwk()]}, frozenset({"RS256"})) == {}


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([{"use": "enc", "alg": "RSA-OAEP"}], id="one for encryption"),
        pytest.param([{"alg": "RS512"}], id="one for another algorithm"),
        pytest.param([{}], id="the same again"),
        pytest.param([{}, {"use": "enc"}, {}], id="all of it"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_entries_that_share_a_key_id_lose_only_what_could_not_verify(others: list[dict[str, Any]], first: bool) -> None:
    good, other = SigningKey("shared"), SigningKey("shared")
    entries = [(good if change == {} else other).jwk(**change) for change in others]
    published = [good.jwk(), *entries] if first else [*entries, good.jwk()]
    key = usable_keys({"keys": published}, frozenset({"RS256"}))["shared", "RS256"][""]
    assert key.to_dict()["n"] == good.jwk()["n"]


def test_two_different_keys_under_one_id_stay_out_whatever_follows() -> None:
    one, two = SigningKey("k").jwk(), SigningKey("k").jwk()
    for published in ([one, two], [one, two, one], [one, one, two], [one, two, two]):
        assert usable_keys({"keys": published}, frozenset({"RS256"})) == {}


def test_a_member_that_is_null_counts_as_absent() -> None:
    bare = dict.fromkeys(("use", "alg", "key_ops", "d", "crv", "x5c"))
    assert set(usable_keys({"keys": [SigningKey("k").jwk(**bare)]}, frozenset({"RS256"}))) == {("k", "RS256")}
