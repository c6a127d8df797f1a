"""The environment of the service, made from stack outputs: one table, one way, for a laptop and for production.

A row says where a variable's value comes from. What comes out is checked with the service's own settings before anyone
sees it: an environment that the service would refuse is not rendered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.config import Stage
from infra.failure import Failure
from infra.railway import tunnel
from service import settings


class EnvironmentRefused(Failure):
    """The outputs do not make an environment the service accepts; the text says why."""


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
        outputs: Stack outputs by key, checked by ``infra.outputs.read``.
        local: None for a stage that runs on Railway.
    """

    stage: Stage
    outputs: Mapping[str, str]
    local: Local | None = None


Source = Callable[[Inputs], str]


def _output(key: str) -> Source:
    return lambda inputs: inputs.outputs[key]


def _by_certificate(key: str) -> Source:
    """An output that a stage has when its service proves itself by certificate, and must have then."""

    def find(inputs: Inputs) -> str:
        if inputs.stage.access != "roles-anywhere":
            return ""
        if key not in inputs.outputs:
            raise EnvironmentRefused(
                f"Stage {inputs.stage.name}: its stacks have no output {key}; run cdk deploy again"
            )
        return inputs.outputs[key]

    return find


def _database_url(inputs: Inputs) -> str:
    outputs, tls = inputs.outputs, "disable" if inputs.local else "verify-full"
    address = f"{outputs['DatabaseHost']}:{outputs['DatabasePort']}/{outputs['DatabaseName']}"
    return f"postgresql://{inputs.stage.database.app_user}@{address}?sslmode={tls}"


TEMPLATE: Mapping[str, Source] = {
    "ENVIRONMENT": lambda inputs: inputs.stage.environment,
    "PUBLIC_URL": lambda inputs: inputs.stage.public_url,
    "ALLOWED_ORIGINS": lambda inputs: ",".join(inputs.stage.allowed_origins),
    "DATABASE_URL": _database_url,
    "DATABASE_SECRET_ID": lambda inputs: (
        "" if inputs.stage.database.iam_auth else inputs.outputs["DatabaseLoginSecretArn"]
    ),
    "DATABASE_IAM_AUTH": lambda inputs: "true" if inputs.stage.database.iam_auth else "",
    "DATABASE_MIGRATION_SECRET_ID": _output("DatabaseMasterSecretArn"),
    "SESSION_SECRET_ID": _output("SessionKeySecretArn"),
    # The emulator's database has no TLS to verify.
    "DATABASE_CA_FILE": lambda inputs: "" if inputs.local else "rds",
    "DATABASE_PROXY": lambda inputs: tunnel.PROXY_URL if inputs.stage.subnet_router else "",
    "AWS_REGION": _output("Region"),
    "ROLES_ANYWHERE_TRUST_ANCHOR_ARN": _by_certificate("TrustAnchorArn"),
    "ROLES_ANYWHERE_PROFILE_ARN": _by_certificate("ProfileArn"),
    "ROLES_ANYWHERE_ROLE_ARN": _by_certificate("ServiceRoleArn"),
    "SECRETS_PREFIX": _output("SecretsPrefix"),
    "S3_BUCKET_NAME": _output("BucketName"),
    "KMS_KEY_ID": _output("DataKeyArn"),
    "TOKEN_SIGNING_KEY_ID": _output("TokenSigningKeyArn"),
    "IDP__COGNITO__KIND": lambda _: "cognito",
    "IDP__COGNITO__ISSUER": _output("UserPoolIssuer"),
    "IDP__COGNITO__CLIENT_ID": _output("UserPoolClientId"),
}

# Sealed on Railway, and in no file: what the service cannot ask Secrets Manager for, because it is how it gets there.
# `signalbox certs` makes the first two; the other two are the access key of the stage's IAM user.
SEALED_BY_CERTIFICATE = ("ROLES_ANYWHERE_CERTIFICATE_SECRET", "ROLES_ANYWHERE_PRIVATE_KEY_SECRET")
SEALED_BY_USER = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

# The issuer keeps its AWS name on a laptop; only the place of its keys differs.
LOCAL: Mapping[str, Callable[[Inputs, Local], str]] = {
    "HOST": lambda _, local: "127.0.0.1",
    "PORT": lambda _, local: str(local.port),
    "AWS_ENDPOINT_URL": lambda _, local: local.aws_url,
    "IDP__COGNITO__JWKS_URL": lambda inputs, local: (
        f"{local.aws_url}/{inputs.outputs['UserPoolId']}/.well-known/jwks.json"
    ),
    "IDP__COGNITO__DISCOVERY_URL": lambda inputs, local: (
        f"{local.aws_url}/{inputs.outputs['UserPoolId']}/.well-known/openid-configuration"
    ),
    # Not secrets: the local AWS takes any pair and has no account behind it.
    "AWS_ACCESS_KEY_ID": lambda *_: "test",
    "AWS_SECRET_ACCESS_KEY": lambda *_: "test",
}


def sealed(stage: Stage) -> tuple[str, ...]:
    """Names of the variables that somebody has to seal on Railway before the service can start.

    Args:
        stage: The deployment target.
    """
    return SEALED_BY_CERTIFICATE if stage.access == "roles-anywhere" else SEALED_BY_USER


def render(inputs: Inputs) -> dict[str, str]:
    """Make the environment of a stage.

    Args:
        inputs: Stage, outputs, and what differs locally.

    Returns:
        Variables by name, without those that would be empty.

    Raises:
        EnvironmentRefused: The service would not start from it.
    """
    found = {name: source(inputs) for name, source in TEMPLATE.items()}
    if inputs.local is not None:
        found |= {name: source(inputs, inputs.local) for name, source in LOCAL.items()}
    found = {name: value for name, value in found.items() if value}
    # Sealed values are not here; the settings insist on them all the same, so their examples stand in.
    examples = {variable.name: variable.example for variable in settings.variables()}
    stand_ins = {name: examples[name] for name in sealed(inputs.stage) if name in examples}
    try:
        settings.load(stand_ins | found)
    except settings.SettingsError as failure:
        raise EnvironmentRefused(f"Stage {inputs.stage.name}: {failure}") from None
    return found


def dotenv(variables: Mapping[str, str]) -> str:
    """As a dotenv file: every value quoted, so that no character of it means anything."""
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in variables.items())


def flat_json(variables: Mapping[str, str]) -> str:
    """As the JSON object that Railway's raw editor takes."""
    return json.dumps(dict(variables), indent=2) + "\n"
