"""What is well-formed and must not run all the same: what could not be told apart or trusted."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from service.auth.providers.opaque import opaque
from service.auth.settings import AuthSettings, SamlSettings
from service.settings import Settings


def unsafe(auth: AuthSettings, settings: Settings) -> Iterator[str]:
    """Why settings of this domain must not run.

    Args:
        auth: Well-formed.
        settings: The core's.

    Yields:
        One line per problem, which begins with the variable's name.
    """
    issuers: set[str] = set()
    for name, provider in auth.idp.items():
        prefix = f"IDP__{name}__".upper()
        if provider.issuer in issuers:
            yield f"{prefix}ISSUER is another provider's too: a token could not tell whose rules apply"
        issuers.add(provider.issuer)
        if isinstance(provider, SamlSettings):
            continue
        if not provider.client_id and not provider.audience:
            yield f"{prefix}CLIENT_ID or {prefix}AUDIENCE is required: without either, tokens for others would pass"
        yield from opaque(name, provider)
        if provider.kind == "auth0" and not provider.issuer.endswith("/"):
            yield f"{prefix}ISSUER must end with / (example: https://example.eu.auth0.com/): Auth0's iss does"
        if provider.kind == "google" and not provider.client_id:
            yield f"{prefix}CLIENT_ID is required for google: its ID tokens are for a client"
    yield from _tenant_rules(auth, settings)
    yield from _saml_rules(auth, settings)
    if settings.development:
        return
    for name, provider in auth.idp.items():
        # The issuer of a SAML provider is a name, and nothing connects to it.
        keys = ("metadata_url",) if isinstance(provider, SamlSettings) else ("issuer", "jwks_url", "discovery_url")
        for key in keys:
            if (getattr(provider, key) or "").startswith("http:"):
                variable = f"IDP__{name}__{key}".upper()
                yield f"{variable} must be https outside development (example: https://idp.example.com)"
    if not auth.session_secret:
        yield "SESSION_SECRET_ID is required outside development (example: signalbox/production/session-key)"


def _tenant_rules(auth: AuthSettings, settings: Settings) -> Iterator[str]:
    """Who may speak for whom: what would let one organisation's provider name another's tenant is refused."""
    for name, provider in auth.idp.items():
        variable = f"IDP__{name}__TENANTS".upper()
        open_to_all = provider.kind == "google" or (
            provider.kind == "entra"
            and urlsplit(provider.issuer).path.split("/")[1:2] in (["organizations"], ["common"])
        )
        example = "(example: 72f988bf-86f1-41af-91ab-2d7cd011db47=acme)"
        if open_to_all and provider.tenants in ((), ("*",)):
            yield f"{variable} is required: organisations of all the world sign in there {example}"
        elif settings.environment == "production" and len(auth.idp) > 1 and not provider.tenants:
            yield f"{variable} is required in production beside other providers: list its tenants, or * for all"


def _saml_rules(auth: AuthSettings, settings: Settings) -> Iterator[str]:
    for name, provider in auth.idp.items():
        if not isinstance(provider, SamlSettings):
            continue
        prefix = f"IDP__{name}__".upper()
        if (provider.metadata_url is None) == (provider.metadata_file is None):
            yield f"{prefix}METADATA_URL or {prefix}METADATA_FILE is required for saml, and not both"
        if not provider.sp_secret:
            yield f"{prefix}SP_SECRET_ID is required for saml (example: signalbox/production/idp-clinic-sp)"
        if provider.tenants in ((), ("*",)):
            yield f"{prefix}TENANTS is required for saml (example: acme): the provider is bound to what it lists"
        elif len(provider.tenants) > 1 and not provider.tenant_claim:
            yield f"{prefix}TENANT_CLAIM is required with several tenants: the attribute that chooses among them"
        page = provider.unsolicited_return_to
        below = [
            page == origin or (page or "").startswith((f"{origin}/", f"{origin}?"))
            for origin in settings.allowed_origins
        ]
        if page is not None and not any(below):
            yield f"{prefix}UNSOLICITED_RETURN_TO must be below one of ALLOWED_ORIGINS"
        elif provider.unsolicited and not settings.allowed_origins:
            yield f"ALLOWED_ORIGINS is required with {prefix}UNSOLICITED: a portal's people must land on a page"
        if not auth.token_signing_key_id:
            yield "TOKEN_SIGNING_KEY_ID is required with a saml provider: it signs the tokens that SAML users get"
