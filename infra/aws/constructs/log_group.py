"""Log groups: encrypted with our key, kept for as long as the law wants the records."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct


class AuditLogGroup(logs.LogGroup):
    """A log group that may hold records of who did what.

    Args:
        scope: Whatever logs into it.
        construct_id: Its id there.
        key: Key whose policy admits CloudWatch Logs.
        retain: Whether the group survives the deletion of its stack. Six years (45 CFR 164.316(b)(2)(i)) either way.
        name: Where a service dictates the name; None makes one up.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, key: kms.IKey, retain: bool, name: str | None = None
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            log_group_name=name,
            encryption_key=key,
            retention=logs.RetentionDays.SIX_YEARS,
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
        )
