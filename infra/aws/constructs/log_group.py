"""Log groups: encrypted with our key, kept for as long as the law wants the records."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.aws.constructs.removal import removal


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
            removal_policy=removal(retain),
        )

    def writer(
        self, scope: Construct, service: str, description: str, *more: str, prefix: str = ""
    ) -> tuple[iam.Role, iam.ManagedPolicy]:
        """A role that an AWS service takes on to write this group, and that may do nothing else.

        Args:
            scope: The construct that has it.
            service: First label of the service's principal.
            description: Of the role.
            more: Actions on the group besides those that write.
            prefix: Begins the ids, where the construct has another role.
        """
        principal = iam.ServicePrincipal(f"{service}.amazonaws.com")
        role = iam.Role(scope, f"{prefix}Role", description=description, assumed_by=principal)
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", *more]
        statement = iam.PolicyStatement(sid="WriteOwnLog", actions=actions, resources=[self.log_group_arn])
        return role, iam.ManagedPolicy(scope, f"{prefix}Policy", roles=[role], statements=[statement])
