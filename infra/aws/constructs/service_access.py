"""What the service may do in AWS, all of it on one page."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.stage.names import LABEL


class ServiceAccess(Construct):
    """The managed policy of the service. Whoever the service runs as gets this policy and no other.

    Args:
        scope: The stack.
        construct_id: Its id there.
        secrets: ARNs of the secrets it reads.
        master_secret_arn: Secret of the login that runs its migrations; None where the service runs none.
        key: Key of the secrets.
        signing_keys: Keys of the tokens it issues.
        tenant_role: What it takes on to touch a tenant's objects; it may touch none as itself.
        instance: Database.
        app_user: The one database login that it may get an IAM token for.

    Attributes:
        policy: The policy.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        secrets: list[str],
        master_secret_arn: str | None,
        key: kms.IKey,
        signing_keys: Sequence[kms.IKey],
        tenant_role: iam.IRole,
        instance: rds.DatabaseInstance,
        app_user: str,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        login = stack.format_arn(
            service="rds-db",
            resource="dbuser",
            resource_name=f"{instance.instance_resource_id}/{app_user}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self.policy = iam.ManagedPolicy(
            self,
            "ServicePolicy",
            description=f"{LABEL}: what the service may do",
            statements=[
                iam.PolicyStatement(
                    sid="ReadSecrets",
                    actions=["secretsmanager:GetSecretValue"],
                    resources=[*secrets, *([master_secret_arn] if master_secret_arn else [])],
                ),
                # Through this service only: with stolen credentials, the key alone decrypts nothing.
                iam.PolicyStatement(
                    sid="UseKeyThroughServices",
                    actions=["kms:Decrypt"],
                    resources=[key.key_arn],
                    conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{stack.region}.amazonaws.com"}},
                ),
                # No condition on the algorithm: a key on this curve has one.
                iam.PolicyStatement(
                    sid="SignTokens",
                    actions=["kms:Sign", "kms:GetPublicKey"],
                    resources=[signing_key.key_arn for signing_key in signing_keys],
                ),
                # Whoever may do this may name any tenant: the service, and administrators of the account.
                iam.PolicyStatement(
                    sid="ActForOneTenant",
                    actions=["sts:AssumeRole", "sts:TagSession"],
                    resources=[tenant_role.role_arn],
                ),
                iam.PolicyStatement(sid="DatabaseLogin", actions=["rds-db:connect"], resources=[login]),
            ],
        )
