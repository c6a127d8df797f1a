"""One record per stage: what differs between a laptop and production, checked when the record is made.

The records themselves are the adopter's: ``infra/product.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.shell.failure import Failure
from infra.stage.names import StageNames, reserved
from infra.stage.parts import Database, Federated, Network, Watch
from infra.stage.told import form
from infra.stage.variables import Seal, problems

LOOPBACK: Final = ("localhost", "127.0.0.1")
# Opened before 2019, thus on by default in every account, with every service the stacks use, and with their RDS
# certificate authorities in service/database/rds-ca.pem.
REGIONS: Final = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
)

_FIRST_LABEL: Final = "1 to 63 lower-case letters, digits and dashes, a letter or digit at both ends"
_MADE_BY_HAND: Final = (
    "2 to 61 lower-case letters, digits and dashes, a letter first: the secret's name behind the stage's path"
)
RailwayRegion = Literal["us-west2", "us-east4-eqdc4a", "europe-west4-drams3a", "asia-southeast1-eqsg3a"]
Origin = Annotated[
    str,
    form(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", "an origin: https://, a host in lower case, and no path or / behind"),
]


class ConfigurationError(Failure):
    """A stage that does not exist, or must not; the text is one line for the person at the keyboard."""


class Stage(BaseModel):
    """One deployment of everything.

    Attributes:
        name: What ``-c stage=`` selects; part of every stack's and secret's name.
        environment: The service's ``ENVIRONMENT``, which decides how strict it is.
        region: AWS region.
        account: AWS account of 12 digits; None deploys to whichever account the credentials belong to.
        public_url: Origin of the API, where Cognito sends people back to.
        allowed_origins: Origins of the front ends, for the service's ``ALLOWED_ORIGINS``.
        availability_zones: Number of zones; RDS wants subnets in two at least.
        database: The RDS instance.
        domain_prefix: First label of the hosted login's address, unique in the whole region; product and stage unless
            somebody else has that one.
        cognito_plan: ESSENTIALS is the least with access token claims; PLUS adds threat protection.
        mfa_required: Whether everybody needs a TOTP app. Stage local may go without: its emulator asks for no codes.
        token_minutes: Minutes that access and ID tokens live; the service refuses more than 60.
        retain: Whether keys, data, secrets and users survive the deletion of their stack.
        network: The VPC.
        access: How the service proves to AWS who it is. A certificate (IAM Roles Anywhere) gives hours; an IAM user's
            keys last until somebody changes them.
        subnet_router: Whether a Tailscale subnet router leads from Railway to the database.
        federation: Identity providers of organizations, behind Cognito's hosted login.
        signing_keys: Numbers of the keys of the tokens we issue, the signing one first; each is a key of its own.
        retired_signing_keys: Numbers of keys that the service is told of no longer. A number goes here when it leaves
            ``signing_keys``, and with the next deployment from here: until that one, replicas that run may name it.
        tenant_keys: Whether what the service encrypts for a tenant is under a key of the tenant's own. ``on`` tells
            the service so, ``required`` also takes from tenants' sessions the right to encrypt with the stage's key.
            The keys are made by ``signalbox tenant-key``; what was written before can be read in any case.
        provider_secrets: Secrets below ``secrets_prefix``, made by hand, that the service may read besides those of the
            stacks: client secrets of providers that it talks to itself (``IDP__<NAME>__CLIENT_SECRET_ID``).
        watch: Alarms, trail, budget.
        railway_region: Where Railway runs it; None takes the one that is near the AWS region, where there is one.
        replicas: How many replicas of the service run; two in production, so that the loss of one is no outage.
        migrations: Who applies them: ``auto`` each deployment and each start, ``manual`` an operator's command.
        variables: What else the service is told, by variable: further providers (``IDP__OKTA__...``), ``LOG_LEVEL``,
            the pool, settings of features. ``SEALED`` in place of a value that only Railway is to have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, form(r"[a-z][a-z0-9]{1,19}", "2 to 20 lower-case letters and digits, a letter first")]
    environment: Literal["development", "staging", "production"]
    region: Annotated[str, form(r"[a-z]{2}(-[a-z]+)+-[1-9]", "an AWS region, such as eu-central-1")]
    account: Annotated[str, form(r"[0-9]{12}", "the 12 digits of an AWS account")] | None = None
    public_url: Origin
    allowed_origins: tuple[Origin, ...] = Field(min_length=1)
    availability_zones: int = Field(default=2, ge=2, le=3)
    database: Database
    domain_prefix: Annotated[str, form(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", _FIRST_LABEL)] = Field(
        default_factory=lambda known: StageNames(known["name"]).login
    )
    cognito_plan: Literal["ESSENTIALS", "PLUS"] = "ESSENTIALS"
    mfa_required: bool = True
    token_minutes: int = Field(default=60, ge=5, le=60)
    retain: bool = True
    network: Network = Network()
    access: Literal["roles-anywhere", "user"] = "roles-anywhere"
    subnet_router: bool = False
    federation: tuple[Federated, ...] = ()
    tenant_keys: Literal["off", "on", "required"] = "off"
    provider_secrets: tuple[Annotated[str, form(r"[a-z][a-z0-9-]{1,60}", _MADE_BY_HAND)], ...] = ()
    signing_keys: tuple[Annotated[int, Field(ge=1, le=999)], ...] = Field(default=(1,), min_length=1, max_length=3)
    retired_signing_keys: tuple[Annotated[int, Field(ge=1, le=999)], ...] = Field(default=(), max_length=3)
    watch: Watch = Watch()
    railway_region: RailwayRegion | None = None
    replicas: int = Field(default_factory=lambda known: 2 if known["environment"] == "production" else 1, ge=1, le=50)
    migrations: Literal["auto", "manual"] = "auto"
    variables: Mapping[str, str | Seal] = Field(default_factory=dict)

    @property
    def names(self) -> StageNames:
        """What the stage is called outside this repository."""
        return StageNames(self.name)

    @property
    def secrets_prefix(self) -> str:
        """What the names of this stage's secrets begin with, without the slash that follows it."""
        return self.names.path

    @model_validator(mode="after")
    def _safe(self) -> Self:
        problems = []
        keys = (*self.signing_keys, *self.retired_signing_keys)
        if len(set(keys)) != len(keys):
            problems.append("signing_keys and retired_signing_keys must name each key once")
        local = self.name == "local"
        for address in (self.public_url, *self.allowed_origins):
            parts = urlsplit(address)
            if parts.scheme != "https" and not (local and parts.hostname in LOOPBACK):
                problems.append("addresses must be https (http only for this machine, in stage local)")
        if not (self.mfa_required or local):
            problems.append("mfa_required may be off in stage local only")
        if reserved(self.domain_prefix):
            problems.append("domain_prefix must not contain aws, amazon or cognito (Cognito reserves them)")
        if self.database.max_storage_gib < self.database.storage_gib:
            problems.append("database.max_storage_gib must not be less than database.storage_gib")
        if local and self.environment != "development":
            problems.append("stage local is a development environment")
        if self.environment != "development" and not (self.retain and self.database.deletion_protection):
            problems.append(f"{self.environment} needs retain and database.deletion_protection")
        # 164.308(a)(7): a copy that can be restored, and a plan for the loss of a data centre.
        if self.environment == "production" and not (self.database.multi_az and self.database.backup_days >= 30):
            problems.append("production needs database.multi_az and database.backup_days of 30 or more")
        if self.environment == "production" and self.cognito_plan != "PLUS":
            problems.append("production needs cognito_plan PLUS")
        problems += self._unreachable_or_unproven()
        if problems:
            raise ValueError("; ".join(dict.fromkeys(problems)))
        return self

    def _unreachable_or_unproven(self) -> Iterator[str]:
        if self.region not in REGIONS:
            yield f"region must be one of {', '.join(REGIONS)}: every service is there, and its RDS CA is in the image"
        if self.subnet_router and not self.network.nat_gateways:
            yield "subnet_router needs network.nat_gateways: its control plane is on the internet"
        if self.environment == "production" and self.access != "roles-anywhere":
            yield "production needs access roles-anywhere: keys of a user do not expire"
        if self.environment == "production" and not (self.mfa_required and self.watch.email):
            yield "production needs mfa_required and watch.email"
        names = [provider.name for provider in self.federation]
        if len(set(names)) < len(names) or "COGNITO" in (name.upper() for name in names):
            yield "federation names must differ from one another and from Cognito: the tenant hangs on them"
        yield from problems(
            self.variables,
            stage=self.name,
            given={
                "ENVIRONMENT": self.environment,
                "PUBLIC_URL": self.public_url,
                "ALLOWED_ORIGINS": ",".join(self.allowed_origins),
            },
            readable=frozenset(f"{self.secrets_prefix}/{name}" for name in self.provider_secrets),
        )
