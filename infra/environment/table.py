"""Where every variable of the service comes from: one table, a row each, a column for each kind of deployment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from infra.stage import tailscale as tunnel
from infra.stage.names import PRODUCT
from infra.stage.record import Stage
from infra.stage.variables import COGNITO
from service import settings
from service.auth.settings import AuthSettings

Kind = Literal["stage", "trial"]
TRIAL: Final = "trial"  # the name of the one-click template where a stage's name is asked for
_SECRET_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"  # noqa: S105  no secret


@dataclass(frozen=True, slots=True)
class Local:
    """What differs where AWS and the API run on this machine.

    Attributes:
        aws_url: Where the local AWS listens.
        port: Where the API is to listen.
    """

    aws_url: str
    port: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a row can draw from.

    Attributes:
        stage: The deployment target.
        outputs: Stack outputs by key, checked by ``infra.stage.outputs.read``.
        local: None for a stage that runs on Railway.
        given: Values of variables that are asked for, by name; those of sealed variables are only ever sent.
    """

    stage: Stage
    outputs: Mapping[str, str]
    local: Local | None = None
    given: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from.

    Attributes:
        text: For people and for the ``source`` field of a rendering.
        make: Makes the value; None for one that is asked for, or that nobody sets.
        asked: Whether the user is asked for it.
        optional: Whether the user may leave it out.
        when: Where it is asked for; None means everywhere.
    """

    text: str
    make: Callable[[Inputs], str] | None = None
    asked: bool = False
    optional: bool = False
    when: Callable[[Stage], bool] | None = None


def output(key: str) -> Source:
    """A stack output, as it is."""
    return Source(f"stack output {key}", lambda inputs: inputs.outputs[key])


def optional_output(key: str, when: Callable[[Stage], bool]) -> Source:
    """A stack output that some stages have, and must have then; elsewhere the variable is left out."""
    return Source(f"stack output {key}, where there is one", lambda i: i.outputs[key] if when(i.stage) else "")


def composed(text: str, make: Callable[[Inputs], str]) -> Source:
    """Put together from the stage's record and the outputs."""
    return Source(text, make)


def constant(value: str) -> Source:
    """The same everywhere."""
    return Source("constant", lambda _: value)


def reference(text: str) -> Source:
    """Filled in by Railway: ``${{...}}``."""
    return Source("Railway reference", lambda _: text)


def asked(text: str, when: Callable[[Stage], bool] | None = None) -> Source:
    """Asked of the user; a sealed one stays as it is on Railway until a new value is given."""
    return Source(text, asked=True, when=when)


def offered(text: str) -> Source:
    """Asked of the user, who may leave it out."""
    return Source(text, asked=True, optional=True)


def generated(length: int) -> Source:
    """Made by Railway when it deploys a template, and for good.

    Args:
        length: Letters and digits.
    """
    return Source("made by Railway", lambda _: f'${{{{secret({length}, "{_SECRET_ALPHABET}")}}}}')


UNSET: Final = Source("not set: the default holds")
UNUSED: Final = Source("not used there")
PLATFORM: Final = Source("set by Railway")


@dataclass(frozen=True, slots=True)
class Row:
    """One variable.

    Attributes:
        name: As ``service.settings.variables`` has it; ``<NAME>`` stands for the provider of the deployment.
        stage: Its source in a stage.
        trial: Its source in the one-click template.
        local: Its source on this machine; None where it is the stage's.
        sealed: Whether Railway is to hide it for good.
        description: Only for what the settings do not know.
    """

    name: str
    stage: Source = UNSET
    trial: Source = UNUSED
    local: Source | None = None
    sealed: bool = False
    description: str | None = None


def _by_certificate(target: Stage) -> bool:
    return target.access == "roles-anywhere"


def _by_user(target: Stage) -> bool:
    return target.access == "user"


def _database_url(inputs: Inputs) -> str:
    outputs, tls = inputs.outputs, "disable" if inputs.local else "verify-full"
    address = f"{outputs['DatabaseHost']}:{outputs['DatabasePort']}/{outputs['DatabaseName']}"
    return f"postgresql://{inputs.stage.database.app_user}@{address}?sslmode={tls}"


def _local(make: Callable[[Inputs, Local], str]) -> Source:
    def value(inputs: Inputs) -> str:
        assert inputs.local is not None
        return make(inputs, inputs.local)

    return Source("this machine", value)


_TRIAL_DATABASE_URL: Final = (
    f"postgresql://{PRODUCT.app_role}@"
    "${{Postgres.RAILWAY_PRIVATE_DOMAIN}}:5432/${{Postgres.PGDATABASE}}?sslmode=disable"
)
_TRIAL_LOGIN: Final = json.dumps({"username": PRODUCT.app_role, "password": "${{DATABASE_APP_PASSWORD}}"})
_TRIAL_MASTER: Final = '{"username": "${{Postgres.POSTGRES_USER}}", "password": "${{Postgres.POSTGRES_PASSWORD}}"}'

# A setting without a row has its default everywhere, and stands where the service lists it.
_ROWS: Final[tuple[Row, ...]] = (
    Row("ENVIRONMENT", composed("stage record", lambda i: i.stage.environment), constant("staging")),
    Row("HOST", local=constant("127.0.0.1")),
    Row("PORT", PLATFORM, PLATFORM, local=_local(lambda _, local: str(local.port))),
    Row(
        "PUBLIC_URL",
        composed("stage record", lambda i: i.stage.public_url),
        reference("https://${{RAILWAY_PUBLIC_DOMAIN}}"),
    ),
    Row("RUN_MIGRATIONS", composed("stage record", lambda i: "manual" if i.stage.migrations == "manual" else "")),
    Row(
        "ALLOWED_ORIGINS",
        composed("stage record", lambda i: ",".join(i.stage.allowed_origins)),
        asked("your front end's origin"),
    ),
    Row(
        "DATABASE_URL",
        composed("stack outputs DatabaseHost, DatabasePort, DatabaseName", _database_url),
        # Railway's private network is encrypted, and its PostgreSQL has a certificate that nobody signed.
        reference(_TRIAL_DATABASE_URL),
    ),
    Row("DATABASE_SECRET_ID", optional_output("DatabaseLoginSecretArn", lambda stage: not stage.database.iam_auth)),
    Row("DATABASE_SECRET", UNUSED, reference(_TRIAL_LOGIN)),
    Row("DATABASE_IAM_AUTH", composed("stage record", lambda i: "true" if i.stage.database.iam_auth else "")),
    # Where an operator migrates, the service may not even read the login that can.
    Row("DATABASE_MIGRATION_SECRET_ID", optional_output("DatabaseMasterSecretArn", lambda s: s.migrations == "auto")),
    # The superuser of Railway's PostgreSQL migrates; the service itself refuses to run as one. Not sealed: nobody says
    # whether Railway fills in references there, and its PostgreSQL has the password in a plain variable anyway.
    Row("DATABASE_MIGRATION_SECRET", UNUSED, reference(_TRIAL_MASTER)),
    Row("DATABASE_PROXY", composed("stage record", lambda i: tunnel.PROXY_URL if i.stage.subnet_router else "")),
    # The emulator's database has no TLS to verify.
    Row("DATABASE_CA_FILE", constant("rds"), local=UNSET),
    Row("SESSION_SECRET_ID", output("SessionKeySecretArn")),
    Row("SESSION_SECRET", UNUSED, generated(64), sealed=True),
    Row("AWS_REGION", output("Region")),
    Row("ROLES_ANYWHERE_TRUST_ANCHOR_ARN", optional_output("TrustAnchorArn", _by_certificate)),
    Row("ROLES_ANYWHERE_PROFILE_ARN", optional_output("ProfileArn", _by_certificate)),
    Row("ROLES_ANYWHERE_ROLE_ARN", optional_output("ServiceRoleArn", _by_certificate)),
    # Sealed, and in no file: what the service cannot ask Secrets Manager for, because it is how it gets there.
    Row("ROLES_ANYWHERE_CERTIFICATE_SECRET", asked("signalbox certs", _by_certificate), sealed=True),
    Row("ROLES_ANYWHERE_PRIVATE_KEY_SECRET", asked("signalbox certs", _by_certificate), sealed=True),
    Row("AWS_ENDPOINT_URL", local=_local(lambda _, local: local.aws_url)),
    Row("SECRETS_PREFIX", output("SecretsPrefix")),
    Row("S3_BUCKET_NAME", output("BucketName")),
    Row("KMS_KEY_ID", output("DataKeyArn")),
    Row("TENANT_ROLE_ARN", output("TenantRoleArn")),
    Row("TENANT_KEY_PREFIX", optional_output("TenantKeyPrefix", lambda stage: stage.tenant_keys != "off")),
    Row("TOKEN_SIGNING_KEY_ID", output("TokenSigningKeyArn")),
    Row("IDP__<NAME>__KIND", constant("cognito"), constant("oidc")),
    Row("IDP__<NAME>__ISSUER", output("UserPoolIssuer"), asked("your provider's issuer")),
    Row("IDP__<NAME>__CLIENT_ID", output("UserPoolClientId"), asked("the client's id at your provider")),
    # Without it Auth0, and others by their own rules, make access tokens that only they can read.
    Row("IDP__<NAME>__AUDIENCE", trial=offered("your API's identifier at your provider")),
    Row("IDP__<NAME>__CLIENT_SECRET", UNUSED, UNSET, sealed=True),
    # The issuer keeps its AWS name on a laptop; only the place of its keys differs.
    Row(
        "IDP__<NAME>__JWKS_URL",
        trial=UNSET,
        local=_local(lambda i, local: f"{local.aws_url}/{i.outputs['UserPoolId']}/.well-known/jwks.json"),
    ),
    Row(
        "IDP__<NAME>__DISCOVERY_URL",
        trial=UNSET,
        local=_local(lambda i, local: f"{local.aws_url}/{i.outputs['UserPoolId']}/.well-known/openid-configuration"),
    ),
    Row("IDP__<NAME>__SP_SECRET", UNUSED, UNSET, sealed=True),
    Row("OTEL_EXPORTER_OTLP_HEADERS", trial=UNSET, sealed=True),
)

_BY_NAME: Final = {row.name: row for row in _ROWS}
_OWN: Final[settings.Groups] = {"auth": AuthSettings}  # the feature that the stacks have outputs for
TABLE: Final = tuple(_BY_NAME.pop(v.name, Row(v.name, trial=UNSET)) for v in settings.variables(_OWN))
assert not _BY_NAME, f"rows for settings that the service does not have: {', '.join(_BY_NAME)}"

# Variables that the service's settings do not read: what libraries and Railway read.
EXTRA: Final[tuple[Row, ...]] = (
    # On this machine no secrets: the local AWS takes any pair and has no account behind it.
    Row(
        "AWS_ACCESS_KEY_ID",
        asked("access key of the stage's IAM user", _by_user),
        local=constant("test"),
        sealed=True,
        description="Access key of the service, in a stage without a certificate.",
    ),
    Row(
        "AWS_SECRET_ACCESS_KEY",
        asked("access key of the stage's IAM user", _by_user),
        local=constant("test"),
        sealed=True,
        description="Its other half.",
    ),
    Row(
        "DATABASE_APP_PASSWORD",
        UNUSED,
        generated(48),
        description="Password of the service's database login; the first migration sets it.",
    ),
)

PROVIDER: Final[Mapping[Kind, str]] = {"stage": COGNITO, "trial": "OIDC"}


def rows(groups: settings.Groups = {}) -> tuple[Row, ...]:  # noqa: B006  never written to
    """Every row, and one for each setting of a feature that has none: its default holds, or what the stage says.

    Args:
        groups: Settings of features, as ``service.settings.load`` takes them.
    """
    known = {row.name for row in TABLE}
    brought = (variable for variable in settings.variables(groups) if variable.name not in known)
    return (*TABLE, *(Row(v.name, UNSET, UNSET, sealed=v.secret) for v in brought), *EXTRA)
