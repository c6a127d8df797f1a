"""What must not be missing from a stage: a resource that is not there has no property that could be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.aws.alarms import EVENT_ALARMS, LOG_ALARMS, METRIC_ALARMS
from infra.aws.gates.policies import admits
from infra.aws.gates.promises import Resource, When, always, dig
from infra.aws.gates.users import plus
from infra.stage.record import Stage


@dataclass(frozen=True, slots=True)
class Present:
    """Some resource of a type is there, whose logical id fits a pattern."""

    type: str
    why: str
    when: When = always
    id: str = ""


@dataclass(frozen=True, slots=True)
class Accompanied:
    """Every resource of a type is named by some resource of another type, in a property of that."""

    type: str
    by: str
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """Some resource of a type admits a service of AWS to an action, without which its records end."""

    type: str
    service: Callable[[Stage], str]
    action: str
    when: When = always
    below: str = ""


def _trail(stage: Stage) -> bool:
    return stage.watch.trail


def _certified(stage: Stage) -> bool:
    return stage.access == "roles-anywhere"


_OF: Final[Mapping[str, When]] = {
    "database": always,
    "token-function": always,
    "router": lambda stage: stage.subnet_router,
    "trail": _trail,
    "sign-ins": plus,
    "roles-anywhere": _certified,
}

PRESENT: Final = (
    Present("AWS::AutoScaling::LifecycleHook", "a router counts before it routes", lambda stage: stage.subnet_router),
    Present("AWS::KMS::Key", "no key for what is stored", id="^DataKey"),
    Present("AWS::KMS::Key", "no key for logs", id="^LogsKey"),
    Present("AWS::KMS::Key", "no key that signs tokens", id="^SigningKey"),
    Present("AWS::RDS::DBInstance", "no database"),
    Present("AWS::RDS::DBParameterGroup", "no parameters of the database"),
    Present("AWS::Logs::LogGroup", "RDS would make this log group itself, unencrypted", id="^DatabasePostgresqlLogs"),
    Present("AWS::Logs::LogGroup", "RDS would make this log group itself, unencrypted", id="^DatabaseUpgradeLogs"),
    Present("AWS::Logs::LogGroup", "no log group of the token function", id="^PreTokenLogs"),
    Present("AWS::Logs::LogGroup", "no log group of the network", id="^NetworkFlowLogs"),
    Present("AWS::Logs::LogGroup", "no log group of the trail", _trail, "^TrailLogs"),
    Present("AWS::Logs::LogGroup", "no log group of sign-ins", plus, "^UsersSignIns"),
    Present("AWS::Backup::BackupVault", "no vault for copies"),
    Present("AWS::Backup::BackupPlan", "no plan for copies"),
    Present("AWS::S3::Bucket", "no bucket for documents", id="^DocumentsBucket"),
    Present("AWS::S3::Bucket", "no bucket for records of requests", id="^AccessLogs"),
    Present("AWS::S3::Bucket", "no bucket for the trail", _trail, "^TrailBucket"),
    Present("AWS::SecretsManager::Secret", "no database login", id="^SecretsDatabaseApp"),
    Present("AWS::SecretsManager::Secret", "no session key", id="^SecretsSessionKey"),
    Present("AWS::Cognito::UserPool", "no user pool"),
    Present("AWS::Cognito::UserPoolClient", "no client of the user pool"),
    Present("AWS::Cognito::LogDeliveryConfiguration", "sign-ins are not recorded", plus),
    Present("AWS::Lambda::Function", "no function that gives tenants", id="^PreToken"),
    Present("AWS::Lambda::Permission", "Cognito may not ask for the tenant"),
    Present("Custom::VpcRestrictDefaultSG", "the default security group stays open"),
    Present("AWS::CloudTrail::Trail", "no audit trail", _trail),
    Present("AWS::SNS::Topic", "no topic for alarms"),
    Present("AWS::SNS::Subscription", "alarms reach nobody", lambda stage: stage.watch.email is not None),
    Present("AWS::RolesAnywhere::TrustAnchor", "nothing vouches for the service", _certified),
    Present("AWS::RolesAnywhere::Profile", "nothing limits what a certificate opens", _certified),
    Present("AWS::IAM::ManagedPolicy", "the service's rights are not named", id="^ServiceServicePolicy"),
    *(
        Present("AWS::IAM::ManagedPolicy", "records cannot be written", when, named)
        for named, when in (("^NetworkFlowLogsPolicy", always), ("^PreTokenPolicy", always), ("^TrailPolicy", _trail))
    ),
    *(
        Present("AWS::CloudWatch::Alarm", f"no alarm {row.name}", _OF[row.of], f"^Alarms{row.name}[0-9A-F]{{8}}$")
        for row in METRIC_ALARMS
    ),
    *(
        Present("AWS::Events::Rule", f"no alarm {event.name}", _OF[event.of], f"^Alarms{event.name}([0-9A-F]{{8}})?$")
        for event in EVENT_ALARMS
    ),
    Present("AWS::IAM::ManagedPolicy", "events reach no topic", _certified, "^AlarmsEventsPolicy"),
    *(
        Present(kind, f"no alarm {entry.name}", _OF[entry.log], f"^Alarms{entry.name}{infix}[0-9A-F]{{8}}$")
        for entry in LOG_ALARMS
        for kind, infix in (("AWS::CloudWatch::Alarm", ""), ("AWS::Logs::MetricFilter", "Filter"))
    ),
)

ACCOMPANIED: Final = (
    Accompanied("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket", "the bucket answers without TLS"),
    Accompanied("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics", "the topic takes messages without TLS"),
    Accompanied(
        "AWS::RDS::DBInstance",
        "AWS::Backup::BackupSelection",
        "BackupSelection.Resources",
        "nothing of the instance is in the vault",
    ),
    Accompanied("AWS::EC2::VPC", "AWS::EC2::FlowLog", "ResourceId", "its traffic is not recorded"),
    Accompanied(
        "AWS::EC2::VPC",
        "Custom::VpcRestrictDefaultSG",
        "DefaultSecurityGroupId",
        "its default security group stays open",
    ),
)

ADMITTED: Final = (
    Admitted("AWS::KMS::Key", lambda stage: f"logs.{stage.region}.amazonaws.com", "kms:Encrypt*"),
    Admitted("AWS::KMS::Key", lambda _: "cloudwatch.amazonaws.com", "kms:GenerateDataKey*"),
    Admitted("AWS::KMS::Key", lambda _: "cloudwatch.amazonaws.com", "kms:Decrypt"),
    Admitted("AWS::KMS::Key", lambda _: "cloudtrail.amazonaws.com", "kms:GenerateDataKey*", _trail),
    Admitted("AWS::SNS::TopicPolicy", lambda _: "cloudwatch.amazonaws.com", "sns:Publish"),
    Admitted("AWS::S3::BucketPolicy", lambda _: "logging.s3.amazonaws.com", "s3:PutObject", below="/documents/*"),
    Admitted("AWS::S3::BucketPolicy", lambda _: "logging.s3.amazonaws.com", "s3:PutObject", _trail, "/trail/*"),
    Admitted("AWS::S3::BucketPolicy", lambda _: "cloudtrail.amazonaws.com", "s3:PutObject", _trail),
    Admitted("AWS::S3::BucketPolicy", lambda _: "cloudtrail.amazonaws.com", "s3:GetBucketAcl", _trail),
)


def missing(templates: Iterable[Mapping[str, Any]], stage: Stage) -> Iterator[tuple[str, str]]:
    """Rule and what is wrong with a whole stage: all of its templates."""
    known = list(templates)
    resources: list[tuple[str, Resource]] = [
        pair for template in known for pair in template.get("Resources", {}).items()
    ]
    by_type: dict[str, list[tuple[str, Resource]]] = {}
    for pair in resources:
        by_type.setdefault(pair[1]["Type"], []).append(pair)
    for row in PRESENT:
        if row.when(stage) and not any(re.search(row.id, name) for name, _ in by_type.get(row.type, [])):
            yield "Signalbox-Present", f"{row.why}: {row.type} {row.id or 'of any name'} is in no template"
    for rule in ACCOMPANIED:
        named = json.dumps([[*dig(row.get("Properties", {}), rule.path)] for _, row in by_type.get(rule.by, [])])
        for name, _ in by_type.get(rule.type, []):
            if f'"{name}"' not in named:
                yield "Signalbox-Accompanied", f"{rule.why}: no {rule.by} names {name}"
    for admitted in ADMITTED:
        service = admitted.service(stage)
        if admitted.when(stage) and not any(
            admits(resource, service, admitted.action, admitted.below) for _, resource in by_type.get(admitted.type, [])
        ):
            yield "Signalbox-Admitted", f"no {admitted.type} admits {service} to {admitted.action}"
    yield from _dangling(known)


def _dangling(templates: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """References to what is not there. CloudFormation would refuse the deployment half-way; this is earlier."""
    outputs = {name for template in templates for name in template.get("Outputs", {})}
    for template in templates:
        known = {*template.get("Resources", {}), *template.get("Parameters", {})}
        text = json.dumps({key: template.get(key) for key in ("Resources", "Outputs")})
        found = {*re.findall(r'"Ref": "([A-Za-z0-9]+)"', text), *re.findall(r'"Fn::GetAtt": \["([A-Za-z0-9]+)"', text)}
        for name in sorted(found - known):
            yield "Signalbox-Dangling", f"{name} is referred to, and is in no template"
        for name in sorted({*re.findall(r'"OutputName": "([A-Za-z0-9]+)"', text)} - outputs):
            yield "Signalbox-Dangling", f"output {name} is referred to, and no template has it"
