"""The parts of a stage's record: database, network, identity providers of organizations, and who is told of what."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.stage.names import PRODUCT, TENANT
from infra.stage.told import form

Identifier = Annotated[
    str, form(r"[a-z][a-z0-9_]{0,62}", "1 to 63 lower-case letters, digits and underscores, a letter first")
]
_Https = Annotated[str, form(r"https://[^\s\"<>]+", "an address that begins with https://")]


class Database(BaseModel):
    """The RDS instance of a stage.

    Attributes:
        instance_type: Class and size, without RDS's ``db.`` prefix.
        storage_gib: GiB to begin with; gp3 starts at 20.
        max_storage_gib: GiB up to which RDS grows the volume by itself.
        multi_az: Whether a standby runs in a second zone.
        backup_days: Days that automated backups are kept, 1 to 35.
        deletion_protection: Whether RDS refuses to delete the instance.
        port: TCP port. Not 5432: whoever scans for databases asks there first.
        name: Database that the instance begins with.
        master_user: Login that runs migrations. RDS keeps its password.
        app_user: Login of the service, made by the first migration.
        iam_auth: Whether the service logs in with IAM tokens of fifteen minutes instead of a password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: Annotated[str, form(r"[a-z][a-z0-9]*\.[a-z0-9]+", "class and size without db., such as t4g.medium")]
    storage_gib: int = Field(default=20, ge=20, le=65_536)
    max_storage_gib: int = Field(default=100, ge=20, le=65_536)
    multi_az: bool = False
    backup_days: int = Field(default=7, ge=1, le=35)
    deletion_protection: bool = False
    port: int = Field(default=5433, ge=1150, le=65_535)
    name: Identifier = PRODUCT.database
    master_user: Identifier = PRODUCT.master_role
    app_user: Identifier = PRODUCT.app_role
    iam_auth: bool = False


class Network(BaseModel):
    """The VPC of a stage, and its way out; nothing ever comes in. docs/INFRASTRUCTURE.md has what each choice costs.

    Attributes:
        cidr: Addresses of the VPC, a /16. Two stages that one tailnet reaches need different ones.
        nat_gateways: Ways out for the subnet router; 0 makes no public subnet and no internet gateway at all.
        interface_endpoints: Private addresses of Secrets Manager, KMS, Logs and SSM in the VPC, so that secrets
            and keys do not leave it. What the router says of itself (CloudWatch, Auto Scaling) goes the way out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cidr: Annotated[str, form(r"10\.[0-9]{1,3}\.0\.0/16", "a /16 of 10.0.0.0/8, such as 10.42.0.0/16")] = "10.42.0.0/16"
    nat_gateways: int = Field(default=0, ge=0, le=3)
    interface_endpoints: bool = False


class Federated(BaseModel):
    """An organization's own identity provider, behind the hosted login.

    Attributes:
        name: Its name in Cognito. The tenant hangs on it, so it is never given to another organization.
        kind: How Cognito talks to it.
        tenant: Whose people it vouches for. What the provider itself says about tenants does not count.
        metadata_url: SAML metadata.
        issuer: OpenID issuer.
        client_id: Ours at that issuer; its secret is in Secrets Manager as ``<NAME>/<stage>/idp-<name>``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, form(r"[A-Za-z][A-Za-z0-9]{2,31}", "3 to 32 letters and digits, a letter first")]
    kind: Literal["saml", "oidc"]
    tenant: Annotated[str, form(TENANT.pattern, "1 to 64 letters, digits, _ and -, a letter or digit first")]
    metadata_url: _Https | None = None
    issuer: _Https | None = None
    client_id: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "saml" and not (self.metadata_url and not self.issuer and not self.client_id):
            raise ValueError("a saml provider has metadata_url, and neither issuer nor client_id")
        if self.kind == "oidc" and not (self.issuer and self.client_id and not self.metadata_url):
            raise ValueError("an oidc provider has issuer and client_id, and no metadata_url")
        return self


class Watch(BaseModel):
    """Who is told, and of what.

    Attributes:
        email: Where alarms and the budget go; None leaves the topic without a reader.
        trail: Whether the stage keeps an audit trail of its own. Without one, somebody else's must cover the account:
            alarms on root, policies and keys read it.
        budget_usd: Monthly spending, in US dollars, of which 80 % and a forecast of 100 % are told; None sets no
            budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Annotated[str, form(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")] | None = None
    trail: bool = False
    budget_usd: int | None = Field(default=None, ge=1)
