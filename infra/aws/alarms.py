"""What somebody is woken for: two tables. infra/aws/constructs/alarms.py makes the alarms from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm on a metric that AWS keeps by itself.

    Attributes:
        name: Construct id, and part of the alarm's name.
        namespace: Of the metric.
        metric: Its name.
        of: Which resource's: a key of the dimensions that ``Alarms`` is given.
        threshold: In the metric's unit.
        why: What it means, for whoever is woken.
        statistic: Over a period.
        minutes: Length of a period.
        periods: Periods in a row.
        compare: Which side of the threshold is wrong.
        missing: What no data means: nothing is known, or nothing is wrong.
    """

    name: str
    namespace: str
    metric: str
    of: str
    threshold: float
    why: str
    statistic: str = "Average"
    minutes: int = 5
    periods: int = 3
    compare: Literal["above", "below"] = "above"
    missing: Literal["missing", "fine"] = "missing"


@dataclass(frozen=True, slots=True)
class LogAlarm:
    """An alarm on what a log group says.

    Attributes:
        name: Construct id, and part of the alarm's name.
        log: ``trail`` or ``sign-ins``.
        pattern: What CloudWatch Logs is to look for ("Filter pattern syntax" in its user guide).
        why: What it means, for whoever is woken.
        threshold: Matching lines within five minutes.
    """

    name: str
    log: str
    pattern: str
    why: str
    threshold: int = 1


METRIC_ALARMS: Final = (
    MetricAlarm("DatabaseCpu", "AWS/RDS", "CPUUtilization", "database", 80, "The database is busy for 15 minutes"),
    MetricAlarm(
        "DatabaseStorage",
        "AWS/RDS",
        "FreeStorageSpace",
        "database",
        5 * _GIB,
        "Less than 5 GiB are free; RDS grows the volume by itself, up to the stage's maximum",
        compare="below",
    ),
    MetricAlarm(
        "DatabaseMemory",
        "AWS/RDS",
        "FreeableMemory",
        "database",
        0.1 * _GIB,
        "Less than 100 MiB are free",
        compare="below",
    ),
    MetricAlarm(
        "DatabaseConnections",
        "AWS/RDS",
        "DatabaseConnections",
        "database",
        150,
        "More connections than six replicas with full pools should have",
        statistic="Maximum",
    ),
    MetricAlarm(
        "RouterGone",
        "AWS/AutoScaling",
        "GroupInServiceInstances",
        "router",
        1,
        "No subnet router runs: the service does not reach the database",
        statistic="Minimum",
        minutes=1,
        compare="below",
    ),
    MetricAlarm(
        "TokenFunctionErrors",
        "AWS/Lambda",
        "Errors",
        "token-function",
        5,
        "People without a tenant try to sign in, or the function is broken",
        statistic="Sum",
        periods=1,
        missing="fine",
    ),
    MetricAlarm(
        "TokenFunctionThrottles",
        "AWS/Lambda",
        "Throttles",
        "token-function",
        1,
        "People cannot sign in: more sign-ins at once than the function may serve",
        statistic="Sum",
        periods=1,
        missing="fine",
    ),
)

LOG_ALARMS: Final = (
    LogAlarm(
        "FailedSignIns",
        "sign-ins",
        '{ $.message.eventType = "SignIn" && $.message.eventResponse = "Fail" }',
        "Somebody tries passwords: 20 sign-ins failed within five minutes",
        threshold=20,
    ),
    LogAlarm(
        "RootUse",
        "trail",
        '{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent" }',
        "The account's root user did something; nobody should need it",
    ),
    LogAlarm(
        "PolicyChange",
        "trail",
        # An asterisk stands for something at the beginning or the end of a value only; in its midst it is an asterisk.
        "{ ($.eventSource = iam.amazonaws.com) && (($.eventName = Put*) || ($.eventName = Attach*) || "
        "($.eventName = Detach*) || ($.eventName = CreatePolicy*) || ($.eventName = DeletePolicy*) || "
        "($.eventName = DeleteRolePolicy) || ($.eventName = DeleteUserPolicy) || ($.eventName = DeleteGroupPolicy) || "
        "($.eventName = DeleteRolePermissionsBoundary) || ($.eventName = DeleteUserPermissionsBoundary) || "
        "($.eventName = SetDefaultPolicyVersion) || ($.eventName = UpdateAssumeRolePolicy)) }",
        "Who may do what has changed; a deployment does that, too",
    ),
    LogAlarm(
        "KeyEndangered",
        "trail",
        "{ ($.eventSource = kms.amazonaws.com) && (($.eventName = DisableKey) || "
        "($.eventName = ScheduleKeyDeletion) || ($.eventName = PutKeyPolicy) || ($.eventName = DisableKeyRotation)) }",
        "A key was disabled, given another policy, or is to be deleted: stop it within the waiting time",
    ),
    LogAlarm(
        "KeyRefused",
        "trail",
        '{ ($.eventSource = kms.amazonaws.com) && ($.errorCode = "AccessDenied*") }',
        "Somebody tried to use a key without the right to",
        threshold=5,
    ),
    LogAlarm(
        "RolesAnywhereChange",
        "trail",
        "{ ($.eventSource = rolesanywhere.amazonaws.com) && (($.eventName = CreateTrustAnchor) || "
        "($.eventName = UpdateTrustAnchor) || ($.eventName = CreateProfile) || ($.eventName = UpdateProfile)) }",
        "Who may vouch for the service has changed",
    ),
    LogAlarm(
        "TrailChange",
        "trail",
        "{ ($.eventSource = cloudtrail.amazonaws.com) && (($.eventName = StopLogging) || "
        "($.eventName = DeleteTrail) || ($.eventName = UpdateTrail) || ($.eventName = PutEventSelectors)) }",
        "The audit trail was changed or stopped",
    ),
)
