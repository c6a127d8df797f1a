"""The rules for tokens one by one, each to its limit and a step beyond, without a provider that has to be asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from jose import jwk

from service.auth import errors
from service.auth.providers.presets import Provider
from service.auth.tokens.claims import LEEWAY, audiences, check_subject, check_times, scopes_of
from service.auth.tokens.judge import (
    Authenticator,
    ExternalIssuers,
    check_accepted,
    check_audience,
    check_signature,
)
from service.auth.tokens.key_set import key_for, reasons, usable_keys
from service.auth.tokens.principal import principal_of, tenant_of
from service.auth.tokens.remembered import RememberedTokens
from service.auth.tokens.unverified import MAX_TOKEN_BYTES, UnverifiedToken
from service.errors import ApiError, Error
from service.tenancy import TenantId
from tests.support.idp.issuer import Issuer, SigningKey, b64, first_key, provider_of, sign

pytestmark = pytest.mark.anyio
NOW, HOUR = 1_764_000_000, 3600


def refusal(call: Any, *args: Any, **options: Any) -> tuple[Error, str | None] | None:
    try:
        call(*args, **options)
    except ApiError as refused:
        return refused.error, refused.reason
    return None


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({}, None, None),
        ({"exp": NOW - LEEWAY + 1}, None, None),
        ({"exp": NOW - LEEWAY}, errors.TOKEN_EXPIRED, None),
        ({"exp": NOW - 1000}, errors.TOKEN_CLAIM, "iat"),
        ({"iat": NOW + LEEWAY}, None, None),
        ({"iat": NOW + LEEWAY + 1}, errors.TOKEN_EARLY, None),
        ({"nbf": NOW + LEEWAY}, None, None),
        ({"nbf": NOW + LEEWAY + 1}, errors.TOKEN_EARLY, None),
        ({"nbf": None}, errors.TOKEN_CLAIM, "nbf"),
        ({"iat": NOW + 60, "exp": NOW + 60}, errors.TOKEN_CLAIM, "iat"),
        ({"iat": NOW + 60 - HOUR, "exp": NOW + 60}, None, None),
        ({"iat": NOW + 59 - HOUR, "exp": NOW + 60}, errors.TOKEN_LIFETIME, None),
        ({"iat": NOW + LEEWAY, "exp": NOW + LEEWAY + HOUR}, None, None),
        ({"exp": True}, errors.TOKEN_CLAIM, "exp"),
        ({"exp": str(NOW)}, errors.TOKEN_CLAIM, "exp"),
        ({"exp": 0}, errors.TOKEN_CLAIM, "exp"),
        ({"exp": 1 << 40}, errors.TOKEN_CLAIM, "exp"),
        ({"exp": (1 << 40) - 1}, errors.TOKEN_LIFETIME, None),
        ({"iat": 0}, errors.TOKEN_CLAIM, "iat"),
        ({"iat": 1, "exp": 2}, errors.TOKEN_EXPIRED, None),
        ({"iat": 0.5, "exp": 2}, errors.TOKEN_EXPIRED, None),
    ],
)
def test_times_hold_to_the_second(changes: dict[str, Any], error: Error | None, reason: str | None) -> None:
    claims = {"iat": NOW - 60, "exp": NOW + 60, **changes}
    assert refusal(check_times, claims, NOW, HOUR) == (None if error is None else (error, reason))


def test_a_backdated_token_may_be_longer_and_may_not_end_later() -> None:
    token = {"iat": NOW - 300, "exp": NOW + HOUR}
    assert check_times(token, NOW, HOUR, 300) == NOW + HOUR
    assert refusal(check_times, token, NOW, HOUR, 299) == (errors.TOKEN_LIFETIME, None)
    late = {"iat": NOW, "exp": NOW + HOUR + LEEWAY}
    assert check_times({**late, "exp": late["exp"] + 0.9}, NOW + 0.9, HOUR, 300) == NOW + HOUR + LEEWAY
    assert refusal(check_times, {**late, "exp": late["exp"] + 1}, NOW, HOUR, 300) == (errors.TOKEN_LIFETIME, None)


@pytest.mark.parametrize(
    ("claims", "name", "longest", "reason"),
    [
        ({"sub": "x" * 255}, "sub", 255, None),
        ({"sub": "x" * 256}, "sub", 255, "sub"),
        ({"sub": "x" * 256}, "sub", 256, None),
        ({"oid": "x"}, "oid", 1, None),
        ({"sub": "x"}, "oid", 1, "oid"),
    ],
)
def test_a_subject_is_bounded(claims: dict[str, Any], name: str, longest: int, reason: str | None) -> None:
    assert refusal(check_subject, claims, name, longest) == (reason and (errors.TOKEN_CLAIM, reason))
    if name == "sub" and longest == 255:
        assert refusal(check_subject, claims) == (reason and (errors.TOKEN_CLAIM, reason))


def test_an_audience_is_a_text_or_a_list_of_texts() -> None:
    assert (audiences({"aud": "a"}), audiences({"aud": ["a", "b"]}), audiences({"aud": []})) == (["a"], ["a", "b"], [])
    for wrong in (None, 7, ["a", 7], {"a": 1}, ("a",)):
        assert refusal(audiences, {"aud": wrong}) == (errors.TOKEN_AUDIENCE, "aud_form")
    assert refusal(audiences, {}) == (errors.TOKEN_AUDIENCE, "aud_form")


@pytest.mark.parametrize(
    ("value", "scopes"),
    [
        ("a b", {"a", "b"}),
        (" a  a ", {"a"}),
        (["a", "b c", ""], {"a", "b c"}),
        (["a", 7], set()),
        (("a",), set()),
        (None, set()),
        ({"a": 1}, set()),
        ("", set()),
    ],
)
def test_scopes_have_two_forms(value: object, scopes: set[str]) -> None:
    assert scopes_of(value) == scopes


# --- structure -------------------------------------------------------------------------------------------------------


def test_a_token_is_taken_apart_and_nothing_is_lost() -> None:
    text = ".".join(map(b64, (b'{"alg":"x"}', b'{"iss":"y"}', b"signature")))
    token = UnverifiedToken.parse(text)
    assert (dict(token.header), dict(token.claims)) == ({"alg": "x"}, {"iss": "y"})
    assert (token.text, token.signing_input, token.signature) == (
        b'{"iss":"y"}',
        text.rpartition(".")[0].encode(),
        b"signature",
    )
    with pytest.raises(TypeError):
        token.header["alg"] = "none"  # type: ignore[index]


def test_a_token_is_bounded_before_anything_is_read_of_it() -> None:
    most = f"{b64(b'{}')}.{b64(b'{%s}' % (b' ' * 12_280))}.{b64(b'ss')}"
    assert len(most) == MAX_TOKEN_BYTES
    assert UnverifiedToken.parse(most).signature == b"ss"
    assert refusal(UnverifiedToken.parse, most[:-3] + b64(b"sss")) == (errors.TOKEN_MALFORMED, None)
    assert refusal(UnverifiedToken.parse, "x" * MAX_TOKEN_BYTES + ".x.x") == (errors.TOKEN_MALFORMED, None)


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c"])
def test_a_header_that_changes_what_is_signed_or_brings_a_key_is_refused(name: str) -> None:
    text = f"{b64(json.dumps({'alg': 'RS256', name: None}).encode())}.{b64(b'{}')}.{b64(b'x')}"
    assert refusal(UnverifiedToken.parse, text) == (errors.TOKEN_HEADER, None)


# --- signature, kind, audience ---------------------------------------------------------------------------------------


class Held:
    """Keys of a provider, which note what they are asked for."""

    def __init__(self, provider: Provider, key: Any = None) -> None:
        self.provider = provider
        self.key = key or jwk.construct(first_key().jwk(), "RS256")
        self.asked: list[tuple[Any, ...]] = []

    async def find(self, kid: str | None, algorithm: str, issuer: str) -> Any:
        self.asked.append((kid, algorithm, issuer))
        return self.key

    def holds(self, key: Any, kid: str | None, algorithm: str, issuer: str) -> bool:
        self.asked.append((key, kid, algorithm, issuer))
        return True


class Site:
    """Stands for an issuer in ``provider_of``, which needs no more of it."""

    def __init__(self, url: str = "https://idp.example.com", kind: str = "cognito") -> None:
        self.url, self.kind = url, kind

    def environment(self) -> dict[str, str]:
        return {
            "IDP__TEST__KIND": self.kind,
            "IDP__TEST__ISSUER": self.url,
            "IDP__TEST__CLIENT_ID": "test-client",
        }


SITE = Site()


def provider(site: Site = SITE, /, **variables: str) -> Provider:
    return provider_of(cast(Issuer, site), **variables)


def token(header: Mapping[str, Any] | None = None, **claims: Any) -> UnverifiedToken:
    return UnverifiedToken.parse(written(header, **claims))


def written(header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    head = {"alg": "RS256", "kid": "k1", "typ": "JWT", **(header or {})}
    head = {name: value for name, value in head.items() if value is not ...}
    said = {
        "iss": "https://idp.example.com",
        "sub": "alice",
        "client_id": "test-client",
        "token_use": "access",
        "tenant_id": "acme",
        "iat": NOW,
        "exp": NOW + 60,
        **claims,
    }
    said = {name: value for name, value in said.items() if value is not ...}
    return sign(first_key(), json.dumps(head).encode(), json.dumps(said).encode())


TYPES = frozenset({"", "jwt"})


async def signature_of(
    unverified: UnverifiedToken, held: Held, types: frozenset[str] = TYPES, algorithms: frozenset[str] | None = None
) -> Any:
    try:
        return await check_signature(unverified, held, types, algorithms)
    except ApiError as refused:
        return refused.error, refused.reason


async def test_the_key_is_asked_for_and_held_by_all_that_names_it() -> None:
    held = Held(provider())
    holds = await signature_of(token(), held)
    assert holds() is True
    assert held.asked == [
        ("k1", "RS256", "https://idp.example.com"),
        (held.key, "k1", "RS256", "https://idp.example.com"),
    ]


@pytest.mark.parametrize(
    ("header", "error", "reason"),
    [
        ({"kid": ...}, None, None),
        ({"kid": None}, None, None),
        ({"kid": "x" * 256}, None, None),
        ({"kid": "x"}, None, None),
        ({"kid": "x" * 257}, errors.TOKEN_HEADER, "kid"),
        ({"kid": ""}, errors.TOKEN_HEADER, "kid"),
        ({"kid": 7}, errors.TOKEN_HEADER, "kid"),
        ({"alg": "RS512"}, errors.TOKEN_HEADER, "algorithm"),
        ({"alg": ["RS256"]}, errors.TOKEN_HEADER, "algorithm"),
        ({"alg": ...}, errors.TOKEN_HEADER, "algorithm"),
        ({"typ": ...}, None, None),
        ({"typ": "jWt"}, None, None),
        ({"typ": "at+jwt"}, errors.TOKEN_KIND, "typ"),
        ({"typ": ["JWT"]}, errors.TOKEN_KIND, "typ"),
        ({"typ": None}, errors.TOKEN_KIND, "typ"),
    ],
)
async def test_a_header_is_judged_before_a_key_is_looked_for(
    header: dict[str, Any], error: Error | None, reason: str | None
) -> None:
    held = Held(provider())
    found = await signature_of(token(header), held)
    assert (callable(found), bool(held.asked)) == ((True, True) if error is None else (False, False))
    assert error is None or found == (error, reason)


async def test_which_algorithms_are_allowed_can_be_narrowed() -> None:
    held = Held(provider())
    assert callable(await signature_of(token(), held, algorithms=frozenset({"RS256"})))
    assert await signature_of(token(), held, algorithms=frozenset()) == (errors.TOKEN_HEADER, "algorithm")


class Answers:
    """A key whose check of a signature ends as it is told."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.given: list[tuple[bytes, bytes]] = []

    def verify(self, signed: bytes, signature: bytes) -> object:
        self.given.append((signed, signature))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [False, None, 1, ValueError("length"), RuntimeError("any")])
async def test_only_a_plain_yes_of_the_key_is_one(answer: object) -> None:
    key = Answers(answer)
    assert await signature_of(token(), Held(provider(), key)) == (errors.TOKEN_SIGNATURE, None)
    assert key.given == [(token().signing_input, token().signature)]


async def test_a_header_that_only_tokens_for_others_have_is_refused() -> None:
    entra = provider(
        Site("https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", "entra"),
        IDP__TEST__AUDIENCE="api",
        IDP__TEST__TENANTS="72f988bf-86f1-41af-91ab-2d7cd011db47=acme",
    )
    assert entra.preset.refused_headers
    for name in entra.preset.refused_headers:
        assert await signature_of(token({name: "x"}), Held(entra)) == (errors.TOKEN_KIND, "header")


def test_what_makes_a_token_one_for_others_is_told() -> None:
    cognito, oidc = provider(), provider(Site(kind="oidc"), IDP__TEST__AUDIENCE="api")
    assert refusal(check_accepted, token(), cognito) is None
    assert refusal(check_accepted, token(token_use="id"), cognito) == (errors.TOKEN_KIND, "token_use")
    assert refusal(check_accepted, token(token_use=...), cognito) == (errors.TOKEN_KIND, "token_use")
    assert refusal(check_accepted, token(nonce="n"), oidc) == (errors.TOKEN_KIND, "id_token")
    assert refusal(check_accepted, token(cnf=None), cognito) == (errors.TOKEN_BOUND, None)


@pytest.mark.parametrize(
    ("claims", "settings", "reason"),
    [
        ({"client_id": "test-client"}, {}, None),
        ({"client_id": "other"}, {}, "client_id"),
        ({"client_id": ["test-client"]}, {}, "client_id"),
        ({}, {}, "client_id"),
        ({"aud": "api"}, {"KIND": "oidc", "AUDIENCE": "api", "CLIENT_ID": ""}, None),
        ({"aud": ["x", "api"]}, {"KIND": "oidc", "AUDIENCE": "api", "CLIENT_ID": ""}, None),
        ({"aud": "x"}, {"KIND": "oidc", "AUDIENCE": "api", "CLIENT_ID": ""}, "aud"),
        ({"aud": "api", "client_id": "other"}, {"KIND": "oidc", "AUDIENCE": "api"}, "client_id"),
        ({"aud": "api", "azp": "other", "client_id": "test-client"}, {"KIND": "oidc", "AUDIENCE": "api"}, "azp"),
        ({"aud": "api", "azp": "test-client"}, {"KIND": "oidc", "AUDIENCE": "api"}, None),
        ({"aud": "api"}, {"KIND": "oidc", "AUDIENCE": "api"}, "client_id"),
    ],
)
def test_a_token_is_for_us_by_its_audience_and_by_its_client(
    claims: dict[str, Any], settings: dict[str, str], reason: str | None
) -> None:
    known = provider(SITE, **{f"IDP__TEST__{name}": value for name, value in settings.items()})
    found = refusal(check_audience, claims, known)
    assert (found and found[0], found and found[1]) == (reason and errors.TOKEN_AUDIENCE, reason)


# --- the whole -------------------------------------------------------------------------------------------------------


def judged_by(*held: Held, now: float = NOW) -> Authenticator:
    return Authenticator([ExternalIssuers(held, now=lambda: now)])


async def test_what_was_verified_is_said_in_full() -> None:
    held = Held(provider())
    verified = await judged_by(held).verify(written(scope="a b", more=[1]))
    assert (verified.provider, verified.issuer, verified.subject) == (
        held.provider,
        "https://idp.example.com",
        "alice",
    )
    assert (verified.expires_at, verified.scopes, verified.claims["more"]) == (
        NOW + 60,
        frozenset({"a", "b"}),
        [1],
    )
    assert verified.holds() is True
    assert json.loads(verified.text) == dict(verified.claims)
    found = principal_of(verified)
    assert (found.tenant, found.subject, found.issuer, found.provider, found.expires_at, found.scopes) == (
        TenantId.parse("acme"),
        "alice",
        "https://idp.example.com",
        "test",
        NOW + 60,
        frozenset({"a", "b"}),
    )
    assert dict(found.claims) == dict(verified.claims)
    with pytest.raises(TypeError):
        found.claims["more"] = 2  # type: ignore[index]
    other = {"tenant_id": "globex"}
    assert principal_of(verified, other).claims is other
    assert principal_of(verified, other).tenant == "acme"


async def test_claims_without_the_seal_are_none() -> None:
    verified = await judged_by(Held(provider())).verify(written())
    assert replace(verified) == verified
    with pytest.raises(TypeError):
        replace(verified, seal=object())


async def test_each_strategy_is_asked_until_one_knows_the_issuer() -> None:
    asked: list[str] = []

    class Named:
        def __init__(self, name: str, found: Any) -> None:
            self.name, self.found = name, found

        async def verify(self, unverified: UnverifiedToken) -> Any:
            asked.append(self.name)
            assert unverified.claims["sub"] == "alice"
            return self.found

    known: Any = object()
    assert await Authenticator([Named("a", None), Named("b", known), Named("c", None)]).verify(written()) is known
    assert asked == ["a", "b"]
    with pytest.raises(ApiError) as refused:
        await Authenticator([Named("a", None)]).verify(written())
    assert (refused.value.error, refused.value.reason) == (errors.TOKEN_ISSUER, None)


ONE, OTHER = "72f988bf-86f1-41af-91ab-2d7cd011db47", "9188040d-6c67-4c5b-b112-36a304b66dad"


def entra(tenant: str) -> Held:
    site = Site(f"https://login.microsoftonline.com/{tenant}/v2.0", "entra")
    return Held(provider(site, IDP__TEST__AUDIENCE="api", IDP__TEST__TENANTS=f"{ONE}=acme"))


def test_the_keys_are_those_of_the_issuer_that_is_named() -> None:
    plain, many = Held(provider()), entra("organizations")
    issuers = ExternalIssuers([plain, many])
    mine = f"https://login.microsoftonline.com/{ONE}/v2.0"
    assert issuers.source({"iss": "https://idp.example.com"}) is plain
    assert issuers.source({"iss": mine, "tid": ONE}) is many
    for other in (
        {"iss": mine, "tid": OTHER},
        {"iss": mine},
        {"iss": mine, "tid": ["x"]},
        {"iss": many.provider.issuer, "tid": ONE},
        {"iss": many.provider.issuer},
        {"iss": "https://idp.example.com/"},
        {"iss": ["https://idp.example.com"]},
        {"iss": None},
        {},
    ):
        assert issuers.source(other) is None, other


@pytest.mark.parametrize(
    ("claims", "settings", "error", "reason"),
    [
        ({}, {}, errors.TENANT_MISSING, None),
        ({"tenant_id": None}, {}, errors.TENANT_MALFORMED, None),
        ({"tenant_id": "a b"}, {}, errors.TENANT_MALFORMED, None),
        ({"tenant_id": "acme", "organization_id": "acme"}, {}, None, None),
        ({"tenant_id": "acme", "organization_id": "globex"}, {}, errors.TENANT_AMBIGUOUS, None),
        ({"organization_id": "acme"}, {}, None, None),
        ({"tenant_id": "acme"}, {"TENANTS": "acme,globex"}, None, None),
        ({"tenant_id": "initech"}, {"TENANTS": "acme,globex"}, errors.TENANT_FORBIDDEN, None),
        ({"tenant_id": "clinic"}, {"TENANTS": "clinic=acme"}, None, None),
        ({"tenant_id": "acme"}, {"TENANTS": "clinic=acme"}, errors.TENANT_FORBIDDEN, "not_mapped"),
        ({"tenant_id": ["clinic"]}, {"TENANTS": "clinic=acme"}, errors.TENANT_FORBIDDEN, "not_mapped"),
    ],
)
def test_whose_token_it_is(
    claims: dict[str, Any], settings: dict[str, str], error: Error | None, reason: str | None
) -> None:
    known = provider(SITE, **{f"IDP__TEST__{name}": value for name, value in settings.items()})
    if error is None:
        assert tenant_of(claims, known) == "acme"
    else:
        assert refusal(tenant_of, claims, known) == (error, reason)


def test_a_tenant_may_stand_within_a_claim() -> None:
    deep = provider(Site(kind="oidc"), IDP__TEST__AUDIENCE="api", IDP__TEST__TENANT_CLAIM='["a", "b"]')
    assert tenant_of({"a": {"b": "acme"}}, deep) == "acme"
    elsewhere: list[dict[str, Any]] = [{"a": "b"}, {"a": {}}, {"b": "acme"}, {"a": ["b"]}, {"a": None}]
    for missing in elsewhere:
        assert refusal(tenant_of, missing, deep) == (errors.TENANT_MISSING, None)
    assert refusal(tenant_of, {"a": {"b": None}}, deep) == (errors.TENANT_MALFORMED, None)


# --- remembered ------------------------------------------------------------------------------------------------------


def gate(remembered: int, now: list[float], held: Held | None = None) -> RememberedTokens:
    judge = Authenticator([ExternalIssuers([held or Held(provider())], now=lambda: now[0])])
    return RememberedTokens(judge, remembered=remembered, now=lambda: now[0])


def long(length: int) -> str:
    """A good token of about so many characters, never more."""
    room = length - len(written(filler=""))
    return written(filler="x" * (room * 3 // 4))


async def test_how_many_are_remembered_is_what_the_setting_says() -> None:
    now: list[float] = [NOW]
    tokens = [written(sub=f"user-{number}") for number in range(3)]
    for most in (0, 1, 2, 3):
        table = gate(most, now)
        for one in tokens:
            await table.admit(one)
        kept = [table.known(one.encode()) is not None for one in tokens]
        assert kept == [number >= 3 - most for number in range(3)]


async def test_what_is_used_stays_and_what_is_not_goes_first() -> None:
    table, tokens = gate(2, [NOW]), [written(sub=f"user-{number}") for number in range(3)]
    await table.admit(tokens[0])
    await table.admit(tokens[1])
    assert table.known(tokens[0].encode())
    await table.admit(tokens[2])
    assert [bool(table.known(one.encode())) for one in tokens] == [True, False, True]


async def test_a_token_is_remembered_to_its_end_and_the_leeway_and_no_longer() -> None:
    now: list[float] = [NOW]
    table, ends = gate(5, now), NOW + 60 + LEEWAY
    one = written()
    first = await table.admit(one)
    now[0] = ends - 1
    assert table.known(one.encode()) is first is await table.admit(one)
    now[0] = ends
    assert table.known(one.encode()) is None
    now[0] = NOW
    assert table.known(one.encode()) is None  # forgotten, and not only passed over


async def test_a_token_whose_key_is_gone_is_forgotten() -> None:
    class Gone(Held):
        gone = False

        def holds(self, *_: Any) -> bool:
            return not self.gone

    held = Gone(provider())
    table, one = gate(5, [NOW], held), written()
    await table.admit(one)
    assert table.known(one.encode())
    held.gone = True
    assert table.known(one.encode()) is None
    held.gone = False
    assert table.known(one.encode()) is None


async def test_what_has_ended_goes_first_though_there_is_room() -> None:
    now: list[float] = [NOW]
    table = gate(5, now)
    old, new = written(sub="old"), written(sub="new", exp=NOW + 600)
    await table.admit(old)
    now[0] = NOW + 60 + LEEWAY
    await table.admit(new)
    now[0] = NOW
    assert table.known(old.encode()) is None
    assert table.known(new.encode())


async def test_a_long_token_is_judged_and_not_kept_and_a_longer_one_is_not_judged() -> None:
    table = gate(5, [NOW])
    for length, kept in ((4096, True), (6000, False), (MAX_TOKEN_BYTES, False)):
        one = long(length)
        assert (await table.admit(one)).subject == "alice"
        assert (table.known(one.encode()) is not None) is kept
    with pytest.raises(ApiError) as refused:
        await table.admit(written(filler="x" * MAX_TOKEN_BYTES))
    assert (refused.value.error, refused.value.reason) == (errors.TOKEN_MALFORMED, None)
    with pytest.raises(ApiError):
        await table.admit("\ud800.a.b")


async def test_the_claims_of_a_remembered_token_are_those_that_were_signed() -> None:
    table, one = gate(5, [NOW]), written(more={"a": [1]})
    claims = (await table.admit(one)).claims
    assert dict(claims) == dict(UnverifiedToken.parse(one).claims)
    assert (len(claims), claims["more"], list(claims)[:2]) == (8, {"a": [1]}, ["iss", "sub"])


# --- key sets --------------------------------------------------------------------------------------------------------

RS256 = frozenset({"RS256"})
BOTH = frozenset({"RS256", "ES256"})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kid": 7}, "name"),
        ({"kid": "x" * 257}, "name"),
        ({"issuer": "x" * 257}, "name"),
        ({"issuer": ""}, "name"),
        ({"issuer": 7}, "name"),
        ({"use": "enc"}, "use"),
        ({"key_ops": "verify"}, "use"),
        ({"key_ops": ["sign"]}, "use"),
        ({"d": "AAAA"}, "private"),
        ({"n": "AQAB"}, "weak"),
        ({"e": "AQ"}, "weak"),
        ({"n": "!"}, "weak"),
        ({"kty": "oct"}, "type"),
        ({"kty": ...}, "type"),
        ({"alg": "RS512"}, "algorithm"),
        ({"kty": "EC"}, "type"),
        ({"kty": "EC", "crv": "P-192"}, "type"),
        ({"kty": "EC", "crv": "P-384"}, "algorithm"),
        ({"kty": "EC", "crv": "P-384", "alg": ...}, "algorithm"),
        ({"crv": "P-256", "alg": "ES256"}, "algorithm"),
        ({"crv": "P-256", "alg": "ES256", "kty": "EC", "x": "!", "y": "AQ"}, "unreadable"),
        ({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": "AQ", "y": "AQ"}, "unreadable"),
        (None, "type"),
        ({"kid": "x" * 256}, None),
        ({"kid": ...}, None),
        ({"issuer": "x" * 256}, None),
        ({"use": ..., "alg": ..., "key_ops": ["verify", "x"]}, None),
    ],
)
def test_why_an_entry_is_left_out_is_counted(changes: dict[str, Any] | None, why: str | None) -> None:
    entry: Any = changes
    if changes is not None:
        entry = {name: value for name, value in {**first_key().jwk(), **changes}.items() if value is not ...}
    document = {"keys": [entry]}
    assert reasons(document, BOTH) == ("" if why is None else f"1 of 1 {why}")
    assert bool(usable_keys(document, BOTH)) is (why is None)


def test_a_key_without_a_name_and_a_number_that_ends_in_any_character_are_read() -> None:
    entry = first_key().jwk(e="AAAX")  # 23
    del entry["kid"]
    table = usable_keys({"keys": [entry]}, RS256)
    assert {name: set(keys) for name, keys in table.items()} == {("", "RS256"): {""}}
    assert table["", "RS256"][""].to_dict()["e"] == "Fw"


def test_the_reasons_are_sorted_and_counted_over_all_entries() -> None:
    key = first_key().jwk()
    entries = [{**key, "use": "enc"}, {**key, "n": "AQAB"}, {**key, "use": "enc"}, SigningKey("k1").jwk(), key]
    assert reasons({"keys": entries}, RS256) == "1 of 5 ambiguous, 2 of 5 use, 1 of 5 weak"
    unreadable = {**SigningKey("c", curve=True).jwk(), "x": "AQ"}
    assert reasons({"keys": [unreadable, unreadable]}, BOTH) == "2 of 2 unreadable"
    others = [SigningKey("k1").jwk(), SigningKey("k1").jwk()]
    assert reasons({"keys": [key, *others]}, RS256) == "2 of 3 ambiguous"
    empty: list[dict[str, Any]] = [{}, {"keys": []}, {"keys": {}}, {"keys": "x"}, {"keys": None}]
    for none in empty:
        assert reasons(none, RS256) == "no entries"
        assert usable_keys(none, RS256) == {}


def test_a_hundred_entries_are_read_and_no_more() -> None:
    key = first_key().jwk()
    entries = [{**key, "kid": f"k{number}"} for number in range(101)]
    assert list(usable_keys({"keys": entries}, RS256)) == [(f"k{number}", "RS256") for number in range(100)]


def test_a_key_is_found_by_what_names_it() -> None:
    one, two, curve = SigningKey("one"), SigningKey("two"), SigningKey("one", curve=True)
    table = usable_keys({"keys": [one.jwk(), two.jwk(issuer="urn:i"), curve.jwk()]}, BOTH)

    def number(kid: str | None, algorithm: str, issuer: str) -> str | None:
        found = key_for(table, kid, algorithm, issuer)
        return None if found is None else found.to_dict().get("n", found.to_dict().get("x"))

    assert number("one", "RS256", "urn:any") == one.jwk()["n"]
    assert number("one", "ES256", "urn:any") == curve.jwk()["x"]
    assert number("two", "RS256", "urn:i") == two.jwk()["n"]
    assert number("two", "RS256", "urn:any") is None
    assert number("none", "RS256", "urn:any") is None
    assert number(None, "ES256", "urn:any") == curve.jwk()["x"]
    assert number(None, "RS256", "urn:any") == one.jwk()["n"]
    assert number(None, "RS256", "urn:i") is None  # two would do
    assert key_for(usable_keys({"keys": [one.jwk(), one.jwk(kid="x")]}, RS256), None, "RS256", "urn:i") is not None
    assert key_for({}, "one", "RS256", "urn:i") is None


def test_the_same_key_twice_is_one_and_another_under_its_name_is_a_choice() -> None:
    one, two = SigningKey("k").jwk(), SigningKey("k").jwk()
    table = usable_keys({"keys": [one, {**one, "kid": "again"}, {**one, "x5t": "x"}]}, RS256)
    assert table["k", "RS256"][""] is table["again", "RS256"][""]
    here = {**two, "issuer": "urn:i"}
    assert set(usable_keys({"keys": [one, here]}, RS256)["k", "RS256"]) == {"", "urn:i"}
    assert set(usable_keys({"keys": [one, here, two]}, RS256)["k", "RS256"]) == {"urn:i"}


def test_a_number_is_bounded_in_characters() -> None:
    key = first_key()
    raw = key.private.public_key().public_numbers().n.to_bytes(258)  # type: ignore[union-attr]
    for zeros, why in ((10_656, ""), (10_660, "1 of 1 weak")):
        number = "A" * zeros + b64(raw)
        assert reasons({"keys": [key.jwk(n=number)]}, RS256) == why, len(number)
        assert reasons({"keys": [key.jwk(n=number + "==")]}, RS256) == why
    for none in ("A", "A===", "=", "AQAB===", "AQ=AB"):
        assert reasons({"keys": [key.jwk(e=none)]}, RS256) == "1 of 1 weak"
