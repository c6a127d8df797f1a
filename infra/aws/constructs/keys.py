"""Customer-managed KMS keys.

Two that encrypt, because the one for logs has to trust the log service with whatever it encrypts, and one that signs.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.aws.constructs.removal import removal
from infra.stage.names import LABEL, StageNames


def _key(scope: Construct, description: str, alias: str, *, retain: bool, rotates: bool = True, **more: Any) -> kms.Key:
    rotation: dict[str, Any] = {"enable_key_rotation": True, "rotation_period": Duration.days(365)} if rotates else {}
    return kms.Key(
        scope,
        "Key",
        description=f"{LABEL}: {description}",
        alias=alias,
        # Days in which a deletion can be taken back; KMS allows 7 to 30.
        pending_window=Duration.days(30 if retain else 7),
        removal_policy=removal(retain),
        **rotation,
        **more,
    )


class DataKey(Construct):
    """The key of everything stored: database, documents, secrets.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for the alias.
        retain: Whether the key survives the deletion of its stack. Without it, nothing it encrypted can be read.

    Attributes:
        key: The key.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage_name: str, retain: bool) -> None:
        super().__init__(scope, construct_id)
        self.key = _key(self, "stored data", StageNames(stage_name).key("data"), retain=retain)


class SigningKey(Construct):
    """The key that signs the tokens we issue. Its private half never leaves KMS, so a stolen process cannot take it.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for the alias.
        number: Which of the stage's signing keys.
        retain: Whether the key survives the deletion of its stack.

    Attributes:
        key: P-256, for ES256 (RFC 7518, 3.4). KMS rotates no asymmetric key: a successor is a second key, whose public
            half is published before the first signature.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage_name: str, number: int, retain: bool) -> None:
        super().__init__(scope, construct_id)
        alias = StageNames(stage_name).key("token-signing" + (f"-{number}" if number > 1 else ""))
        on_curve = {"key_spec": kms.KeySpec.ECC_NIST_P256, "key_usage": kms.KeyUsage.SIGN_VERIFY}
        self.key = _key(self, "token signing", alias, retain=retain, rotates=False, **on_curve)


class LogsKey(Construct):
    """The key of what tells what happened: log groups, alarms, the audit trail.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for the alias.
        retain: Whether the key survives the deletion of its stack.

    Attributes:
        key: The key. Its policy lets CloudWatch Logs use it for log groups of this account and region only
            (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html), and those who write
            alarms and the audit trail, on behalf of this account only.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage_name: str, retain: bool) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self.key = _key(self, "logs", StageNames(stage_name).key("logs"), retain=retain)
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroupsOfThisAccount",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": stack.format_arn(
                            service="logs",
                            resource="log-group",
                            resource_name="*",
                            arn_format=ArnFormat.COLON_RESOURCE_NAME,
                        )
                    }
                },
            )
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsAndTrailOfThisAccount",
                principals=[
                    iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("cloudwatch", "budgets", "cloudtrail")
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
