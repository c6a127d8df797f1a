"""Every environment variable of the service, as a field each; ``service.settings.load`` reads them.

``.env.example``, the Railway environment and docs/reference/variables.md are generated from these fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo

from service.settings.formats import CaFile, ClaimPath, DatabaseUrl, Issuer, Listed, Origin, Pem, Proxy, Tenants, Url

PROVIDER_LIMIT = 50
GIVEN = "env:"  # begins the id of a secret that was given by value, in the variable without _ID

Environment = Literal["development", "staging", "production"]


class ProviderSettings(BaseModel):
    """One identity provider: the group ``IDP__<NAME>__...``; ``<NAME>`` in lower case is its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cognito", "okta", "auth0", "entra", "keycloak", "google", "oidc", "saml"] = Field(
        description="Which preset describes it.", examples=["cognito"]
    )
    issuer: Issuer = Field(
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
    database_url: DatabaseUrl = Field(
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
        max_length=PROVIDER_LIMIT,
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
        return {GIVEN + variable: value for variable, value in found.items() if value is not None}


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
