"""What somebody is woken for: two tables, a topic, and the alarms that are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
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
        compare: Above (the default) or below the threshold.
        missing: What no data means.
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
    compare: cloudwatch.ComparisonOperator = _ABOVE
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.MISSING


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
        compare=_BELOW,
    ),
    MetricAlarm(
        "DatabaseMemory",
        "AWS/RDS",
        "FreeableMemory",
        "database",
        0.1 * _GIB,
        "Less than 100 MiB are free",
        compare=_BELOW,
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
        "TokenFunctionErrors",
        "AWS/Lambda",
        "Errors",
        "token-function",
        5,
        "People without a tenant try to sign in, or the function is broken",
        statistic="Sum",
        periods=1,
        missing=cloudwatch.TreatMissingData.NOT_BREACHING,
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
        missing=cloudwatch.TreatMissingData.NOT_BREACHING,
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
        "{ ($.eventSource = iam.amazonaws.com) && (($.eventName = Put*Policy) || ($.eventName = Attach*Policy) || "
        "($.eventName = Detach*Policy) || ($.eventName = Delete*Policy) || ($.eventName = CreatePolicy*) || "
        "($.eventName = UpdateAssumeRolePolicy)) }",
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


class Alarms(Construct):
    """Every row of the tables whose source the stage has.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        topic: Who is told: when it begins, when it ends, and when there are no data to tell from.
        dimensions: What ``MetricAlarm.of`` names, as the metric's dimensions.
        log_groups: What ``LogAlarm.log`` names; a stage without one goes without its alarms.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage_name: str,
        topic: sns.ITopic,
        dimensions: Mapping[str, Mapping[str, str]],
        log_groups: Mapping[str, logs.ILogGroup],
    ) -> None:
        super().__init__(scope, construct_id)
        self._prefix, self._action = f"signalbox-{stage_name}", actions.SnsAction(topic)
        for row in METRIC_ALARMS:
            metric = cloudwatch.Metric(
                namespace=row.namespace,
                metric_name=row.metric,
                dimensions_map=dict(dimensions[row.of]),
                statistic=row.statistic,
                period=Duration.minutes(row.minutes),
            )
            self._add(row.name, metric, row.why, row.threshold, row.periods, row.compare, row.missing)
        for entry in LOG_ALARMS:
            if entry.log in log_groups:
                self._add_for_log(entry, log_groups[entry.log], stage_name)

    def _add_for_log(self, row: LogAlarm, group: logs.ILogGroup, stage_name: str) -> None:
        log_filter = logs.MetricFilter(
            self,
            f"{row.name}Filter",
            log_group=group,
            filter_pattern=logs.FilterPattern.literal(row.pattern),
            metric_namespace=f"signalbox/{stage_name}",
            metric_name=row.name,
            metric_value="1",
            default_value=0,
        )
        metric = log_filter.metric(statistic="Sum", period=Duration.minutes(5))
        self._add(row.name, metric, row.why, row.threshold, 1, _ABOVE, cloudwatch.TreatMissingData.NOT_BREACHING)

    def _add(
        self,
        name: str,
        metric: cloudwatch.Metric,
        why: str,
        threshold: float,
        periods: int,
        compare: cloudwatch.ComparisonOperator,
        missing: cloudwatch.TreatMissingData,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._prefix}-{name}",
            alarm_description=why,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=compare,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        alarm.add_insufficient_data_action(self._action)
