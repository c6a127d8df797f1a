"""The role in which the service touches what belongs to a tenant: its session carries the tenant, and bounds it.

The prefix in the bucket and the context of encryption are compared with the session's tag in the policy, so that a
mistake in a handler cannot touch what is another tenant's. A session whose tag is missing can touch nothing.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stage.names import LABEL

TAG: Final = "tenant_id"
_TENANT: Final = f"${{aws:PrincipalTag/{TAG}}}"


class TenantRole(Construct):
    """The role and its policy.

    Args:
        scope: The stack.
        construct_id: Its id there.
        bucket: Documents; a tenant's are below ``tenants/<tenant>/``.
        key: Encrypts them, and what a feature encrypts by itself.

    Attributes:
        role: The role. Its trust leaves it to the policies of the account who may take it on: the service's policy
            names it, and no other of ours does.
    """

    def __init__(self, scope: Construct, construct_id: str, *, bucket: s3.IBucket, key: kms.IKey) -> None:
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
        statements = [
            iam.PolicyStatement(
                sid="TenantDocuments",
                actions=["s3:GetObject", "s3:PutObject"],
                resources=[bucket.arn_for_objects(f"tenants/{_TENANT}/*")],
            ),
            # S3 encrypts under the bucket's own context, as bucket keys do; which object is decided above.
            iam.PolicyStatement(
                sid="TenantDocumentsKey",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[key.key_arn],
                conditions={
                    "StringEquals": {
                        "kms:ViaService": f"s3.{Stack.of(self).region}.amazonaws.com",
                        "kms:EncryptionContext:aws:s3:arn": bucket.bucket_arn,
                    }
                },
            ),
            iam.PolicyStatement(
                sid="TenantKey",
                actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
                resources=[key.key_arn],
                conditions={"StringEquals": {f"kms:EncryptionContext:{TAG}": _TENANT}},
            ),
        ]
        iam.ManagedPolicy(self, "Policy", roles=[self.role], statements=statements)
