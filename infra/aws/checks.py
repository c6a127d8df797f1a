"""The gate: no template leaves the app unless two rule packs and the rules of this project have nothing to say.

They run in every synthesis of every stage, so in ``cdk synth``, ``cdk deploy``, ``signalbox up`` and the tests alike.
The packs know AWS; what they do not know is in the tables of infra/aws/gates: that retention is six years, that what is
stateful is kept, and that nobody but an administrator writes a tenant. These rules read the finished templates, raw
overrides included; tests/infra/mutations breaks every property to see that they object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
import jsii
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks

from infra.aws.gates import policies
from infra.aws.gates.data import BACKUPS, BUCKETS, DATABASE, KEYS
from infra.aws.gates.network import NETWORK
from infra.aws.gates.promises import Resource, broken
from infra.aws.gates.users import IDENTITY, USERS
from infra.aws.gates.watch import WATCH
from infra.aws.gates.whole import missing
from infra.aws.register import REGISTER
from infra.stage.record import Stage
from infra.stage.stateful import STATEFUL

PROMISES: Final = (*KEYS, *DATABASE, *BACKUPS, *BUCKETS, *USERS, *NETWORK, *IDENTITY, *WATCH)
_TENANT: Final = "tenant"
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")


def _kept(resource: Resource) -> str | None:
    policies = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
    if policies == ("RetainExceptOnCreate", "Retain"):
        return None
    if policies == ("Retain", "Retain"):
        return "what a failed creation leaves of the resource would stand in the way of the next one"
    return "the resource would go with its stack, and what it holds with it"


def _ingress(resource: Resource) -> str | None:
    properties = resource.get("Properties", {})
    rules = [*properties.get("SecurityGroupIngress", []), properties]
    if any(rule.get("CidrIp") in _ANYWHERE or rule.get("CidrIpv6") in _ANYWHERE for rule in rules):
        return "the security group lets the whole internet in"
    return None


def _of_one(logical_id: str, resource: Resource, stage: Stage) -> Iterator[tuple[str, str]]:
    kind = resource["Type"]
    for promise in PROMISES:
        if wrong := broken(promise, logical_id, resource, stage):
            yield promise.rule, wrong
    yield from policies.findings(resource, stage)
    if stage.retain and kind in STATEFUL and (wrong := _kept(resource)):
        yield "Signalbox-Retained", wrong
    if kind in ("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress") and (wrong := _ingress(resource)):
        yield "Signalbox-NoOpenIngress", wrong
    mapped = resource.get("Properties", {}).get("AttributeMapping", {})
    if kind == "AWS::Cognito::UserPoolIdentityProvider" and any(_TENANT in name for name in mapped):
        yield "Signalbox-TenantNotMapped", "a federated provider could write a user's tenant"
    if kind == "AWS::IAM::AccessKey":
        yield "Signalbox-NoSecret", "the stack would hold a secret access key"


def problems(template: Mapping[str, Any], stage: Stage) -> Iterator[tuple[str, str, str]]:
    """What the project's rules find in the resources of a template.

    Args:
        template: A CloudFormation template.
        stage: What it is for.

    Returns:
        Rule, logical id, and what is wrong.
    """
    for logical_id, resource in template.get("Resources", {}).items():
        for rule, wrong in _of_one(logical_id, resource, stage):
            yield rule, logical_id, wrong


@jsii.implements(cdk.IPolicyValidationPlugin)
class ProjectRules:
    """The rules above, as one of the CDK's validation plugins.

    Args:
        stage: What is synthesized.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def name(self) -> str:
        """As the report calls it."""
        return "Signalbox"

    @property
    def version(self) -> str | None:
        """Not versioned apart from the project."""
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        """What it knows."""
        return sorted({promise.rule for promise in PROMISES})

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Read every template."""
        templates = {path: json.loads(Path(path).read_text(encoding="utf-8")) for path in context.template_paths}
        found = [
            (path, rule, logical_id, wrong)
            for path, template in templates.items()
            for rule, logical_id, wrong in problems(template, self._stage)
        ]
        first = next(iter(templates), "")
        found += [(first, rule, "the stage", wrong) for rule, wrong in missing(templates.values(), self._stage)]
        violations = [
            cdk.PolicyViolation(
                rule_name=rule,
                description=wrong,
                fix="See the tables of infra/aws/gates, and the construct in infra/aws/constructs.",
                severity="error",
                violating_resources=[
                    cdk.PolicyViolatingResource(resource_logical_id=logical_id, template_path=path, locations=[])
                ],
            )
            for path, rule, logical_id, wrong in found
        ]
        return cdk.PolicyValidationPluginReport(success=not violations, violations=violations)


def install(app: cdk.App, stage: Stage) -> None:
    """Put the gate before an app's synthesis.

    Args:
        app: An app with all its stacks.
        stage: What they are for.
    """
    for row in REGISTER:
        if stage.name in row.stages:
            for found in _constructs(app, row.paths):
                acknowledgment = cdk.Acknowledgment(id=row.rule, reason=row.reason)
                cdk.Validations.of(found).acknowledge(acknowledgment)
    cdk.Validations.of(app).add_plugins(HIPAASecurityChecks(app), AwsSolutionsChecks(app), ProjectRules(stage))


def _constructs(app: cdk.App, paths: Iterable[str]) -> Iterator[Any]:
    """The constructs at some paths. One that is not there has nothing to acknowledge: a stage may have fewer."""
    for path in paths:
        found: Any = app
        for part in path.split("/"):
            found = found.node.try_find_child(part) if found is not None else None
        if found is not None:
            yield found
