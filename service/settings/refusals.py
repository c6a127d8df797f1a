"""What is well-formed and must not run all the same: rules that hold always, outside development, and in production."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from service.settings.fields import SamlSettings, Settings
from service.settings.opaque import opaque
from service.strict import LOOPBACK


def unsafe(settings: Settings) -> Iterator[str]:
    """Why settings must not run.

    Args:
        settings: Well-formed.

    Yields:
        One line per problem, which begins with the variable's name.
    """
    issuers: set[str] = set()
    for name, provider in settings.idp.items():
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
    yield from _tenant_rules(settings)
    yield from _saml_rules(settings)
    for variable, secret in settings.secrets():
        if secret.id and secret.value is not None:
            yield f"{variable} and {variable}_ID exclude each other: unset one"
    group = {name: getattr(settings, name) for name in Settings.model_fields if name.startswith("roles_anywhere_")}
    if any(group.values()) and not (all(group.values()) and settings.aws_region):
        missing = ", ".join(name.upper() for name, value in group.items() if not value) or "AWS_REGION"
        yield f"{missing} is required beside the other ROLES_ANYWHERE variables: part of a proof is none"
    if settings.database_iam_auth and settings.database_secret:
        yield "DATABASE_IAM_AUTH and DATABASE_SECRET_ID are two ways to log in: unset one"
    if settings.database_iam_auth and not settings.aws_region:
        yield "AWS_REGION is required with DATABASE_IAM_AUTH (example: us-east-1)"
    if settings.max_tenant_requests is not None and settings.max_tenant_requests > max(1, settings.connections - 1):
        yield (
            "MAX_TENANT_REQUESTS must be less than DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW together: one tenant's "
            "slow queries would take every connection"
        )
    if 2 * settings.tenant_share > settings.request_limit:
        yield "MAX_TENANT_REQUESTS must be at most half of MAX_REQUESTS: one tenant would have others refused"
    if settings.development:
        return
    # Both hand the database something worth stealing: a token that logs in, or whatever is sent, to whoever answers.
    open_to_all = parse_qs(urlsplit(settings.database_url.get_secret_value()).query).get("sslmode") != ["verify-full"]
    if open_to_all and (settings.database_iam_auth or settings.database_proxy):
        yield "DATABASE_URL must say sslmode=verify-full with DATABASE_IAM_AUTH or DATABASE_PROXY"
    addresses = {"PUBLIC_URL": settings.public_url}
    for name, provider in settings.idp.items():
        # The issuer of a SAML provider is a name, and nothing connects to it.
        keys = ("metadata_url",) if isinstance(provider, SamlSettings) else ("issuer", "jwks_url", "discovery_url")
        addresses |= {f"IDP__{name}__{key}".upper(): getattr(provider, key) or "" for key in keys}
    for variable, address in addresses.items():
        if address.startswith("http:"):
            yield f"{variable} must be https outside development (example: https://idp.example.com)"
    if any(urlsplit(origin).hostname in LOOPBACK for origin in settings.allowed_origins):
        yield "ALLOWED_ORIGINS must not name this machine outside development (example: https://app.example.com)"
    if not settings.session_secret:
        yield "SESSION_SECRET_ID is required outside development (example: signalbox/production/session-key)"
    if settings.aws_endpoint_url:
        yield "AWS_ENDPOINT_URL is for development only: unset it"
    if settings.environment != "production":
        return
    for variable in (name for name, secret in settings.secrets() if secret.value is not None):
        yield f"{variable} must not hold a secret in production: name it with {variable}_ID"
    if not settings.allowed_origins:
        yield "ALLOWED_ORIGINS is required in production (example: https://app.example.com)"
    database = urlsplit(settings.database_url.get_secret_value())
    if parse_qs(database.query).get("sslmode") != ["verify-full"]:
        yield "DATABASE_URL must say sslmode=verify-full in production (example: ...?sslmode=verify-full)"
    if unquote(database.password or ""):
        yield "DATABASE_URL must not hold a password in production: name it with DATABASE_SECRET_ID"
    if not (settings.database_secret or settings.database_iam_auth):
        yield "DATABASE_SECRET_ID or DATABASE_IAM_AUTH is required in production"


def _tenant_rules(settings: Settings) -> Iterator[str]:
    """Who may speak for whom: what would let one organisation's provider name another's tenant is refused."""
    for name, provider in settings.idp.items():
        variable = f"IDP__{name}__TENANTS".upper()
        open_to_all = provider.kind == "google" or (
            provider.kind == "entra"
            and urlsplit(provider.issuer).path.split("/")[1:2] in (["organizations"], ["common"])
        )
        example = "(example: 72f988bf-86f1-41af-91ab-2d7cd011db47=acme)"
        if open_to_all and provider.tenants in ((), ("*",)):
            yield f"{variable} is required: organisations of all the world sign in there {example}"
        elif settings.environment == "production" and len(settings.idp) > 1 and not provider.tenants:
            yield f"{variable} is required in production beside other providers: list its tenants, or * for all"


def _saml_rules(settings: Settings) -> Iterator[str]:
    for name, provider in settings.idp.items():
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
        if not settings.token_signing_key_id:
            yield "TOKEN_SIGNING_KEY_ID is required with a saml provider: it signs the tokens that SAML users get"
