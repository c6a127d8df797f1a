"""What finished templates promise of logs, of the audit trail, and of who is told."""

from __future__ import annotations

from typing import Final

from infra.aws.alarms import EVENT_ALARMS, LOG_ALARMS, METRIC_ALARMS
from infra.aws.gates.data import SIX_YEARS, promises

_TRAIL, _ALARM, _FILTER = "AWS::CloudTrail::Trail", "AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter"

_MISSING: Final = {"missing": "missing", "fine": "notBreaching", "wrong": "breaching"}

WATCH: Final = (
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "the log group is not encrypted with a key of ours",
        ("KmsKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "the log group is not kept for six years, or cannot be watched",
        ("RetentionInDays", "at least", SIX_YEARS),
        ("LogGroupClass", "one of", (None, "STANDARD")),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "RDS would make a group of its own, unencrypted and kept for ever",
        ("LogGroupName", "matches", lambda stage: f"^/aws/rds/instance/{stage.names.whole}/(postgresql|upgrade)$"),
        only=("id", "^Database"),
    ),
    *promises(
        "Signalbox-LogGroup",
        "AWS::Logs::LogGroup",
        "Cognito may write to names of its prefix alone",
        ("LogGroupName", "is", lambda stage: stage.names.sign_ins),
        only=("id", "^UsersSignIns"),
    ),
    *promises(
        "Signalbox-Trail",
        _TRAIL,
        "the audit trail is off, or has gaps",
        ("IsLogging", "is", True),
        ("IsMultiRegionTrail", "is", True),
        ("IncludeGlobalServiceEvents", "is", True),
        ("EnableLogFileValidation", "is", True),
        ("EventSelectors.*.IncludeManagementEvents", "is", True),
        ("EventSelectors.*.ReadWriteType", "is", "All"),
        ("EventSelectors.*.ExcludeManagementEventSources", "is not set"),
        ("EventSelectors.*.DataResources.*.Type", "is", "AWS::S3::Object"),
        ("EventSelectors.*.DataResources.*.Values.*", "is ours"),
    ),
    *promises(
        "Signalbox-Trail",
        _TRAIL,
        "the audit trail goes elsewhere, or is not encrypted with a key of ours",
        ("KMSKeyId", "is ours"),
        ("S3BucketName", "is ours"),
        ("CloudWatchLogsLogGroupArn", "is ours"),
        ("CloudWatchLogsRoleArn", "is ours"),
    ),
    *promises(
        "Signalbox-Alarm",
        _ALARM,
        "the alarm reaches nobody",
        ("AlarmActions.*", "is ours"),
        ("OKActions.*", "is ours"),
        ("InsufficientDataActions.*", "is ours"),
        ("ActionsEnabled", "one of", (None, True)),
    ),
    *(
        promise
        for row in METRIC_ALARMS
        for promise in promises(
            "Signalbox-Alarm",
            _ALARM,
            "the alarm is not that of infra/aws/alarms.py",
            ("Namespace", "is", row.namespace or (lambda stage: stage.names.routing)),
            ("MetricName", "is", row.metric),
            ("Threshold", "is", row.threshold),
            ("Statistic", "is", row.statistic),
            ("Period", "is", row.minutes * 60),
            ("EvaluationPeriods", "is", row.periods),
            ("TreatMissingData", "is", _MISSING[row.missing]),
            ("ComparisonOperator", "matches", "^Greater" if row.compare == "above" else "^Less"),
            ("Dimensions.*.Value", "is ours"),
            ("Dimensions.*.Name", "matches", "^(DBInstanceIdentifier|FunctionName|AutoScalingGroupName)$"),
            only=("id", f"^Alarms{row.name}[0-9A-F]{{8}}$"),
        )
    ),
    *(
        promise
        for entry in LOG_ALARMS
        for promise in (
            *promises(
                "Signalbox-Alarm",
                _ALARM,
                "the alarm is not that of infra/aws/alarms.py",
                ("MetricName", "is", entry.name),
                ("Namespace", "is", lambda stage: stage.names.path),
                ("Threshold", "is", entry.threshold),
                ("Statistic", "is", "Sum"),
                ("Period", "is", 300),
                ("EvaluationPeriods", "is", 1),
                ("TreatMissingData", "is", "notBreaching"),
                ("ComparisonOperator", "matches", "^Greater"),
                only=("id", f"^Alarms{entry.name}[0-9A-F]{{8}}$"),
            ),
            *promises(
                "Signalbox-Alarm",
                _FILTER,
                "what the alarm looks for is not that of infra/aws/alarms.py",
                ("FilterPattern", "is", entry.pattern),
                ("LogGroupName", "is ours"),
                ("MetricTransformations.*.MetricName", "is", entry.name),
                ("MetricTransformations.*.MetricNamespace", "is", lambda stage: stage.names.path),
                ("MetricTransformations.*.MetricValue", "is", "1"),
                ("MetricTransformations.*.DefaultValue", "is", 0),
                only=("id", f"^Alarms{entry.name}Filter"),
            ),
        )
    ),
    *(
        promise
        for event in EVENT_ALARMS
        for promise in promises(
            "Signalbox-Alarm",
            "AWS::Events::Rule",
            "the rule is not that of infra/aws/alarms.py, or reaches nobody",
            ("EventPattern", "is", dict(event.pattern)),
            ("State", "is", "ENABLED"),
            ("Targets.*.Arn", "is ours"),
            ("Targets.*.RoleArn", "is ours"),
            only=("id", f"^Alarms{event.name}([0-9A-F]{{8}})?$"),
        )
    ),
    *promises(
        "Signalbox-Topic",
        "AWS::SNS::Topic",
        "messages are not encrypted with a key of ours",
        ("KmsMasterKeyId", "is ours"),
    ),
    *promises(
        "Signalbox-Topic",
        "AWS::SNS::Subscription",
        "alarms go to another than the stage names",
        ("Protocol", "is", "email"),
        ("Endpoint", "is", lambda stage: stage.watch.email),
        ("TopicArn", "is ours"),
    ),
)
