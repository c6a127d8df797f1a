"""Every environment variable of the core, as a field each; a feature brings its own (``service.settings.groups``).

``.env.example``, the Railway environment and docs/reference/variables.md are generated from these fields.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from service.settings.formats import (
    AliasPrefix,
    CaFile,
    Collector,
    DatabaseUrl,
    HeaderName,
    Host,
    Listed,
    Origin,
    Pairs,
    Pem,
    Proxy,
    Url,
)
from service.settings.secret import ByValue, Secret

Environment = Literal["development", "staging", "production"]
T = TypeVar("T", bound=BaseModel)


class Settings(BaseModel):
    """The environment of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Field(
        description="How strict the service is with its other settings: production is the strictest.",
        examples=["production"],
    )
    host: Host = Field(
        default="0.0.0.0",  # noqa: S104
        description="Address to listen on; :: is every one, of IPv6 and IPv4.",
        examples=["127.0.0.1"],
    )
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.", examples=["8000"])
    public_url: Origin = Field(
        description="Origin under which callers reach the API.", examples=["https://api.example.com"]
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
        description="Connections opened beyond the pool under load, each for one request: costly where that lasts.",
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
    docs: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether /docs and /openapi.json are open to every caller; auto: everywhere but in production.",
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
        description="IAM Roles Anywhere: the IAM role of this service.",
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
        default=None,
        description="What the names of this stage's secrets begin with.",
        examples=["signalbox/production"],
    )
    s3_bucket_name: str | None = Field(default=None, description="Bucket for documents.", examples=["documents-bucket"])
    kms_key_id: str | None = Field(
        default=None,
        description="KMS key that protects stored data.",
        examples=["arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    tenant_role_arn: str | None = Field(
        default=None,
        description="IAM role in which a request touches its tenant's objects; production needs it for TenantAws.",
        examples=["arn:aws:iam::111122223333:role/signalbox-tenant"],
    )
    tenant_key_prefix: AliasPrefix | None = Field(
        default=None,
        description="What the aliases of tenants' own KMS keys begin with; with it TenantAws encrypts with those, and "
        "without it with KMS_KEY_ID.",
        examples=["alias/signalbox/production/tenant/"],
    )
    otel_exporter_otlp_endpoint: Collector | None = Field(
        default=None,
        description="OpenTelemetry collector that gets traces and metrics (OTLP over HTTP); https, or http on this "
        "machine and on Railway's private network. Without it nothing of OpenTelemetry is imported.",
        examples=["http://collector.railway.internal:4318"],
    )
    otel_exporter_otlp_headers: Pairs | None = Field(
        default=None,
        description="Header fields that the collector asks for, as name=value pairs; sealed on Railway.",
        examples=["api-key=example"],
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
