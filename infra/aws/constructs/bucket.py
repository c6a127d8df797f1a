"""Buckets: private, encrypted, reachable by TLS only, nothing overwritten for good, every request recorded."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.aws.constructs.removal import removal

SIX_YEARS = Duration.days(2192)  # like the logs


def _private(retain: bool) -> dict[str, Any]:
    """What every bucket is."""
    return {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "versioned": True,
        "removal_policy": removal(retain),
    }


class AccessLogBucket(s3.Bucket):
    """Where the requests to other buckets are recorded.

    Args:
        scope: The stack.
        construct_id: Its id there.
        retain: Whether the bucket survives the deletion of its stack.
    """

    def __init__(self, scope: Construct, construct_id: str, *, retain: bool) -> None:
        super().__init__(
            scope,
            construct_id,
            # S3's own key: AWS's documents disagree on whether log delivery works with another
            # (docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html).
            encryption=s3.BucketEncryption.S3_MANAGED,
            **_private(retain),
            lifecycle_rules=[
                s3.LifecycleRule(id="six-years", expiration=SIX_YEARS, noncurrent_version_expiration=Duration.days(30))
            ],
        )
        # For a bucket of another stack the CDK admits S3's log delivery without asking on whose behalf it writes.
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RecordsOfThisAccountOnly",
                effect=iam.Effect.DENY,
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.arn_for_objects("*")],
                conditions={"StringNotEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )


def recorded_bucket(
    scope: Construct, *, key: kms.IKey, access_logs: s3.IBucket, prefix: str, retain: bool, lifecycle: s3.LifecycleRule
) -> s3.Bucket:
    """A bucket under our own key, whose requests are recorded; its id is ``Bucket``.

    Args:
        scope: The construct that has it.
        key: Encrypts the objects.
        access_logs: Where requests are recorded.
        prefix: What the names of those records begin with.
        retain: Whether the bucket survives the deletion of its stack.
        lifecycle: When objects go.
    """
    return s3.Bucket(
        scope,
        "Bucket",
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        **_private(retain),
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=prefix,
        lifecycle_rules=[lifecycle],
    )


class DocumentBucket(Construct):
    """The bucket. Objects of a tenant are under ``tenants/<tenant>/``.

    Args:
        scope: The stack.
        construct_id: Its id there.
        key: Encrypts the objects.
        access_logs: Where requests are recorded.
        retain: Whether the bucket survives the deletion of its stack. Where it does not, it has to be emptied first.

    Attributes:
        bucket: The bucket. AWS makes up its name: a name that can be guessed can be taken by somebody else.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, key: kms.IKey, access_logs: s3.IBucket, retain: bool
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = recorded_bucket(
            self,
            key=key,
            access_logs=access_logs,
            prefix="documents/",
            retain=retain,
            lifecycle=s3.LifecycleRule(
                id="abandoned-uploads-and-old-versions",
                abort_incomplete_multipart_upload_after=Duration.days(7),
                noncurrent_version_expiration=SIX_YEARS,
            ),
        )
