"""Key sets as providers really publish them: what can verify is used, for whom it is meant, and the rest is named."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service.auth import errors
from service.auth.providers import rsa
from service.auth.providers.presets import configured
from service.auth.settings import AuthSettings
from service.auth.tokens.claims import check_subject
from service.auth.tokens.judge import Authenticator, ExternalIssuers
from service.auth.tokens.key_set import key_for, usable_keys
from service.auth.tokens.keys import IssuerKeys
from service.errors import ApiError
from service.settings import load
from tests.support.api.environments import AUTH, DEVELOPMENT
from tests.support.idp.issuer import Issuer, SigningKey, b64, provider_of, sign

pytestmark = pytest.mark.anyio
RS256 = frozenset({"RS256"})
ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"
ONE, OTHER = "72f988bf-86f1-41af-91ab-2d7cd011db47", "9188040d-6c67-4c5b-b112-36a304b66dad"
# Made as Infineon's library made its primes (Nemec and others, CCS 2017, section 2.1).
INFINEON = int(
    "8d2348b6a9c2d2edd5ba6d5052738b077e980713025644ccf3c543ab246a3497d3213e90a0d16e5493960e2fd18cfbffdea93bcbdc32a0ba9"
    "abe3f0fd5cb1d55956e44f400d07344bf5c382cb3b42d1b099db7655570f6f29cfa897a8e824fde4a84640d2a135898b9aab3ad2b5d583fb7"
    "3ef6d4a93384a50066702619f23f90a6cfdeed182df1adc8dc4c226f3c452fa51e7cd8620990be2c30953c023cf50c99bc72155f02f097ba0"
    "07e32930d21717d435597ae7cb05a11cf2420538f42b9a0869df0ea193ee1e9a439d0187d3d387c7a1e8b8b44c88b2139c7ef477055769905"
    "eebbbe4f66000f5b57d8b02365b2daa09fc8d9a2981dae619f41e6fc4e11",
    16,
)


def padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def plain(text: str) -> str:
    """Plain base64, as a library writes that knows no other."""
    return padded(text).replace("-", "+").replace("_", "/")


@pytest.mark.parametrize("curve", [False, True], ids=["rsa", "curve"])
@pytest.mark.parametrize(
    "spell",
    [padded, plain, lambda text: text + "=", lambda text: "AAAA" + text],
    ids=["padded", "plain base64", "padded wrongly", "zeros in front"],
)
def test_numbers_are_read_however_they_are_padded(spell: Any, curve: bool) -> None:
    key = SigningKey("k", curve=curve)
    entry = key.jwk()
    members = {name: spell(entry[name]) for name in ("n", "e", "x", "y") if name in entry}
    found = key_for(usable_keys({"keys": [{**entry, **members}]}, frozenset({key.alg})), "k", key.alg, "x")
    assert found is not None
    assert found.verify(b"message", key.sign(b"message"))


@pytest.mark.parametrize("number", ["A B=", "=", "==AQAB", "AQ=AB", "AQAB====", "\u0661" * 400, "", [], {}, True])
def test_a_number_that_is_none_loses_its_key_and_no_other(number: object) -> None:
    good = SigningKey("good").jwk()
    for name in ("n", "e"):
        assert set(usable_keys({"keys": [{**good, "kid": "bad", name: number}, good]}, RS256)) == {("good", "RS256")}


def test_a_key_that_can_be_factored_because_of_how_it_was_made_is_refused() -> None:
    assert rsa.unfit(INFINEON, 65537) == "roca"
    number = SigningKey("x").jwk()
    raw = INFINEON.to_bytes(256)
    assert usable_keys({"keys": [{**number, "n": b64(raw)}]}, RS256) == {}
    for _ in range(5):
        public = SigningKey("sound").private.public_key().public_numbers()
        assert rsa.unfit(public.n, public.e) is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("modulus", "exponent"), [(1 << 2046, 65537), (1 << 2047, 1), (1 << 8192, 3), (1 << 2047, 1 << 64)]
)
def test_a_key_that_is_weak_or_slow_is_refused(modulus: int, exponent: int) -> None:
    assert rsa.unfit(modulus, exponent) in ("weak", "huge")


def scoped(kid: str, issuer: object) -> dict[str, Any]:
    return SigningKey(kid).jwk(issuer=issuer)


@pytest.mark.parametrize(
    ("published", "issuer", "fits"),
    [
        (ENTRA, ENTRA.replace("{tenantid}", ONE), True),
        (ENTRA, ENTRA.replace("{tenantid}", OTHER), True),
        (ENTRA.replace("{tenantid}", ONE), ENTRA.replace("{tenantid}", ONE), True),
        (ENTRA.replace("{tenantid}", ONE), ENTRA.replace("{tenantid}", OTHER), False),
        (ENTRA, ENTRA.replace("{tenantid}", "acme"), False),
        (ENTRA, ENTRA.replace("{tenantid}", ONE).replace("online", "elsewhere"), False),
        (None, "https://any.example", True),
        ("", "https://any.example", False),
        (7, "https://any.example", False),
        (["https://any.example"], "https://any.example", False),
    ],
)
def test_a_key_that_is_for_one_issuer_verifies_for_no_other(published: object, issuer: str, fits: bool) -> None:
    table = usable_keys({"keys": [scoped("k", published)]}, RS256)
    assert bool(key_for(table, "k", "RS256", issuer)) is fits
    assert bool(key_for(table, None, "RS256", issuer)) is fits


def test_keys_for_different_issuers_do_not_compete_for_a_key_id() -> None:
    one, other = (ENTRA.replace("{tenantid}", tenant) for tenant in (ONE, OTHER))
    keys = [scoped("k", one), scoped("k", other)]
    table = usable_keys({"keys": keys}, RS256)
    found = [key_for(table, "k", "RS256", issuer) for issuer in (one, other)]
    assert [key.to_dict()["n"] for key in found if key] == [entry["n"] for entry in keys]
    # One for everybody and one for this issuer, under one id, would be a choice; the same key twice is none.
    both = usable_keys({"keys": [*keys, SigningKey("k").jwk()]}, RS256)
    assert key_for(both, "k", "RS256", one) is None
    twice = usable_keys({"keys": [keys[0], {**keys[0], "issuer": None}]}, RS256)
    assert key_for(twice, "k", "RS256", one)


async def test_entras_set_for_all_organisations_signs_for_each_with_its_own_keys(issuer: Issuer) -> None:
    ours, theirs = SigningKey("ours"), SigningKey("theirs")
    issuer.keys = [ours.jwk(issuer=ENTRA), theirs.jwk(issuer=ENTRA.replace("{tenantid}", OTHER))]
    variables = {
        "KIND": "entra",
        "ISSUER": "https://login.microsoftonline.com/organizations/v2.0",
        "AUDIENCE": "api",
        "TENANTS": f"{ONE}=acme",
        "JWKS_URL": f"{issuer.url}/keys",
    }
    (provider,) = configured(
        load(DEVELOPMENT | {f"IDP__X__{name}": value for name, value in variables.items()}, AUTH).of(AuthSettings)
    )
    made = int(time.time())
    # As Entra ID writes it: iat and nbf five minutes early, exp an hour after the token was made.
    claims = {
        "aud": "api",
        "iss": ENTRA.replace("{tenantid}", ONE),
        "iat": made - 300,
        "nbf": made - 300,
        "exp": made + 3600,
        "aio": "AXQAi/8IAAAA",
        "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "azpacr": "1",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "scp": "access_as_user",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": ONE,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    }

    async def judged(key: SigningKey, **changes: object) -> str:
        head = {"typ": "JWT", "alg": "RS256", "kid": key.kid}
        token = sign(key, json.dumps(head).encode(), json.dumps({**claims, **changes}).encode())
        try:
            await gate.verify(token)
        except ApiError as refusal:
            return refusal.error.code
        return ""

    async with httpx.AsyncClient() as client:
        gate = Authenticator([ExternalIssuers([IssuerKeys(provider, client)])])
        assert await judged(ours) == ""
        assert await judged(theirs) == errors.TOKEN_KEY.code
        # Without a policy for the API's registration it makes them 60 to 90 minutes long.
        assert await judged(ours, exp=made + 4500) == errors.TOKEN_LIFETIME.code


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"use": "enc"}, {"use": "enc", "kid": "b"}], "2 of 2 use"),
        ([{"alg": "PS256"}, {"n": "AQAB"}], "1 of 2 algorithm, 1 of 2 weak"),
        ([], "no entries"),
        ("none", "no entries"),
    ],
)
async def test_a_set_without_a_usable_key_is_called_that_and_never_unfetchable(
    issuer: Issuer, entries: Any, told: str
) -> None:
    key = SigningKey("a")
    issuer.keys = [key.jwk(**entry) for entry in entries] if isinstance(entries, list) else entries
    async with httpx.AsyncClient() as client:
        with capture_logs() as logs, pytest.raises(ApiError) as refused:
            await IssuerKeys(provider_of(issuer), client).find("a", "RS256", issuer.url)
    assert (refused.value.error, refused.value.reason) == (errors.KEYS_UNUSABLE, "no_usable_key")
    assert refused.value.error.status == 503
    assert "cannot be fetched" not in refused.value.error.detail
    assert [(e["event"], e.get("left_out")) for e in logs] == [("signing_keys_unusable", told)]


@pytest.mark.parametrize(
    "blank", [" ", "   ", "\u3164", "\u2800 \u2800", "\u115f\u1160", "\uffa0", "\u3000", "\u00a0", "\u200b"]
)
def test_a_subject_that_a_reader_sees_nothing_of_is_refused(blank: str) -> None:
    with pytest.raises(ApiError) as refused:
        check_subject({"sub": blank})
    assert refused.value.error is errors.TOKEN_CLAIM
    assert check_subject({"sub": f"a{blank[:1]}b"} if blank.isprintable() else {"sub": "a"})
