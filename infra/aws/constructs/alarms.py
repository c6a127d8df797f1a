"""The alarms, made from the tables in infra/aws/alarms.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.aws.alarms import EVENT_ALARMS, LOG_ALARMS, METRIC_ALARMS, EventAlarm, LogAlarm, MetricAlarm
from infra.stage.names import LABEL, StageNames

_COMPARE: Final = {
    "above": cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    "below": cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
}
_MISSING: Final = {
    "missing": cloudwatch.TreatMissingData.MISSING,
    "fine": cloudwatch.TreatMissingData.NOT_BREACHING,
    "wrong": cloudwatch.TreatMissingData.BREACHING,
}


class Alarms(Construct):
    """Every row of the tables whose source the stage has.

    Args:
        scope: The stack.
        construct_id: Its id there.
        stage_name: Stage, for names.
        topic: Who is told: when it begins, when it ends, and when there are no data to tell from.
        dimensions: What ``MetricAlarm.of`` names, as the metric's dimensions; a stage without one goes without its
            alarms.
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
        sources: Collection[str],
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        self._prefix, self._action = StageNames(stage_name).whole, actions.SnsAction(topic)
        for row in (row for row in METRIC_ALARMS if row.of in dimensions):
            metric = cloudwatch.Metric(
                namespace=row.namespace or StageNames(stage_name).routing,
                metric_name=row.metric,
                dimensions_map=dict(dimensions[row.of]),
                statistic=row.statistic,
                period=Duration.minutes(row.minutes),
            )
            self._add(row, metric, row.periods, _COMPARE[row.compare], _MISSING[row.missing])
        for entry in LOG_ALARMS:
            if entry.log in log_groups:
                self._add_for_log(entry, log_groups[entry.log], stage_name)
        if told := [event for event in EVENT_ALARMS if event.of in sources]:
            self._add_for_events(told, topic, key)

    def _add_for_events(self, rows: Sequence[EventAlarm], topic: sns.ITopic, key: kms.IKey) -> None:
        # By a role: the policies of topic and key then admit no further service.
        role = iam.Role(
            self,
            "EventsRole",
            description=f"{LABEL} events: tells the topic of alarms",
            assumed_by=iam.ServicePrincipal("events.amazonaws.com"),
        )
        statements = [
            iam.PolicyStatement(sid="TellTopic", actions=["sns:Publish"], resources=[topic.topic_arn]),
            iam.PolicyStatement(
                sid="TopicKey",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"sns.{Stack.of(self).region}.amazonaws.com"}},
            ),
        ]
        iam.ManagedPolicy(self, "EventsPolicy", roles=[role], statements=statements)
        for row in rows:
            target = events.CfnRule.TargetProperty(id="Topic", arn=topic.topic_arn, role_arn=role.role_arn)
            events.CfnRule(
                self,
                row.name,
                description=f"{row.name}: {row.why}",
                event_pattern=row.pattern,
                state="ENABLED",
                targets=[target],
            )

    def _add_for_log(self, row: LogAlarm, group: logs.ILogGroup, stage_name: str) -> None:
        log_filter = logs.MetricFilter(
            self,
            f"{row.name}Filter",
            log_group=group,
            filter_pattern=logs.FilterPattern.literal(row.pattern),
            metric_namespace=StageNames(stage_name).path,
            metric_name=row.name,
            metric_value="1",
            default_value=0,
        )
        metric = log_filter.metric(statistic="Sum", period=Duration.minutes(5))
        self._add(row, metric, 1, _COMPARE["above"], _MISSING["fine"])

    def _add(
        self,
        row: MetricAlarm | LogAlarm,
        metric: cloudwatch.Metric,
        periods: int,
        compare: cloudwatch.ComparisonOperator,
        missing: cloudwatch.TreatMissingData,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            row.name,
            alarm_name=f"{self._prefix}-{row.name}",
            alarm_description=row.why,
            metric=metric,
            threshold=row.threshold,
            evaluation_periods=periods,
            comparison_operator=compare,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        alarm.add_insufficient_data_action(self._action)
