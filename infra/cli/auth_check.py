"""``signalbox auth check``: what is checked of a provider or a token, with what, and which rule fails.

It runs the service's own functions, in the service's order, with the service's settings. The token is not printed, nor
any claim that says who its bearer is.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import structlog

from infra.shell.failure import Failure
from service.auth.providers import presets as providers
from service.auth.providers.discovery import Discovery
from service.auth.providers.fetch import FetchError, get_json
from service.auth.providers.presets import Provider
from service.auth.tokens.claims import check_subject, check_times
from service.auth.tokens.judge import (
    MAX_LIFETIME,
    Authenticator,
    ExternalIssuers,
    check_accepted,
    check_audience,
    check_signature,
)
from service.auth.tokens.keys import IssuerKeys, usable_keys
from service.auth.tokens.principal import principal_of, tenant_of
from service.auth.tokens.unverified import UnverifiedToken
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import ApiError
from service.settings import Settings, SettingsError, load

Tell = Callable[[str], None]
_LINE = re.compile(r"\s*([A-Z0-9_]+)=(.*)")


class CheckFailed(Failure):
    """A rule is broken; the text names it, the reason and what to do."""


@contextmanager
def without_log() -> Iterator[None]:
    """Keep the service's log lines out of the report: it says the same in a person's words."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def read_settings(environ: Mapping[str, str], env_file: Path | None) -> Settings:
    """The settings to check with.

    Args:
        environ: The process's environment; counts where there is no file.
        env_file: As ``signalbox up`` and the Railway rendering write it: a name, ``=``, a value or a JSON text.

    Raises:
        CheckFailed: They are not fit to start from.
    """
    found = dict(environ)
    if env_file is not None:
        found = {}
        for line in env_file.read_text(encoding="utf-8").splitlines():
            if match := _LINE.fullmatch(line):
                found[match[1]] = json.loads(match[2]) if match[2].startswith('"') else match[2]
    try:
        return load(found)
    except SettingsError as failure:
        raise CheckFailed(str(failure)) from None


async def check_provider(settings: Settings, name: str, tell: Tell) -> None:
    """Ask a provider for everything the service needs of it.

    Args:
        settings: As ``read_settings`` gives them.
        name: Of the provider, lower case.
        tell: Takes a line of the report.

    Raises:
        CheckFailed: At the first thing that does not fit.
    """
    if name in settings.idp and settings.idp[name].kind == "saml":
        from infra.cli.saml_check import check_saml  # lxml and xmlsec: for who needs them

        await check_saml(settings, name, tell)
        return
    provider = _provider(settings, name)
    tell(f"ok    settings     kind {provider.kind}, issuer {provider.issuer}")
    tell(f"ok    accepted     {_accepted(provider)}")
    tell(f"ok    tenant       {_tenant_rule(provider)}")
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        discovery = Discovery(provider, client)
        document = await _fetched("discovery", provider.discovery_url, discovery.document())
        tell(f"ok    discovery    {provider.discovery_url} is about exactly that issuer")
        url = provider.jwks_url or await _fetched("jwks_uri", "discovery", discovery.endpoint("jwks_uri"))
        published = await _fetched("keys", url, get_json(client, url))
        entries = published.get("keys")
        usable = usable_keys(published, provider.preset.algorithms)
        counted = f"{len({kid for kid, _ in usable})} of {len(entries) if isinstance(entries, list) else 0} usable"
        wanted = f"RSA of 2048 bits or more, or the algorithm's curve, for {_words(provider.preset.algorithms)}"
        if not usable:
            raise CheckFailed(f"keys: {url}: {counted}. Have the provider publish signing keys: {wanted}.")
        tell(f"ok    keys         {url}: {counted} ({_words({alg for _, alg in usable})})")
        if provider.client_id is None:
            tell("--    sign-in      not offered: no CLIENT_ID")
            return
        for endpoint in ("authorization_endpoint", "token_endpoint"):
            address = await _fetched(endpoint, "discovery", discovery.endpoint(endpoint))
            tell(f"ok    sign-in      {endpoint} {address}")
        methods = document.get("code_challenge_methods_supported")
        named = (
            "S256 supported"
            if isinstance(methods, list) and "S256" in methods
            else "not named by discovery; we send it"
        )
        tell(f"ok    pkce         {named}")
        await _check_secret(settings, provider, tell)
        tell(f"ok    register     redirect URI {settings.public_url}/api/v1/auth/{name}/callback")
        tell(f"ok    sign-out     {_sign_out(settings, provider)}")


async def check_token(settings: Settings, text: str, tell: Tell) -> None:
    """Judge a token step by step.

    Args:
        settings: As ``read_settings`` gives them.
        text: The token.
        tell: Takes a line of the report.

    Raises:
        CheckFailed: At the first rule that is broken.
    """
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        keys = [IssuerKeys(provider, client) for provider in providers.configured(settings)]
        strategy = ExternalIssuers(keys)
        token = _step(
            "structure", "a compact JWS, its parts canonical, no member twice", lambda: UnverifiedToken.parse(text)
        )
        tell(f"ok    structure    three parts, {len(text)} characters, every member once")
        tell(f"ok    header       {_members(token.header, 'alg', 'typ', 'kid')}")
        source = strategy.source(token.claims)
        if source is None:
            known = ", ".join(entry.provider.issuer for entry in keys)
            raise CheckFailed(
                f"issuer: AUTH_004. iss is {_show(token.claims.get('iss'))}; configured, to the letter: {known}."
            )
        provider, preset = source.provider, source.provider.preset
        tell(f"ok    issuer       {_show(token.claims['iss'])} is provider {provider.name} ({provider.kind})")
        expected = f"alg of {_words(preset.algorithms)}, typ of {_words(preset.types)}, a key of the provider's set"
        try:
            await check_signature(token, source, preset.types)
        except ApiError as failure:
            raise _failed("signature", expected, failure) from None
        tell("ok    signature    verified with the provider's key of that kid")
        _step("kind", f"{_accepted(provider)}", lambda: check_accepted(token, provider))
        tell(f"ok    kind         {_accepted(provider)}")
        name = preset.subject_claim
        _step("subject", f"{name} of 1 to 255 printable characters", lambda: check_subject(token.claims, name))
        tell(f"ok    subject      {name} is there (not shown)")
        got = _members(token.claims, "aud", preset.client_id_claim)
        _step("audience", f"{_audience(provider)}; the token has {got}", lambda: check_audience(token.claims, provider))
        tell(f"ok    audience     {_audience(provider)}")
        shown = _members(token.claims, "iat", "nbf", "exp")
        rule = f"iat and exp, an hour apart at most, and now between them; the token has {shown}, now {time.time():.0f}"
        _step("times", rule, lambda: check_times(token.claims, time.time(), MAX_LIFETIME))
        tell(f"ok    times        {shown}")
        tenant = _step("tenant", _tenant_rule(provider), lambda: tenant_of(token.claims, provider))
        tell(f"ok    tenant       {tenant} ({_tenant_rule(provider)})")
        # The same verdict from the gate itself, so that this report cannot drift from what the service does.
        try:
            principal_of(await Authenticator([strategy]).verify(text))
        except ApiError as failure:
            raise _failed("gate", "the service's whole check", failure) from None
        tell("ok    accepted     the API admits this token")


async def _check_secret(settings: Settings, provider: Provider, tell: Tell) -> None:
    if provider.client_secret is None:
        tell("ok    client       public: PKCE alone proves who redeems the code")
        return
    try:
        await Secrets(Aws(settings)).text(provider.client_secret)
    except ApiError as failure:
        what = "the secret that CLIENT_SECRET_ID names can be read"
        raise _failed("client", what, failure) from None
    tell("ok    client       its secret can be read")


def _provider(settings: Settings, name: str) -> Provider:
    found = {provider.name: provider for provider in providers.configured(settings)}
    if name not in found:
        raise CheckFailed(
            f"There is no provider {name!r}: choose one of {', '.join(settings.idp)}, or set IDP__{name.upper()}__..."
        )
    return found[name]


async def _fetched(step: str, where: str, fetch: Awaitable[Any]) -> Any:
    try:
        return await fetch
    except FetchError as failure:
        raise CheckFailed(
            f"{step}: {where}: {failure}. Compare the provider's settings with docs/AUTH_CONFIGURATION.md."
        ) from None


def _step(name: str, rule: str, check: Callable[[], Any]) -> Any:
    try:
        return check()
    except ApiError as failure:
        raise _failed(name, rule, failure) from None


def _failed(step: str, rule: str, failure: ApiError) -> CheckFailed:
    row = failure.error
    reason = f" ({failure.reason})" if failure.reason else ""
    return CheckFailed(f"{step}: {row.code} {row.detail}{reason}. The rule: {rule}. {row.action}")


def _accepted(provider: Provider) -> str:
    preset = provider.preset
    required = "".join(f", {name} = {value}" for name, value in preset.required.items())
    without = f", without {_words(preset.refused)}" if preset.refused else ""
    return f"the {'access' if preset.accepted == 'access' else 'ID'} token{required}{without}"


def _audience(provider: Provider) -> str:
    rules = [f"aud has {provider.audience}"] if provider.audience else []
    if provider.client_ids:
        rules.append(f"{provider.preset.client_id_claim} is one of {_words(provider.client_ids)}")
    return " and ".join(rules)


def _tenant_rule(provider: Provider) -> str:
    named = " or ".join(" > ".join(path) for path in provider.tenant_paths)
    if provider.tenant_map:
        return f"{named}, mapped: {', '.join(f'{value} = {tenant}' for value, tenant in provider.tenant_map.items())}"
    return f"{named}, {'one of ' + _words(provider.tenants) if provider.tenants else 'any tenant'}"


def _sign_out(settings: Settings, provider: Provider) -> str:
    style = provider.preset.logout
    if style == "rp_initiated":
        return f"standard; register {settings.public_url}/api/v1/auth/{provider.name}/logout"
    return {"cognito": "Cognito's", "auth0": "Auth0's", "none": "this provider has none"}[style]


def _words(values: Iterable[str]) -> str:
    return ", ".join(sorted(str(value) or "none" for value in values))


def _members(found: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name} {_show(found.get(name))}" for name in dict.fromkeys(names))


def _show(value: object) -> str:
    """Of a token that nobody has believed yet: bounded, and nothing in it that a terminal would obey."""
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
