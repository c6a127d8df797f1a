"""Every alarm has the events that ring it, and the way from the event to the topic is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from infra.aws.alarms import EVENT_ALARMS, LOG_ALARMS, METRIC_ALARMS, EventAlarm, LogAlarm
from infra.aws.gates.policies import admits
from tests.infra.conftest import Synthesized
from tests.infra.events import QUIET, RING, call, ending
from tests.support.cloud.filters import PatternError, compiled, matches

_ROOT = {"type": "Root", "accountId": "111122223333"}
_SIGN_IN = {"message": {"eventType": "SignIn", "eventResponse": "Fail", "eventId": "x"}}

# Alarm -> the log it reads, and events that ring it when there are as many as its threshold.
ODD: Mapping[str, tuple[str, Sequence[dict[str, Any]]]] = {
    "FailedSignIns": ("sign-ins", [_SIGN_IN]),
    "RootUse": ("trail", [call("signin", "ConsoleLogin", userIdentity=_ROOT, eventType="AwsConsoleSignIn")]),
    "KeyRefused": (
        "trail",
        [
            call("kms", name, errorCode=code)
            for name in ("Decrypt", "Sign")
            for code in ("AccessDenied", "AccessDeniedException")
        ],
    ),
}
RINGING = [
    *(
        (name, "trail", call(source, one))
        for name, rows in RING.items()
        for source, names in rows
        for one in names.split()
    ),
    *((name, log, event) for name, (log, events) in ODD.items() for event in events),
]
SILENT = [
    *(("trail", call(source, one)) for source, names in QUIET for one in names.split()),
    ("trail", call("kms", "Decrypt", errorCode="ThrottlingException")),
    ("trail", call("iam", "CreateRole", userIdentity={**_ROOT, "invokedBy": "support.amazonaws.com"})),
    ("trail", call("kms", "RotateKey", userIdentity=_ROOT, eventType="AwsServiceEvent")),
    ("sign-ins", {"message": {"eventType": "SignIn", "eventResponse": "Pass"}}),
    ("sign-ins", {"message": {"eventType": "SignUp", "eventResponse": "Fail"}}),
]


class Watch:
    """Filters, alarms, topic and its keys of a stage, as its templates have them."""

    def __init__(self, stage: Synthesized) -> None:
        self.resources = dict(pair for template in stage.templates.values() for pair in template["Resources"].items())
        self.filters = [
            (
                json.dumps(row["Properties"]["LogGroupName"]),
                compiled(row["Properties"]["FilterPattern"]),
                row["Properties"],
            )
            for row in self.of("AWS::Logs::MetricFilter")
        ]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.resources.values() if row["Type"] == kind]

    def rung(self, log: str, events: Sequence[dict[str, Any]]) -> set[str]:
        """Names of the alarms that go off when a log group gets these events within five minutes."""
        group = {"trail": "TrailLogs", "sign-ins": "UsersSignIns"}[log]
        counted: dict[tuple[str, str], float] = {}
        for where, fits, properties in self.filters:
            (metric,) = properties["MetricTransformations"]
            if group in where:
                key = (metric["MetricNamespace"], metric["MetricName"])
                counted[key] = sum(float(metric["MetricValue"]) for event in events if fits(event))
        return {
            str(alarm["AlarmName"]).rpartition("-")[2]
            for alarm in (row["Properties"] for row in self.of("AWS::CloudWatch::Alarm"))
            if (key := (alarm.get("Namespace"), alarm.get("MetricName"))) in counted
            and alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
            and (alarm["Statistic"], alarm["EvaluationPeriods"]) == ("Sum", 1)
            and counted[key] >= alarm["Threshold"]
        }

    def rung_by(self, data: Mapping[str, Sequence[float]]) -> set[str]:
        """Names of the alarms that go off when the subnet router puts these values, one in each period."""
        compare = {"LessThanThreshold": float.__lt__, "GreaterThanOrEqualToThreshold": float.__ge__}
        found = set()
        for alarm in (row["Properties"] for row in self.of("AWS::CloudWatch::Alarm")):
            if not str(alarm.get("Namespace")).endswith("/router"):
                continue
            assert [one["Name"] for one in alarm["Dimensions"]] == ["AutoScalingGroupName"]
            assert alarm["Statistic"] in ("Maximum", "Minimum")  # of one value, that value
            wrong = compare[alarm["ComparisonOperator"]]
            values = list(data.get(alarm["MetricName"], ()))[-alarm["EvaluationPeriods"] :]
            if values:
                rings = all(wrong(float(value), float(alarm["Threshold"])) for value in values)
            else:
                rings = alarm["TreatMissingData"] == "breaching"
            if rings:
                found.add(str(alarm["AlarmName"]).rpartition("-")[2])
        return found


@pytest.fixture(scope="module")
def watch(production: Synthesized) -> Watch:
    return Watch(production)


def _id(value: Any) -> str:
    return (
        f"{value['eventSource'].partition('.')[0]}-{value['eventName']}"
        if isinstance(value, dict) and "eventName" in value
        else str(value)[:40]
    )


@pytest.mark.parametrize(("alarm", "log", "event"), RINGING, ids=_id)
def test_the_event_rings_its_alarm_and_no_other(alarm: str, log: str, event: dict[str, Any], watch: Watch) -> None:
    (row,) = (row for row in LOG_ALARMS if row.name == alarm)
    assert watch.rung(log, [event] * row.threshold) == {alarm}
    if row.threshold > 1:
        assert watch.rung(log, [event] * (row.threshold - 1)) == set()


@pytest.mark.parametrize(("log", "event"), SILENT, ids=_id)
def test_what_happens_all_day_rings_nothing(log: str, event: dict[str, Any], watch: Watch) -> None:
    assert watch.rung(log, [event] * 100) == set()


def test_every_alarm_has_an_event_that_rings_it() -> None:
    assert {alarm for alarm, _, _ in RINGING} == {row.name for row in LOG_ALARMS}


def test_every_alarm_reaches_the_topic_and_the_topic_somebody(watch: Watch) -> None:
    (topic,) = (name for name, row in watch.resources.items() if row["Type"] == "AWS::SNS::Topic")
    alarms = watch.of("AWS::CloudWatch::Alarm")
    assert len(alarms) == len(LOG_ALARMS) + len(METRIC_ALARMS)
    for alarm in alarms:
        for actions in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            assert alarm["Properties"][actions] == [{"Ref": topic}], alarm["Properties"]["AlarmName"]
        assert alarm["Properties"].get("ActionsEnabled", True) is True
    (policy,) = watch.of("AWS::SNS::TopicPolicy")
    assert policy["Properties"]["Topics"] == [{"Ref": topic}]
    assert admits(policy, "cloudwatch.amazonaws.com", "sns:Publish")
    (logs_key,) = (
        row for name, row in watch.resources.items() if name.startswith("LogsKey") and "KeyPolicy" in row["Properties"]
    )
    assert "LogsKey" in json.dumps(watch.resources[topic]["Properties"]["KmsMasterKeyId"])
    for action in ("kms:Decrypt", "kms:GenerateDataKey*"):
        assert admits(logs_key, "cloudwatch.amazonaws.com", action)
    (reader,) = watch.of("AWS::SNS::Subscription")
    assert reader["Properties"]["TopicArn"] == {"Ref": topic}


@pytest.mark.parametrize("row", EVENT_ALARMS, ids=lambda row: row.name)
def test_an_event_of_aws_reaches_the_topic(row: EventAlarm, watch: Watch) -> None:
    (rule,) = (one["Properties"] for one in watch.of("AWS::Events::Rule"))
    (topic,) = (name for name, one in watch.resources.items() if one["Type"] == "AWS::SNS::Topic")
    assert rule["State"] == "ENABLED"
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Ref": topic}
    role = target["RoleArn"]["Fn::GetAtt"][0]
    trust = watch.resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [one["Principal"] for one in trust] == [{"Service": "events.amazonaws.com"}]
    (policy,) = (
        one["Properties"]
        for one in watch.of("AWS::IAM::ManagedPolicy")
        if {"Ref": role} in one["Properties"].get("Roles", ())
    )
    allowed = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}
    assert allowed["TellTopic"]["Action"] == "sns:Publish"
    assert allowed["TellTopic"]["Resource"] == {"Ref": topic}
    assert allowed["TopicKey"]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    for days, rings in ((45, False), (15, False), (14, True), (1, True), (-3, True)):
        assert matches(rule["EventPattern"], ending(days)) is rings, days
    assert not matches(rule["EventPattern"], {**ending(1), "source": "aws.health"})


@pytest.mark.parametrize("row", LOG_ALARMS, ids=lambda row: row.name)
def test_a_pattern_is_one_that_cloudwatch_takes(row: LogAlarm) -> None:
    compiled(row.pattern)


# The rules of the language, each with what it finds.
@pytest.mark.parametrize(
    ("pattern", "event", "found"),
    [
        ("{ $.a = Put* }", {"a": "PutRolePolicy"}, True),
        ("{ $.a = *Policy }", {"a": "PutRolePolicy"}, True),
        ("{ $.a = *Role* }", {"a": "PutRolePolicy"}, True),
        ('{ $.a = "Put*" }', {"a": "PutRolePolicy"}, True),
        ("{ $.a = Put*Policy }", {"a": "PutRolePolicy"}, False),
        ("{ $.a = Put*Policy }", {"a": "Put*Policy"}, True),
        ("{ $.a = put* }", {"a": "PutRolePolicy"}, False),
        ("{ $.a = P.t }", {"a": "Put"}, False),
        ("{ $.a != Put* }", {"a": "GetRole"}, True),
        ("{ $.a != Put* }", {"b": 1}, False),
        ("{ $.a = 5 }", {"a": 5}, True),
        ("{ $.a = 5 }", {"a": "5"}, False),
        ('{ $.a = "5" }', {"a": "5"}, True),
        ("{ $.a >= 5 }", {"a": 5.5}, True),
        ("{ $.a < 5 }", {"a": 5}, False),
        ("{ $.a < 5 }", {"a": True}, False),
        ("{ $.a IS TRUE }", {"a": True}, True),
        ("{ $.a IS FALSE }", {"a": None}, False),
        ("{ $.a IS NULL }", {"a": None}, True),
        ("{ $.a EXISTS }", {"a": None}, True),
        ("{ $.a NOT EXISTS }", {"b": 1}, True),
        ("{ $.a.b[0].c = x }", {"a": {"b": [{"c": "x"}]}}, True),
        ("{ $.a[*].c = x }", {"a": [{"c": "y"}, {"c": "x"}]}, True),
        ("{ $.a[1] = x }", {"a": ["x"]}, False),
        ("{ $.a = x || $.b = y && $.c = z }", {"a": "x"}, True),
        ("{ ($.a = x || $.b = y) && $.c = z }", {"a": "x"}, False),
    ],
)
def test_the_language_of_patterns(pattern: str, event: dict[str, Any], found: bool) -> None:
    assert compiled(pattern)(event) is found


@pytest.mark.parametrize(
    "pattern",
    ["", "{", "{ }", "{ $.a }", "{ $.a = }", "{ a = b }", "{ $.a = b", "{ $.a < b }", "{ $.a = b } x", "{ $.a ~ b }",
     "{ $.a IS GREEN }", "{ $.a = b && }", f"{{ $.a = {'x' * 1024} }}"],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compiled(pattern)
