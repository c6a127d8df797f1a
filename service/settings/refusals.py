"""What is well-formed and must not run all the same: rules that hold always, outside development, and in production."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from service.settings.fields import Settings
from service.settings.groups import Group, secrets
from service.strict import LOOPBACK


def unsafe(settings: Settings) -> Iterator[str]:
    """Why settings must not run.

    Args:
        settings: Well-formed.

    Yields:
        One line per problem, which begins with the variable's name.
    """
    for feature in settings.groups.values():
        if isinstance(feature, Group):
            yield from feature.unsafe(settings)
    for variable, secret in secrets(settings):
        if secret.id and secret.value is not None:
            yield f"{variable} and {variable}_ID exclude each other: unset one"
    group = {name: getattr(settings, name) for name in Settings.model_fields if name.startswith("roles_anywhere_")}
    if any(group.values()) and not (all(group.values()) and settings.aws_region):
        missing = ", ".join(name.upper() for name, value in group.items() if not value) or "AWS_REGION"
        yield f"{missing} is required beside the other ROLES_ANYWHERE variables: part of a proof is none"
    if not (settings.database_secret or urlsplit(settings.database_url.get_secret_value()).username):
        yield "DATABASE_URL must name the user where no secret does: the driver would take that of the machine"
    if settings.database_iam_auth and settings.database_secret:
        yield "DATABASE_IAM_AUTH and DATABASE_SECRET_ID are two ways to log in: unset one"
    if settings.database_iam_auth and not settings.aws_region:
        yield "AWS_REGION is required with DATABASE_IAM_AUTH (example: us-east-1)"
    if settings.tenant_key_prefix and not settings.tenant_role_arn:
        yield "TENANT_ROLE_ARN is required beside TENANT_KEY_PREFIX: only its sessions may use the tenants' keys"
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
    if settings.public_url.startswith("http:"):
        yield "PUBLIC_URL must be https outside development (example: https://api.example.com)"
    if any(urlsplit(origin).hostname in LOOPBACK for origin in settings.allowed_origins):
        yield "ALLOWED_ORIGINS must not name this machine outside development (example: https://app.example.com)"
    if settings.aws_endpoint_url:
        yield "AWS_ENDPOINT_URL is for development only: unset it"
    if settings.environment != "production":
        return
    for variable in (name for name, secret in secrets(settings) if secret.value is not None):
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
