"""What is checked of a provider or a token, with what, and which rule fails: the steps of ``signalbox auth check``.

The service's own functions are replayed with the service's settings: a token goes through the gate itself, which tells
which rules it came to. No step holds the token, nor any claim that says who its bearer is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from service.auth import errors
from service.auth.advice import advice, advice_on_form, advice_on_issuer
from service.auth.providers import presets
from service.auth.providers.causes import cause_of, shown
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider
from service.auth.settings import AuthSettings
from service.auth.steps import CheckError, Step, failing, words
from service.auth.tokens.judge import Authenticator, ExternalIssuers
from service.auth.tokens.keys import IssuerKeys, usable_keys
from service.auth.tokens.principal import principal_of
from service.auth.tokens.unverified import UnverifiedToken
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import ApiError
from service.settings import Settings

_LOGOUT = {"cognito": "Cognito's", "auth0": "Auth0's", "none": "this provider has none"}


async def check_provider(settings: Settings, name: str) -> AsyncIterator[Step]:
    """Ask a provider for everything the service needs of it.

    Args:
        settings: The service's.
        name: Of the provider, lower case.

    Yields:
        Each step that is passed, as soon as it is.

    Raises:
        CheckError: At the first thing that does not fit.
    """
    providers = settings.of(AuthSettings).idp
    if name not in providers:
        known = ", ".join(providers)
        raise CheckError(f"There is no provider {name!r}: choose one of {known}, or set IDP__{name.upper()}__...")
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        if providers[name].kind == "saml":
            from service.auth.saml.check import check_saml  # lxml and xmlsec: imported only where SAML is configured

            steps = check_saml(settings, name, client)
        else:
            provider = next(entry for entry in presets.configured(settings.of(AuthSettings)) if entry.name == name)
            steps = _check_openid(settings, provider, client)
        async for step in steps:
            yield step


async def check_token(settings: Settings, text: str) -> AsyncIterator[Step]:
    """Send a token through the gate and tell each rule that it comes to.

    Args:
        settings: The service's.
        text: The token.

    Yields:
        Each step that is passed.

    Raises:
        CheckError: The gate refuses the token; the last rule that it came to is named.
    """
    reached, tenant, failure = ["structure"], "", None
    configured = presets.configured(settings.of(AuthSettings))
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        strategy = ExternalIssuers([IssuerKeys(provider, client) for provider in configured], reached=reached.append)
        try:
            verified = await Authenticator([strategy]).verify(text)
            reached.append("tenant")
            tenant = principal_of(verified).tenant
        except ApiError as refusal:
            failure = refusal
    known = {"structure": f"a compact JWS, its parts canonical, no member twice; {len(text)} characters"}
    if reached[-1] != "structure":
        reached.insert(1, "header")
        known |= _compared(settings, strategy, UnverifiedToken.parse(text), tenant)
    for name in reached:
        with failing(name, known[name], lambda: _told(text, strategy, configured, failure)):
            if failure is not None and name == reached[-1]:
                raise failure
        yield Step(name, known[name])
    yield Step("accepted", "the API admits this token")


def _told(text: str, strategy: ExternalIssuers, configured: Sequence[Provider], failure: ApiError | None) -> str:
    """What is known of a refusal beyond its code."""
    assert failure is not None
    if failure.error is errors.TOKEN_MALFORMED:
        return advice_on_form(text, configured)
    if failure.error is errors.TOKEN_HEADER and failure.reason is None:
        return ""
    token = UnverifiedToken.parse(text)
    if failure.error is errors.TOKEN_ISSUER:
        return advice_on_issuer(token, configured) or ""
    source = strategy.source(token.claims)
    if failure.error.status == 503 and isinstance(source, IssuerKeys):
        return source.told
    return advice(failure, source.provider.kind if source else "") or ""


def _compared(settings: Settings, strategy: ExternalIssuers, token: UnverifiedToken, tenant: str) -> dict[str, str]:
    """What each rule compares with what; the rules of a provider only where the token names a configured one."""
    claims, issuers = token.claims, ", ".join(entry.issuer for entry in presets.configured(settings.of(AuthSettings)))
    known = {
        "header": _members(token.header, "alg", "typ", "kid"),
        "issuer": f"iss is {shown(claims.get('iss'))}; configured, to the letter: {issuers}",
    }
    if (source := strategy.source(claims)) is None:
        return known
    provider, preset = source.provider, source.provider.preset
    return {
        **known,
        "issuer": f"iss is {shown(claims['iss'])}, of provider {provider.name} ({provider.kind})",
        "signature": f"alg of {words(preset.algorithms)}, typ of {words(preset.types)}, a key of the provider's set",
        "kind": _accepted(provider),
        "subject": f"{preset.subject_claim} of 1 to 255 printable characters (not shown)",
        "audience": f"{_audience(provider)}; the token has {_members(claims, 'aud', *provider.client_id_claims)}",
        "times": "iat and exp an hour apart at most, and now between them; the token has "
        f"{_members(claims, 'iat', 'nbf', 'exp')}, now {time.time():.0f}",
        "tenant": _tenant_rule(provider) + (f"; the token's is {tenant}" if tenant else ""),
    }


async def _check_openid(settings: Settings, provider: Provider, client: httpx.AsyncClient) -> AsyncIterator[Step]:
    discovery, algorithms = Discovery(provider, client), provider.preset.algorithms
    yield Step("settings", f"kind {provider.kind}, issuer {provider.issuer}")
    yield Step("accepted", _accepted(provider))
    yield Step("tenant", _tenant_rule(provider))
    compared = f"{provider.discovery_url} is about exactly that issuer"
    with failing("discovery", compared):
        document = await discovery.document()
    yield Step("discovery", compared)
    with failing("jwks_uri", "discovery names it"):
        url = provider.jwks_url or await discovery.endpoint("jwks_uri")
    wanted = f"{url} has RSA of 2048 bits or more, or the algorithm's curve, for {words(algorithms)}"
    with failing("keys", wanted):
        published = await get_json(client, url)
        usable, entries = usable_keys(published, algorithms), published.get("keys")
        count = f"{len({kid for kid, _ in usable})} of {len(entries) if isinstance(entries, list) else 0} usable"
        if not usable:
            raise FetchError(count, told=cause_of("no_usable_key"))
    yield Step("keys", f"{url}: {count} ({words({alg for _, alg in usable})})")
    if provider.client_id is None:
        yield Step("sign-in", "not offered: no CLIENT_ID", "--")
        return
    for endpoint in ("authorization_endpoint", "token_endpoint"):
        with failing(endpoint, "discovery names it"):
            yield Step("sign-in", f"{endpoint} {await discovery.endpoint(endpoint)}")
    methods = document.get("code_challenge_methods_supported")
    named = isinstance(methods, list) and "S256" in methods
    yield Step("pkce", "S256 supported" if named else "not named by discovery; we send it")
    compared = "public: PKCE alone proves who redeems the code"
    if provider.client_secret is not None:
        compared = "the secret that CLIENT_SECRET_ID names can be read"
        with failing("client", compared):
            await Secrets(Aws(settings)).text(provider.client_secret)
    yield Step("client", compared)
    base = f"{settings.public_url}/api/v1/auth/{provider.name}"
    yield Step("register", f"redirect URI {base}/callback")
    yield Step("sign-out", _LOGOUT.get(provider.preset.logout, f"standard; register {base}/logout"))


def _accepted(provider: Provider) -> str:
    preset = provider.preset
    required = "".join(f", {name} = {value}" for name, value in preset.required.items())
    without = f", without {words(preset.refused)}" if preset.refused else ""
    return f"the {'access' if preset.accepted == 'access' else 'ID'} token{required}{without}"


def _audience(provider: Provider) -> str:
    rules = [f"aud has {provider.audience}"] if provider.audience else []
    if provider.client_ids:
        rules.append(f"{' or '.join(provider.client_id_claims)} is one of {words(provider.client_ids)}")
    return " and ".join(rules)


def _tenant_rule(provider: Provider) -> str:
    named = " or ".join(" > ".join(path) for path in provider.tenant_paths)
    if provider.tenant_map:
        return f"{named}, mapped: {', '.join(f'{value} = {tenant}' for value, tenant in provider.tenant_map.items())}"
    return f"{named}, {'one of ' + words(provider.tenants) if provider.tenants else 'any tenant'}"


def _members(found: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name} {shown(found.get(name))}" for name in dict.fromkeys(names))
