"""What the stacks tell the outside: the one table of their outputs, and the way into ``cdk deploy --outputs-file``.

Names and ARNs only. Whoever may describe a stack can read its outputs, so a secret's value never is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from infra.shell.failure import Failure
from infra.stage.names import StageNames
from infra.stage.text import misread

if TYPE_CHECKING:  # `read` is for commands that must not wait seconds for the CDK to load
    from aws_cdk import Stack

Part = Literal["network", "data", "identity", "access", "watch"]

MAX_LENGTH: Final = 2048  # characters; the longest, an ARN, may have as many


class OutputsError(Failure):
    """The outputs are not those of our stacks; the text is one line."""


class Output(NamedTuple):
    """One row of the table.

    Attributes:
        stack: Which stack has it.
        key: Its name in the template and in the outputs file.
        description: What it is.
        optional: Whether a stage may lack it, such as one whose service has no certificate.
    """

    stack: Part
    key: str
    description: str
    optional: bool = False


OUTPUTS: Final = (
    Output("network", "VpcId", "VPC that holds the database"),
    Output("data", "Region", "AWS region of every stack"),
    Output("data", "DatabaseHost", "Host of the PostgreSQL instance, which is also the name in its certificate"),
    Output("data", "DatabasePort", "TCP port of the PostgreSQL instance"),
    Output("data", "DatabaseName", "Database of the service"),
    Output("data", "DatabaseLoginSecretArn", "Secret with the service's database login"),
    Output("data", "DatabaseMasterSecretArn", "Secret with the login that runs migrations, rotated by RDS"),
    Output("data", "SessionKeySecretArn", "Secret that login cookies are encrypted with"),
    Output("data", "SecretsPrefix", "What the names of this stage's secrets begin with"),
    Output("data", "BucketName", "Bucket for documents"),
    Output("data", "DataKeyArn", "KMS key of the stored data"),
    Output("data", "TenantRoleArn", "Role in which the service touches one tenant's objects"),
    Output("data", "TenantKeyPrefix", "What the aliases of tenants' own keys begin with", optional=True),
    Output(
        "data",
        "TokenSigningKeyArn",
        "KMS keys of the tokens the service issues (ES256), the signing one first, by commas",
    ),
    Output("identity", "UserPoolId", "Cognito user pool"),
    Output("identity", "UserPoolIssuer", "The iss of the pool's tokens"),
    Output("identity", "UserPoolClientId", "App client of the API; it has no secret"),
    Output("identity", "HostedLoginUrl", "Base address of the hosted login"),
    Output("access", "ServicePolicyArn", "Managed policy with what the service may do"),
    Output("access", "TrustAnchorArn", "IAM Roles Anywhere: the authority that vouches for the service", optional=True),
    Output("access", "ProfileArn", "IAM Roles Anywhere: the profile", optional=True),
    Output("access", "ServiceRoleArn", "IAM Roles Anywhere: the role of the service", optional=True),
    Output("access", "ServiceUserName", "IAM user of the service, in a stage without a certificate", optional=True),
    Output("access", "RouterKeySecretArn", "Secret for Tailscale's key of the subnet router", optional=True),
    Output("watch", "AlarmTopicArn", "SNS topic of every alarm", optional=True),
    Output("watch", "TrailLogGroupName", "Log group of the stage's own audit trail", optional=True),
)

_BY_KEY: Final = {output.key: output for output in OUTPUTS}


def stack_name(stage: str, part: Part) -> str:
    """The CloudFormation name of a stack.

    Args:
        stage: Name of the stage.
        part: Which of its stacks.
    """
    return StageNames(stage).stack(part)


def emit(scope_stack: Stack, key: str, value: str) -> None:
    """Declare an output of the table. Without an export name: an export could not change while another stack reads it.

    Args:
        scope_stack: The stack that has it.
        key: Its row in the table.
        value: A name or an ARN, usually a token.

    Raises:
        OutputsError: The table does not have it for this stack.
    """
    from aws_cdk import CfnOutput

    output = _BY_KEY.get(key)
    if output is None or not scope_stack.stack_name.endswith(f"-{output.stack}"):
        raise OutputsError(
            f"{key} is no output of {scope_stack.stack_name}: add it to OUTPUTS in infra/stage/outputs.py"
        )
    CfnOutput(scope_stack, key, value=value, description=output.description)


def read(outputs_json: object, stage: str) -> dict[str, str]:
    """The outputs of a stage, checked: what comes out goes into the environment of the service.

    Args:
        outputs_json: The parsed outputs file, stack name -> key -> value. Other stacks and keys (such as those that
            weak references between stacks publish) are ignored.
        stage: Name of the stage.

    Returns:
        Key -> value, with every row of the table but optional ones that the stage lacks.

    Raises:
        OutputsError: It has another shape, or a row of the table is missing or holds something else than a text of 1 to
            2048 characters that every reader reads the same. The text never repeats a value.
    """
    if not isinstance(outputs_json, Mapping):
        raise OutputsError("the outputs file is no JSON object of stacks: run cdk deploy")
    values = {}
    for output in OUTPUTS:
        name = stack_name(stage, output.stack)
        stack = outputs_json.get(name)
        value = stack.get(output.key) if isinstance(stack, Mapping) else None
        if value is None and output.optional:
            continue
        if value is None:
            raise OutputsError(f"{name} has no output {output.key}: run cdk deploy for stage {stage}")
        # A line feed would start a second variable in an .env file; ``${{`` is Railway's to fill in.
        if not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH or misread(value):
            raise OutputsError(f"{name} has an unusable output {output.key}: run cdk deploy for stage {stage}")
        values[output.key] = value
    return values
