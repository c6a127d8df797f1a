"""The role in which the service touches what belongs to a tenant: its session carries the tenant, and bounds it.

The prefix in the bucket, the context of encryption and the alias of the key are compared with the session's tag in the
policy, so that a mistake in a handler cannot touch what is another tenant's. A session whose tag is missing can touch
nothing.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
"""

from __future__ import annotations

from typing import Any, Final

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stage.names import LABEL

TAG: Final = "tenant_id"
_TENANT: Final = f"${{aws:PrincipalTag/{TAG}}}"


class TenantRole(Construct):
    """The role and its policy.

    A tenant's own keys are made outside the stacks, so that none goes with them. The policy admits them in every stage,
    by their alias: where a stage begins to use them, or goes back, what was written can be read, and replicas that run
    meanwhile can write.

    Args:
        scope: The stack.
        construct_id: Its id there.
        bucket: Documents; a tenant's are below ``tenants/<tenant>/``.
        key: Encrypts them, and what a feature encrypts by itself, where the tenant has no key of its own.
        own_keys: What the alias of a tenant's own key begins with; the tenant follows.
        own_keys_only: Whether nothing more is encrypted with ``key``. What it has encrypted can be read.

    Attributes:
        role: The role. Its trust leaves it to the policies of the account who may take it on: the service's policy
            names it, and no other of ours does.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        key: kms.IKey,
        own_keys: str,
        own_keys_only: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        conditions = {
            "StringLike": {f"aws:RequestTag/{TAG}": "?*"},
            "ForAllValues:StringEquals": {"aws:TagKeys": [TAG]},
        }
        self.role = iam.Role(
            self,
            "Role",
            description=f"{LABEL}: one tenant's objects, for one tenant's requests",
            max_session_duration=Duration.hours(1),
            assumed_by=iam.PrincipalWithConditions(iam.AccountRootPrincipal(), conditions).with_session_tags(),
        )
        any_key = f"arn:{Aws.PARTITION}:kms:{Aws.REGION}:{Aws.ACCOUNT_ID}:key/*"  # the register has it by these names
        through_s3 = {
            "kms:ViaService": f"s3.{Stack.of(self).region}.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": bucket.bucket_arn,
        }
        context = {f"kms:EncryptionContext:{TAG}": _TENANT}
        alias = f"{own_keys}{_TENANT}"
        own: dict[str, Any] = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
        encrypt = [] if own_keys_only else ["kms:Encrypt", "kms:GenerateDataKey"]
        statements = [
            iam.PolicyStatement(
                sid="TenantDocuments",
                actions=["s3:GetObject", "s3:PutObject"],
                resources=[bucket.arn_for_objects(f"tenants/{_TENANT}/*")],
            ),
            # S3 encrypts under the bucket's own context, as bucket keys do; which object is decided above.
            iam.PolicyStatement(
                sid="TenantDocumentsKey",
                actions=["kms:Decrypt", *encrypt[1:]],
                resources=[key.key_arn],
                conditions={"StringEquals": through_s3},
            ),
            iam.PolicyStatement(
                sid="TenantKey",
                actions=["kms:Decrypt", *encrypt],
                resources=[key.key_arn],
                conditions={"StringEquals": context},
            ),
            # Which key it is, its alias says: by its id it could be any.
            iam.PolicyStatement(
                sid="OwnDocumentsKey",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[any_key],
                conditions={"StringEquals": through_s3, **own},
            ),
            iam.PolicyStatement(
                sid="OwnKeyOpens",
                actions=["kms:Decrypt"],
                resources=[any_key],
                conditions={"StringEquals": context, **own},
            ),
            # Named by that alias, too: a key that has got a second one encrypts for the tenant that is meant.
            iam.PolicyStatement(
                sid="OwnKeyEncrypts",
                actions=["kms:Encrypt", "kms:GenerateDataKey"],
                resources=[any_key],
                conditions={"StringEquals": {**context, "kms:RequestAlias": alias}, **own},
            ),
        ]
        iam.ManagedPolicy(self, "Policy", roles=[self.role], statements=statements)
