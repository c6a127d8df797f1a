"""The alarms, made from the tables in infra/aws/alarms.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.aws.alarms import LOG_ALARMS, METRIC_ALARMS, LogAlarm, MetricAlarm
from infra.stage.names import StageNames

_COMPARE: Final = {
    "above": cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    "below": cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
}
_MISSING: Final = {
    "missing": cloudwatch.TreatMissingData.MISSING,
    "fine": cloudwatch.TreatMissingData.NOT_BREACHING,
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
    ) -> None:
        super().__init__(scope, construct_id)
        self._prefix, self._action = StageNames(stage_name).whole, actions.SnsAction(topic)
        for row in (row for row in METRIC_ALARMS if row.of in dimensions):
            metric = cloudwatch.Metric(
                namespace=row.namespace,
                metric_name=row.metric,
                dimensions_map=dict(dimensions[row.of]),
                statistic=row.statistic,
                period=Duration.minutes(row.minutes),
            )
            self._add(row, metric, row.periods, _COMPARE[row.compare], _MISSING[row.missing])
        for entry in LOG_ALARMS:
            if entry.log in log_groups:
                self._add_for_log(entry, log_groups[entry.log], stage_name)

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
