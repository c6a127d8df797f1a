"""Every environment variable the service reads, validated together.

This module is the one place that knows them. ``.env.example``, the Railway environment and the reference part of
docs/DEPLOYMENT.md are generated from the fields below. A wrong value is refused at start, all problems in one message;
values themselves are never repeated, because some of them are secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from service.tenancy import TenantId

_IDP_VARIABLE = re.compile(r"IDP__([A-Z0-9]+(?:_[A-Z0-9]+)*)__([A-Z_]+)\Z")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
_PROVIDER_LIMIT = 50
_GIVEN = "env:"  # begins the id of a secret that was given by value, in the variable without _ID


class SettingsError(Exception):
    """The environment is not fit to start from; the text lists every problem."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    local = parts.scheme == "http" and (parts.hostname or "") in LOOPBACK
    if not parts.hostname or parts.username or parts.fragment or not (parts.scheme == "https" or local):
        raise ValueError("must be an https address (http only on this machine), without credentials or fragment")
    return value


def _origin(value: str) -> str:
    parts = urlsplit(_url(value))
    if value != f"{parts.scheme}://{parts.netloc}" or value != value.lower() or "*" in value:
        raise ValueError("must be an exact origin: scheme://host[:port] in lower case, no path, no wildcard")
    return value


def _split(value: object) -> object:
    return tuple(part for part in (p.strip() for p in value.split(",")) if part) if isinstance(value, str) else value


def _database_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    options = parse_qs(parts.query)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or len(parts.path) < 2:
        raise ValueError("must be postgresql://user@host:port/database?sslmode=...")
    if options.get("sslmode", [""])[-1] not in ("verify-full", "disable") or set(options) - {"sslmode"}:
        raise ValueError("takes one option, sslmode=verify-full (or disable, in development)")
    return value


def _tenants(value: tuple[str, ...]) -> tuple[str, ...]:
    """``*``, or tenants, or ``value=tenant`` pairs: never a mixture, in which nobody could tell what is allowed."""
    if value == ("*",):
        return value
    for item in value:
        TenantId.parse(item.rpartition("=")[2])
    mapped = [item.rpartition("=")[0] for item in value]
    if any("=" in item for item in value) and (not all(mapped) or len(set(mapped)) != len(mapped)):
        raise ValueError("takes tenants, or value=tenant pairs with each value once, or * alone")
    return value


def _claim_path(value: str) -> str:
    if not value.startswith("["):
        return value
    try:
        path = json.loads(value)
    except (ValueError, RecursionError):
        path = None
    if not isinstance(path, list) or not 0 < len(path) <= 8 or not all(isinstance(s, str) and s for s in path):
        raise ValueError('must be a claim name, or a JSON list of names that lead to it, such as ["realm","tenant"]')
    return value


def _issuer(value: str, info: ValidationInfo) -> str:
    """An address, or for SAML an entity id: a name that need not be one (``urn:...``, ``http://www.okta.com/...``)."""
    if info.data.get("kind") != "saml":
        return _url(value)
    if not 0 < len(value) <= 1024 or not value.isprintable() or " " in value:  # SAML metadata 2.2.1
        raise ValueError("must be the provider's entity id: 1 to 1024 characters, no blanks")
    return value


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "socks5" or not parts.hostname or not parts.port or parts.path or parts.query or "@" in value:
        raise ValueError("must be socks5://host:port")
    return value


def _ca_file(value: object) -> object:
    return Path(__file__).parent / "database" / "rds-ca.pem" if value == "rds" else value


def _pem(value: SecretStr) -> SecretStr:
    # What came through a dotenv file or a form may have lost its line feeds.
    text = value.get_secret_value().replace("\\n", "\n")
    if not text.lstrip().startswith("-----BEGIN ") or "-----END " not in text:
        raise ValueError("must be PEM")
    return SecretStr(text)


Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Listed = BeforeValidator(_split)
Pem = Annotated[SecretStr, AfterValidator(_pem)]
Environment = Literal["development", "staging", "production"]


class ProviderSettings(BaseModel):
    """One identity provider: the group ``IDP__<NAME>__...``; ``<NAME>`` in lower case is its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cognito", "okta", "auth0", "entra", "keycloak", "google", "oidc", "saml"] = Field(
        description="Which preset describes it.", examples=["cognito"]
    )
    issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        description="Its `iss` (SAML: its entity id), compared to the letter.",
        examples=["https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE"],
    )
    client_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Client ids whose tokens are accepted, separated by commas; the first is the one we sign in with.",
        examples=["1h57kf5cpq17m0"],
    )
    client_secret_id: str | None = Field(
        default=None,
        description="Secrets Manager entry with the client's secret; a public client has none.",
        examples=["signalbox/production/idp-okta"],
    )
    client_secret: SecretStr | None = Field(
        default=None, description="That secret itself; outside production only.", examples=["a-client-secret"]
    )
    scopes: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Scopes to ask for at sign-in, separated by commas (default: the preset's).",
        examples=["openid,email"],
    )
    userinfo: bool = Field(
        default=False,
        description="Ask its userinfo endpoint at sign-in, and refuse when subject or tenant differ from the token's.",
        examples=["false"],
    )
    audience: str | None = Field(
        default=None,
        description="Our identifier in `aud`.",
        examples=["https://api.example.com"],
        min_length=1,
    )
    jwks_url: Url | None = Field(
        default=None,
        description="Where its keys are, only where that differs from what the issuer implies.",
        examples=["https://idp.example.com/keys"],
    )
    discovery_url: Url | None = Field(
        default=None,
        description="Its OpenID configuration, only where that differs from what the issuer implies.",
        examples=["https://idp.example.com/.well-known/openid-configuration"],
    )
    tenant_claim: Annotated[str, AfterValidator(_claim_path)] | None = Field(
        default=None,
        description="The one claim (SAML: attribute) that holds the tenant, or the JSON list of names that leads to it "
        "(default: the preset's; for most tenant_id or organization_id, which must agree).",
        examples=["tenant_id"],
        min_length=1,
    )
    tenants: Annotated[tuple[str, ...], Listed, AfterValidator(_tenants)] = Field(
        default=(),
        description="The tenants it may speak for, separated by commas; or pairs of a claim's value and its tenant, "
        "as in example.com=acme; or * for all (which is what leaving it out means, where that is allowed).",
        examples=["acme,globex"],
    )
    metadata_url: Url | None = Field(
        default=None,
        description="SAML: where its metadata is.",
        examples=["https://idp.example.com/metadata"],
    )
    metadata_file: Path | None = Field(
        default=None, description="SAML: file with its metadata, instead.", examples=["/app/idp-metadata.xml"]
    )
    metadata_certificate: str | None = Field(
        default=None,
        min_length=1,
        description="SAML: certificate that its metadata must be signed with: PEM, or the base64 in it on one line.",
        examples=["MIIC8DCCAdigAwIBAgIQ..."],
    )
    sp_secret_id: str | None = Field(
        default=None,
        description="SAML: Secrets Manager entry with our key pairs, as a JSON list of objects with private_key and "
        "certificate (PEM). The first signs; all are published and decrypt.",
        examples=["signalbox/production/idp-clinic-sp"],
    )
    sp_secret: SecretStr | None = Field(
        default=None,
        description="That list itself; outside production only.",
        examples=['[{"private_key": "...", "certificate": "..."}]'],
    )
    subject_attribute: str | None = Field(
        default=None,
        min_length=1,
        description="SAML: attribute that names the user for good (default: the persistent NameID).",
        examples=["urn:oid:1.3.6.1.4.1.5923.1.1.1.13"],
    )
    unsolicited: bool = Field(
        default=False,
        description="SAML: accept responses that answer no request of ours, as from a portal. Anybody with an account "
        "there can then sign another person's browser in as themselves.",
        examples=["false"],
    )


class Settings(BaseModel):
    """The environment of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Field(description="How strict to be.", examples=["production"])
    host: str = Field(default="0.0.0.0", description="Address to listen on.", examples=["127.0.0.1"])  # noqa: S104
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.", examples=["8000"])
    public_url: Origin = Field(
        description="Origin under which clients reach the API.", examples=["https://api.example.com"]
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level that is logged.", examples=["INFO"]
    )
    allowed_origins: Annotated[tuple[Origin, ...], Listed] = Field(
        default=(),
        description="Front-end origins allowed to call with credentials, separated by commas.",
        examples=["https://app.example.com"],
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=1024,
        le=104_857_600,
        description="Largest request body, in bytes.",
        examples=["1048576"],
    )
    run_migrations: Literal["auto", "manual"] = Field(
        default="auto",
        description="At start on a schema that is behind: apply the migrations, or refuse and say how.",
        examples=["auto"],
    )
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        description="PostgreSQL address of the application login; without a password in production.",
        examples=["postgresql://signalbox_app@db.example.com:5432/signalbox?sslmode=verify-full"],
    )
    database_secret_id: str | None = Field(
        default=None,
        description="Secrets Manager entry with the application login's username and password.",
        examples=["signalbox/production/database-app"],
    )
    database_migration_secret_id: str | None = Field(
        default=None,
        description="Secrets Manager entry of the login that migrates (default: the application's own).",
        examples=["signalbox/production/database-master"],
    )
    database_migration_secret: SecretStr | None = Field(
        default=None,
        description="That login itself, as JSON with username and password; outside production only.",
        examples=['{"username": "postgres", "password": "example"}'],
    )
    database_iam_auth: bool = Field(
        default=False,
        description="Log in with IAM tokens instead of a password; the login must be a member of rds_iam.",
        examples=["false"],
    )
    database_proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(
        default=None,
        description="SOCKS5 proxy to the database, which resolves the database's name on its side.",
        examples=["socks5://tailscale.railway.internal:1055"],
    )
    database_tls_server_name: str | None = Field(
        default=None,
        description="Name in the server's certificate, where it differs from the host that is dialled.",
        examples=["db.abc.us-east-1.rds.amazonaws.com"],
    )
    database_ca_file: Annotated[Path, BeforeValidator(_ca_file)] | None = Field(
        default=None,
        description="CA certificates to verify the database with (PEM); rds stands for those of Amazon RDS.",
        examples=["rds"],
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=20, description="Connections kept open to the database.", examples=["10"]
    )
    database_max_overflow: int = Field(
        default=10, ge=0, le=20, description="Connections opened beyond the pool under load.", examples=["10"]
    )
    database_secret: SecretStr | None = Field(
        default=None,
        description="The login itself, as JSON with username and password; outside production only.",
        examples=['{"username": "signalbox_app", "password": "example"}'],
    )
    session_secret_id: str | None = Field(
        default=None,
        description="Secrets Manager entry that login cookies are encrypted with.",
        examples=["signalbox/production/session-key"],
    )
    session_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="That secret itself, 32 characters or more; outside production only.",
        examples=["an-example-of-32-or-more-characters"],
    )
    docs: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether /docs and /openapi.json are open to everybody; auto: everywhere but in production.",
        examples=["auto"],
    )
    aws_region: str | None = Field(default=None, description="AWS region.", examples=["us-east-1"])
    aws_endpoint_url: Url | None = Field(
        default=None, description="A local AWS; development only.", examples=["http://127.0.0.1:4566"]
    )
    roles_anywhere_trust_anchor_arn: str | None = Field(
        default=None,
        description="IAM Roles Anywhere: the authority that vouches for this service. All five, or none.",
        examples=["arn:aws:rolesanywhere:us-east-1:111122223333:trust-anchor/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    roles_anywhere_profile_arn: str | None = Field(
        default=None,
        description="IAM Roles Anywhere: the profile.",
        examples=["arn:aws:rolesanywhere:us-east-1:111122223333:profile/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    roles_anywhere_role_arn: str | None = Field(
        default=None,
        description="IAM Roles Anywhere: the role of this service.",
        examples=["arn:aws:iam::111122223333:role/signalbox-service"],
    )
    roles_anywhere_certificate_secret: Pem | None = Field(
        default=None,
        description="IAM Roles Anywhere: the client certificate (PEM), from `signalbox certs`; sealed on Railway.",
        examples=["-----BEGIN CERTIFICATE-----...-----END CERTIFICATE-----"],
    )
    roles_anywhere_private_key_secret: Pem | None = Field(
        default=None,
        description="IAM Roles Anywhere: its private key (PEM). Without it no secret can be read; sealed on Railway.",
        examples=["-----BEGIN PRIVATE KEY-----...-----END PRIVATE KEY-----"],
    )
    secrets_prefix: str | None = Field(
        default=None, description="Where this stage's secrets are named.", examples=["signalbox/production"]
    )
    s3_bucket_name: str | None = Field(default=None, description="Bucket for documents.", examples=["documents-bucket"])
    kms_key_id: str | None = Field(
        default=None,
        description="KMS key that protects stored data.",
        examples=["arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    token_signing_key_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="KMS key (ECC_NIST_P256, sign and verify) that signs the tokens this service issues; after a "
        "comma, others whose public half is published with it: the key before it, or the one to come.",
        examples=["arn:aws:kms:us-east-1:111122223333:key/5678efgh-12ab-34cd-56ef-1234567890ab"],
    )
    idp: dict[str, ProviderSettings] = Field(
        min_length=1,
        max_length=_PROVIDER_LIMIT,
        description="Identity providers.",
        examples=[{"cognito": {"kind": "cognito", "issuer": "https://idp.example.com", "client_id": "example"}}],
    )

    @property
    def development(self) -> bool:
        """Whether this process runs on a developer's machine."""
        return self.environment == "development"

    @property
    def docs_open(self) -> bool:
        """Whether anybody may read the API's documentation."""
        return self.docs == "on" or (self.docs == "auto" and self.environment != "production")

    @property
    def given_secrets(self) -> Mapping[str, SecretStr]:
        """Secrets that the environment holds itself, by the id under which the rest of the code asks for them."""
        found = {
            "DATABASE_SECRET": self.database_secret,
            "DATABASE_MIGRATION_SECRET": self.database_migration_secret,
            "SESSION_SECRET": self.session_secret,
        }
        for name, group in self.idp.items():
            found[f"IDP__{name}__CLIENT_SECRET".upper()] = group.client_secret
            found[f"IDP__{name}__SP_SECRET".upper()] = group.sp_secret
        return {_GIVEN + variable: value for variable, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as documents and templates show it.

    Attributes:
        name: As in the environment; ``IDP__<NAME>__`` stands for each provider's group.
        description: What it means.
        example: A value that passes.
        default: What holds when it is not set; None when there is no default.
        required: Whether the service refuses to start without it.
    """

    name: str
    description: str
    example: str
    default: str | None
    required: bool


def variables() -> Iterator[Variable]:
    """Every variable there is, in the order of the fields."""
    for name, field in Settings.model_fields.items():
        if name != "idp":
            yield _variable(name.upper(), field)
    for name, field in ProviderSettings.model_fields.items():
        yield _variable(f"IDP__<NAME>__{name.upper()}", field)


def _variable(name: str, field: FieldInfo) -> Variable:
    default = None if field.is_required() or field.default in (None, ()) else str(field.default)
    return Variable(name, field.description or "", str((field.examples or [""])[0]), default, field.is_required())


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check the environment.

    An empty variable counts as not set: that is how platforms hand over what was left blank.

    Args:
        environ: Usually ``os.environ``. Variables of others are ignored.

    Raises:
        SettingsError: One message with all problems, none of which repeats a value.
    """
    raw: dict[str, Any] = {
        name: environ[name.upper()] for name in Settings.model_fields if name != "idp" and environ.get(name.upper())
    }
    raw["idp"] = {}
    for variable, value in environ.items():
        if value and (match := _IDP_VARIABLE.match(variable)):
            raw["idp"].setdefault(match[1].lower(), {})[match[2].lower()] = value
    _name_given_secrets(raw)
    problems: list[str] = []
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as failure:
        problems = [_explain(error) for error in failure.errors(include_input=False, include_url=False)]
        settings = _mended(raw, failure)
    unreported = (p for p in _unsafe(settings) if not any(q.startswith(p.split(" ", 1)[0] + " ") for q in problems))
    problems += unreported
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(
            f"The environment is not fit to start from:\n{listed}\nSee .env.example for every variable."
        )
    return settings


def _name_given_secrets(raw: dict[str, Any]) -> None:
    """Give a secret that came by value an id, so that everything that reads secrets knows ids alone.

    An id that is there too wins: ``_unsafe`` reports the pair.
    """
    for prefix, group, names in (
        ("", raw, ("database_secret", "database_migration_secret", "session_secret")),
        *((f"IDP__{name}__", group, ("client_secret", "sp_secret")) for name, group in raw["idp"].items()),
    ):
        for name in names:
            if name in group:
                group.setdefault(f"{name}_id", _GIVEN + f"{prefix}{name}".upper())


def _name(location: tuple[int | str, ...]) -> tuple[str, FieldInfo | None]:
    if location[0] != "idp":
        return str(location[0]).upper(), Settings.model_fields.get(str(location[0]))
    if len(location) < 3:
        return "IDP__<NAME>__ISSUER", ProviderSettings.model_fields["issuer"]
    return f"IDP__{location[1]}__{location[2]}".upper(), ProviderSettings.model_fields.get(str(location[2]))


def _explain(error: Any) -> str:
    name, field = _name(error["loc"])
    if field is None:
        return f"{name} is not a variable of this service"
    example = f" (example: {(field.examples or [''])[0]})"
    if error["type"] == "missing" or error["loc"] == ("idp",):
        return f"{name} is required{example}"
    options = get_args(field.annotation)
    if error["type"] == "literal_error" and options:
        return f"{name} must be one of {', '.join(map(str, options))}{example}"
    return f"{name} {error['msg'].removeprefix('Value error, ')}{example}"


def _mended(raw: dict[str, Any], failure: ValidationError) -> Settings:
    """The settings with each bad value replaced by its example, so that the rules below still judge the good ones."""
    mended: dict[str, Any] = {**raw, "idp": {name: dict(group) for name, group in raw["idp"].items()}}
    for error in failure.errors(include_input=False, include_url=False):
        location, (_, field) = error["loc"], _name(error["loc"])
        if location[0] != "idp":
            mended[str(location[0])] = (field.examples or [None])[0] if field else None
        elif len(location) > 2 and field is None:
            mended["idp"][location[1]].pop(location[2])
        elif len(location) > 2 and field is not None:
            mended["idp"][location[1]][location[2]] = (field.examples or [None])[0]
        else:
            mended["idp"] = (Settings.model_fields["idp"].examples or [{}])[0]
    return Settings.model_validate(mended)


def _unsafe(settings: Settings) -> Iterator[str]:
    """What is well-formed but must not run: rules that hold always, outside development, and in production."""
    issuers: set[str] = set()
    for name, provider in settings.idp.items():
        prefix = f"IDP__{name}__".upper()
        if provider.issuer in issuers:
            yield f"{prefix}ISSUER is another provider's too: a token could not tell whose rules apply"
        issuers.add(provider.issuer)
        if provider.kind != "saml" and not provider.client_id and not provider.audience:
            yield f"{prefix}CLIENT_ID or {prefix}AUDIENCE is required: without either, tokens for others would pass"
        if provider.kind == "auth0" and not provider.issuer.endswith("/"):
            yield f"{prefix}ISSUER must end with / (example: https://example.eu.auth0.com/): Auth0's iss does"
        if provider.kind == "google" and not provider.client_id:
            yield f"{prefix}CLIENT_ID is required for google: its ID tokens are for a client"
    yield from _tenant_rules(settings)
    yield from _saml_rules(settings)
    for variable, secret_id in _secret_ids(settings):
        if f"{_GIVEN}{variable}" in settings.given_secrets and not secret_id.startswith(_GIVEN):
            yield f"{variable} and {variable}_ID exclude each other: unset one"
    group = {name: getattr(settings, name) for name in Settings.model_fields if name.startswith("roles_anywhere_")}
    if any(group.values()) and not (all(group.values()) and settings.aws_region):
        missing = ", ".join(name.upper() for name, value in group.items() if not value) or "AWS_REGION"
        yield f"{missing} is required beside the other ROLES_ANYWHERE variables: part of a proof is none"
    if settings.database_iam_auth and settings.database_secret_id:
        yield "DATABASE_IAM_AUTH and DATABASE_SECRET_ID are two ways to log in: unset one"
    if settings.database_iam_auth and not settings.aws_region:
        yield "AWS_REGION is required with DATABASE_IAM_AUTH (example: us-east-1)"
    if settings.development:
        return
    # Both hand the database something worth stealing: a token that logs in, or whatever is sent, to whoever answers.
    open_to_all = parse_qs(urlsplit(settings.database_url.get_secret_value()).query).get("sslmode") != ["verify-full"]
    if open_to_all and (settings.database_iam_auth or settings.database_proxy):
        yield "DATABASE_URL must say sslmode=verify-full with DATABASE_IAM_AUTH or DATABASE_PROXY"
    addresses = {"PUBLIC_URL": settings.public_url}
    for name, provider in settings.idp.items():
        for key in ("issuer", "jwks_url", "discovery_url", "metadata_url"):
            if (provider.kind, key) != ("saml", "issuer"):  # a name, asked by nobody
                addresses[f"IDP__{name}__{key}".upper()] = getattr(provider, key) or ""
    for variable, address in addresses.items():
        if address.startswith("http:"):
            yield f"{variable} must be https outside development (example: https://idp.example.com)"
    if any(urlsplit(origin).hostname in LOOPBACK for origin in settings.allowed_origins):
        yield "ALLOWED_ORIGINS must not name this machine outside development (example: https://app.example.com)"
    if not settings.session_secret_id:
        yield "SESSION_SECRET_ID is required outside development (example: signalbox/production/session-key)"
    if settings.aws_endpoint_url:
        yield "AWS_ENDPOINT_URL is for development only: unset it"
    if settings.environment != "production":
        return
    for given in settings.given_secrets:
        variable = given.removeprefix(_GIVEN)
        yield f"{variable} must not hold a secret in production: name it with {variable}_ID"
    if not settings.allowed_origins:
        yield "ALLOWED_ORIGINS is required in production (example: https://app.example.com)"
    database = urlsplit(settings.database_url.get_secret_value())
    if parse_qs(database.query).get("sslmode") != ["verify-full"]:
        yield "DATABASE_URL must say sslmode=verify-full in production (example: ...?sslmode=verify-full)"
    if unquote(database.password or ""):
        yield "DATABASE_URL must not hold a password in production: name it with DATABASE_SECRET_ID"
    if not (settings.database_secret_id or settings.database_iam_auth):
        yield "DATABASE_SECRET_ID or DATABASE_IAM_AUTH is required in production"


def _secret_ids(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "DATABASE_SECRET", settings.database_secret_id or ""
    yield "DATABASE_MIGRATION_SECRET", settings.database_migration_secret_id or ""
    yield "SESSION_SECRET", settings.session_secret_id or ""
    for name, group in settings.idp.items():
        yield f"IDP__{name}__CLIENT_SECRET".upper(), group.client_secret_id or ""
        yield f"IDP__{name}__SP_SECRET".upper(), group.sp_secret_id or ""


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
        if provider.kind != "saml":
            continue
        prefix = f"IDP__{name}__".upper()
        if (provider.metadata_url is None) == (provider.metadata_file is None):
            yield f"{prefix}METADATA_URL or {prefix}METADATA_FILE is required for saml, and not both"
        if not provider.sp_secret_id:
            yield f"{prefix}SP_SECRET_ID is required for saml (example: signalbox/production/idp-clinic-sp)"
        if provider.tenants in ((), ("*",)):
            yield f"{prefix}TENANTS is required for saml (example: acme): the provider is bound to what it lists"
        elif len(provider.tenants) > 1 and not provider.tenant_claim:
            yield f"{prefix}TENANT_CLAIM is required with several tenants: the attribute that chooses among them"
        if not settings.token_signing_key_id:
            yield "TOKEN_SIGNING_KEY_ID is required with a saml provider: it signs the tokens that SAML users get"
