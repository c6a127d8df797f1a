"""The audit trail: every call to AWS in the account, and every access to a document, signed so that gaps show."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.aws.constructs.bucket import SIX_YEARS, recorded_bucket
from infra.aws.constructs.log_group import AuditLogGroup
from infra.stage.names import LABEL, StageNames


class Trail(Construct):
    """CloudTrail for all regions, into a bucket and a log group.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        key: Encrypts both; its policy admits CloudTrail.
        access_logs: Where requests to the bucket are recorded.
        documents: Bucket whose objects' reads and writes are recorded one by one.
        retain: Whether bucket and log group survive the deletion of their stack.

    Attributes:
        log_group: Where alarms look.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage_name: str,
        key: kms.IKey,
        access_logs: s3.IBucket,
        documents: s3.IBucket,
        retain: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = AuditLogGroup(self, "Logs", key=key, retain=retain)
        name = StageNames(stage_name).whole
        bucket = self._build_bucket(key, access_logs, retain, name)
        role, policy = self.log_group.writer(self, "cloudtrail", f"{LABEL} audit trail: writes its own log group")
        # Not the CDK's own construct: it gives its role an inline policy.
        trail = cloudtrail.CfnTrail(
            self,
            "Trail",
            trail_name=name,
            is_logging=True,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            kms_key_id=key.key_arn,
            s3_bucket_name=bucket.bucket_name,
            cloud_watch_logs_log_group_arn=self.log_group.log_group_arn,
            cloud_watch_logs_role_arn=role.role_arn,
            event_selectors=[
                cloudtrail.CfnTrail.EventSelectorProperty(
                    include_management_events=True,
                    read_write_type="All",
                    data_resources=[
                        cloudtrail.CfnTrail.DataResourceProperty(
                            type="AWS::S3::Object", values=[documents.arn_for_objects("")]
                        )
                    ],
                )
            ],
        )
        # CloudTrail tries the bucket when it is made.
        assert bucket.policy is not None
        trail.node.add_dependency(bucket.policy, policy)

    def _build_bucket(self, key: kms.IKey, access_logs: s3.IBucket, retain: bool, name: str) -> s3.Bucket:
        bucket = recorded_bucket(
            self,
            key=key,
            access_logs=access_logs,
            prefix="trail/",
            retain=retain,
            lifecycle=s3.LifecycleRule(id="six-years", expiration=SIX_YEARS),
        )
        stack, service = Stack.of(self), iam.ServicePrincipal("cloudtrail.amazonaws.com")
        ours = {"aws:SourceArn": stack.format_arn(service="cloudtrail", resource="trail", resource_name=name)}
        for sid, action, resource, condition in (
            ("TrailChecks", "s3:GetBucketAcl", bucket.bucket_arn, ours),
            (
                "TrailWrites",
                "s3:PutObject",
                bucket.arn_for_objects(f"AWSLogs/{stack.account}/*"),
                ours | {"s3:x-amz-acl": "bucket-owner-full-control"},
            ),
        ):
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    principals=[service],
                    actions=[action],
                    resources=[resource],
                    conditions={"StringEquals": condition},
                )
            )
        return bucket
