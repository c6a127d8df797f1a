"""Every environment variable of the service, as a field each; ``service.settings.load`` reads them.

``.env.example``, the Railway environment and docs/reference/variables.md are generated from these fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, SerializeAsAny
from pydantic.fields import FieldInfo

from service.settings.formats import (
    CaFile,
    ClaimPath,
    DatabaseUrl,
    EntityId,
    HeaderName,
    Host,
    Listed,
    LongEnough,
    Origin,
    Pem,
    Proxy,
    Tenants,
    Url,
)
from service.settings.secret import ByValue, Secret, by_value, secrets_in

PROVIDER_LIMIT = 50
SESSION_KEY_CHARACTERS = 32  # at least, by value or in the store: a shorter one could be guessed from one cookie

Environment = Literal["development", "staging", "production"]
OpenIdKind = Literal["cognito", "okta", "auth0", "entra", "keycloak", "google", "oidc"]
Algorithm = Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
T = TypeVar("T", bound=BaseModel)

_GROUP = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")
_KIND = Field(description="Which preset describes it.", examples=["cognito"])
_ISSUER = Field(
    description="Its `iss` (SAML: its entity id), compared to the letter.",
    examples=["https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE"],
)


class _Provider(BaseModel):
    """What every identity provider has, whatever its protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: str = _KIND
    issuer: str = _ISSUER
    tenant_claim: ClaimPath | None = Field(
        default=None,
        description="The one claim (SAML: attribute) that holds the tenant, or the JSON list of names that leads to it "
        "(default: the preset's; for most tenant_id or organization_id, which must agree).",
        examples=["tenant_id"],
        min_length=1,
    )
    tenants: Tenants = Field(
        default=(),
        description="The tenants it may speak for, separated by commas; or pairs of a claim's value and its tenant, "
        "as in example.com=acme; or * for all (which is what leaving it out means, where that is allowed).",
        examples=["acme,globex"],
    )


class OpenIdSettings(_Provider):
    """One OpenID provider: the group ``IDP__<NAME>__...``; ``<NAME>`` in lower case is its name."""

    kind: Annotated[OpenIdKind, _KIND]
    issuer: Annotated[Url, _ISSUER]
    client_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Client ids whose tokens are accepted, separated by commas; the first is the one we sign in with.",
        examples=["1h57kf5cpq17m0"],
    )
    client_secret: Annotated[
        Secret | None, ByValue("That secret itself; outside production only.", "a-client-secret")
    ] = Field(
        default=None,
        description="Secrets Manager entry with the client's secret; a public client has none.",
        examples=["signalbox/production/idp-okta"],
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
    id_token_algorithm: Algorithm | None = Field(
        default=None,
        description="The one algorithm of the ID tokens of our client there, as it is registered "
        "(id_token_signed_response_alg; default: what the provider's discovery lists).",
        examples=["ES256"],
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


class SamlSettings(_Provider):
    """One SAML provider: the same group, of ``KIND=saml``."""

    kind: Annotated[Literal["saml"], _KIND]
    issuer: Annotated[EntityId, _ISSUER]
    metadata_url: Url | None = Field(
        default=None,
        description="SAML: where its metadata is; at a metadata query service with {entity_id} or {sha1} in it, which "
        "stand for ISSUER.",
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
    sp_secret: Annotated[
        Secret | None,
        ByValue("That list itself; outside production only.", '[{"private_key": "...", "certificate": "..."}]'),
    ] = Field(
        default=None,
        description="SAML: Secrets Manager entry with our key pairs, as a JSON list of objects with private_key and "
        "certificate (PEM). The first signs; all are published and decrypt.",
        examples=["signalbox/production/idp-clinic-sp"],
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
    unsolicited_return_to: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="SAML: page below one of ALLOWED_ORIGINS that such a response leads to, with a login_code, unless "
        "its RelayState names another (default: the first of ALLOWED_ORIGINS, and /).",
        examples=["https://app.example.com/welcome"],
    )
    assertion_minutes: int = Field(
        default=80,
        ge=5,
        le=1440,
        description="SAML: how far away the end of an assertion may be, in minutes (LemonLDAP::NG: 1200).",
        examples=["80"],
    )
    issued_minutes: int = Field(
        default=5,
        ge=1,
        le=60,
        description="SAML: how long ago a message may have been issued (IssueInstant), in minutes; a response comes "
        "straight from the provider, unless the person is asked something in between.",
        examples=["5"],
    )
    sign_in_minutes: int = Field(
        default=720,
        ge=5,
        le=10080,
        description="SAML: how long ago a person may have signed in at the provider, in minutes; when it is longer, "
        "the provider is told to ask again.",
        examples=["720"],
    )


ProviderSettings = OpenIdSettings | SamlSettings


class Settings(BaseModel):
    """The environment of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Field(description="How strict to be.", examples=["production"])
    host: Host = Field(
        default="0.0.0.0",  # noqa: S104
        description="Address to listen on; :: is every one, of IPv6 and IPv4.",
        examples=["127.0.0.1"],
    )
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
    allowed_headers: Annotated[tuple[HeaderName, ...], Listed] = Field(
        default=(),
        description="Header fields that those front ends may send besides the usual ones, separated by commas.",
        examples=["X-Client-Version"],
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=1024,
        le=104_857_600,
        description="Largest request body, in bytes.",
        examples=["1048576"],
    )
    tokens_remembered: int = Field(
        default=20_000,
        ge=0,
        le=1_000_000,
        description="How many callers' tokens are remembered, so that they are verified once and not at each request: "
        "about 2 kB of memory each. 0 verifies every token at every request.",
        examples=["20000"],
    )
    lame_duck_seconds: int | None = Field(
        default=None,
        ge=0,
        le=15,
        description="Seconds after SIGTERM for which requests are still taken while readiness says 503: until every "
        "balancer has noticed (default: 8, in development 0).",
        examples=["8"],
    )
    run_migrations: Literal["auto", "manual"] = Field(
        default="auto",
        description="At start on a schema that is behind: apply the migrations, or refuse and say how.",
        examples=["auto"],
    )
    database_url: DatabaseUrl = Field(
        description="PostgreSQL address of the application login; without a password in production.",
        examples=["postgresql://signalbox_app@db.example.com:5432/signalbox?sslmode=verify-full"],
    )
    database_secret: Annotated[
        Secret | None,
        ByValue(
            "The login itself, as JSON with username and password; outside production only.",
            '{"username": "signalbox_app", "password": "example"}',
        ),
    ] = Field(
        default=None,
        description="Secrets Manager entry with the application login's username and password.",
        examples=["signalbox/production/database-app"],
    )
    database_migration_secret: Annotated[
        Secret | None,
        ByValue(
            "That login itself, as JSON with username and password; outside production only.",
            '{"username": "postgres", "password": "example"}',
        ),
    ] = Field(
        default=None,
        description="Secrets Manager entry of the login that migrates (default: the application's own).",
        examples=["signalbox/production/database-master"],
    )
    database_iam_auth: bool = Field(
        default=False,
        description="Log in with IAM tokens instead of a password; the login must be a member of rds_iam.",
        examples=["false"],
    )
    database_proxy: Proxy | None = Field(
        default=None,
        description="SOCKS5 proxy to the database, which resolves the database's name on its side.",
        examples=["socks5://tailscale.railway.internal:1055"],
    )
    database_tls_server_name: str | None = Field(
        default=None,
        description="Name in the server's certificate, where it differs from the host that is dialled.",
        examples=["db.abc.us-east-1.rds.amazonaws.com"],
    )
    database_ca_file: CaFile | None = Field(
        default=None,
        description="CA certificates to verify the database with (PEM); rds stands for those of Amazon RDS.",
        examples=["rds"],
    )
    database_pool_size: int = Field(
        default=20, ge=1, le=20, description="Connections kept open to the database.", examples=["20"]
    )
    database_max_overflow: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Connections opened beyond the pool under load, each for one request: dear where that lasts.",
        examples=["0"],
    )
    max_requests: int | None = Field(
        default=None,
        ge=8,
        le=2000,
        description="Requests that a replica serves at once; more are answered with SYS_011 (default: four for "
        "each connection to the database).",
        examples=["80"],
    )
    max_tenant_requests: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Of these, requests of one tenant; some more wait for two seconds at most (default: half the "
        "connections to the database, so that no tenant's queries take them all).",
        examples=["10"],
    )
    session_secret: Annotated[
        Secret | None,
        LongEnough(SESSION_KEY_CHARACTERS),
        ByValue(
            "That secret itself, 32 characters or more; outside production only.",
            "an-example-of-32-or-more-characters",
        ),
    ] = Field(
        default=None,
        description="Secrets Manager entry that login cookies are encrypted with.",
        examples=["signalbox/production/session-key"],
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
    tenant_role_arn: str | None = Field(
        default=None,
        description="Role in which a request touches its tenant's objects (TenantAws); production needs it for that.",
        examples=["arn:aws:iam::111122223333:role/signalbox-tenant"],
    )
    token_signing_key_id: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="KMS key (ECC_NIST_P256, sign and verify) that signs the tokens this service issues; after a "
        "comma, others whose public half is published with it: the key before it, or the one to come.",
        examples=["arn:aws:kms:us-east-1:111122223333:key/5678efgh-12ab-34cd-56ef-1234567890ab"],
    )
    idp: dict[str, ProviderSettings] = Field(
        min_length=1,
        max_length=PROVIDER_LIMIT,
        description="Identity providers.",
        examples=[{"cognito": {"kind": "cognito", "issuer": "https://idp.example.com", "client_id": "example"}}],
    )

    groups: dict[str, SerializeAsAny[BaseModel]] = Field(
        default={}, description="Settings of features, by the feature's name.", examples=[{}]
    )

    @property
    def development(self) -> bool:
        """Whether this process runs on a developer's machine."""
        return self.environment == "development"

    @property
    def connections(self) -> int:
        """Connections to the database that this process may have open for requests."""
        return self.database_pool_size + self.database_max_overflow

    @property
    def request_limit(self) -> int:
        """Requests that are served at once."""
        return max(8, 4 * self.connections) if self.max_requests is None else self.max_requests

    @property
    def tenant_share(self) -> int:
        """Requests of one tenant that are served at once."""
        return max(1, self.connections // 2) if self.max_tenant_requests is None else self.max_tenant_requests

    @property
    def tenant_limit(self) -> int:
        """Requests of one tenant that are served or wait: two tenants' floods leave half of the replica to others."""
        return max(self.tenant_share, self.request_limit // 4)

    @property
    def lame_duck(self) -> int:
        """Seconds for which requests are still taken after a signal to stop."""
        return (0 if self.development else 8) if self.lame_duck_seconds is None else self.lame_duck_seconds

    @property
    def docs_open(self) -> bool:
        """Whether anybody may read the API's documentation."""
        return self.docs == "on" or (self.docs == "auto" and self.environment != "production")

    def of(self, model: type[T]) -> T:
        """The settings that a feature brings.

        Args:
            model: Their type.

        Raises:
            LookupError: No feature that was loaded brings it.
        """
        for group in self.groups.values():
            if type(group) is model:
                return group
        raise LookupError(f"no feature that was loaded has {model.__name__} as its settings")

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Every secret that is set, the providers' and the features' too, with the variable that names it by value."""
        yield from secrets_in("", self)
        for name, provider in self.idp.items():
            yield from secrets_in(f"IDP__{name}__", provider)
        for name, group in self.groups.items():
            yield from secrets_in(f"{name}__", group)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as documents and templates show it.

    Attributes:
        name: As in the environment; ``IDP__<NAME>__`` stands for each provider's group.
        description: What it means.
        example: A value that passes.
        default: What holds when it is not set; None when there is no default.
        required: Whether the service refuses to start without it.
        secret: Whether it holds a secret itself.
    """

    name: str
    description: str
    example: str
    default: str | None
    required: bool
    secret: bool = False


Groups = Mapping[str, type[BaseModel]]  # by the name of the feature


def variables(groups: Groups = {}) -> Iterator[Variable]:  # noqa: B006  never written to
    """Every variable there is, in the order of the fields.

    Args:
        groups: Settings of features; a field ``key`` of the feature ``notes`` is the variable ``NOTES__KEY``.

    Raises:
        TypeError: A group has a name, or a field, that no variable can be made of.
    """
    yield from variables_of("", Settings, but=("idp", "groups"))
    yield from variables_of("IDP__<NAME>__", OpenIdSettings)
    yield from variables_of("IDP__<NAME>__", SamlSettings, but=tuple(_Provider.model_fields))
    for name, model in checked(groups).items():
        yield from variables_of(f"{name.upper()}__", model)


def variables_of(prefix: str, model: type[BaseModel], but: tuple[str, ...] = ()) -> Iterator[Variable]:
    """The variables of one group.

    Args:
        prefix: What their names begin with.
        model: The group.
        but: Fields to leave out.
    """
    for name, field in model.model_fields.items():
        if name in but:
            continue
        variable, example = f"{prefix}{name.upper()}", str((field.examples or [""])[0])
        if told := by_value(field):
            yield Variable(f"{variable}_ID", field.description or "", example, None, field.is_required())
            yield Variable(variable, told.description, told.example, None, False, secret=True)
        else:
            needed, secret = field.is_required(), _hides(field.annotation)
            yield Variable(variable, field.description or "", example, _default(field), needed, secret)


def _hides(annotation: object) -> bool:
    """Whether values of a type are kept out of sight."""
    return annotation is SecretStr or any(map(_hides, get_args(annotation)))


def checked(groups: Groups) -> Groups:
    """Groups whose variables can be told apart, and explained to whoever sets them.

    Raises:
        TypeError: A name is taken or no name; a field lacks its description or its example, or is not in lower case.
    """
    for group, model in groups.items():
        if not _GROUP.match(group) or group == "idp":
            raise TypeError(f"{group!r} cannot be the name of a group of settings: lower case, digits, single _")
        for name, field in model.model_fields.items():
            if name != name.lower() or not field.description or not field.examples:
                raise TypeError(f"{model.__name__}.{name} needs a name in lower case, a description and an example")
    return groups


def _default(field: FieldInfo) -> str | None:
    value: Any = None if field.is_required() else field.get_default(call_default_factory=False)
    if value in (None, (), ""):
        return None
    return str(value)
