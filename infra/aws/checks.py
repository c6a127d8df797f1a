"""The gate: no template leaves the app unless two rule packs and the rules of this project have nothing to say.

They run in every synthesis of every stage, so in ``cdk synth``, ``cdk deploy``, ``signalbox up`` and the tests alike.
The packs know AWS; what they do not know is below: that retention is six years, that what is stateful is kept, and that
nobody but an administrator writes a tenant. These rules read the finished templates, raw overrides included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
import jsii
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks

from infra.aws.register import REGISTER
from infra.stage.record import Stage

Resource = Mapping[str, Any]
Problem = Callable[[Resource, Stage], str | None]

SIX_YEARS: Final = 2192  # days
STATEFUL: Final = (
    "AWS::KMS::Key",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBParameterGroup",
    "AWS::Backup::BackupVault",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::Cognito::UserPool",
    "AWS::Logs::LogGroup",
)
_TENANT: Final = "tenant"
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of this project.

    Attributes:
        name: Its id in the report.
        types: Resource types it looks at.
        problem: What is wrong with a resource, or None.
        fix: What to do.
    """

    name: str
    types: tuple[str, ...]
    problem: Problem
    fix: str


def _statements(resource: Resource) -> Iterator[Mapping[str, Any]]:
    properties = resource.get("Properties", {})
    documents = [properties.get(name) for name in ("PolicyDocument", "ResourcePolicy", "KeyPolicy")]
    documents += [policy.get("PolicyDocument") for policy in properties.get("Policies", [])]
    for document in documents:
        if isinstance(document, Mapping):
            found = document.get("Statement", [])
            yield from [found] if isinstance(found, Mapping) else found


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def _log_group(resource: Resource, _: Stage) -> str | None:
    properties = resource["Properties"]
    if not properties.get("KmsKeyId"):
        return "the log group is not encrypted with a key of ours"
    return None if properties.get("RetentionInDays") == SIX_YEARS else "the log group is not kept for six years"


def _key(resource: Resource, _: Stage) -> str | None:
    properties = resource["Properties"]
    # KMS rotates symmetric keys only.
    if properties.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        return None
    return None if properties.get("EnableKeyRotation") is True else "the key does not rotate"


def _kept(resource: Resource, stage: Stage) -> str | None:
    if not stage.retain:
        return None
    policies = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
    if policies == ("RetainExceptOnCreate", "Retain"):
        return None
    if policies == ("Retain", "Retain"):
        return "what a failed creation leaves of the resource would stand in the way of the next one"
    return "the resource would go with its stack, and what it holds with it"


def _wildcard(resource: Resource, _: Stage) -> str | None:
    for statement in _statements(resource):
        if statement.get("Effect") == "Allow" and "*" in _listed(statement.get("Resource")):
            return "the policy allows something on every resource there is"
    return None


def _public(resource: Resource, _: Stage) -> str | None:
    for statement in _statements(resource):
        principal = statement.get("Principal")
        named = (
            [part for value in principal.values() for part in _listed(value)] if isinstance(principal, Mapping) else []
        )
        if statement.get("Effect") == "Allow" and (principal == "*" or "*" in named):
            return "the resource policy lets everybody in"
    return None


def _ingress(resource: Resource, _: Stage) -> str | None:
    properties = resource["Properties"]
    rules = [*properties.get("SecurityGroupIngress", []), properties]
    if any(rule.get("CidrIp") in _ANYWHERE or rule.get("CidrIpv6") in _ANYWHERE for rule in rules):
        return "the security group lets the whole internet in"
    return None


def _database(resource: Resource, stage: Stage) -> str | None:
    properties = resource["Properties"]
    # A rule of the pack passes when the number is not set at all.
    if int(properties.get("BackupRetentionPeriod", 0)) < (30 if stage.environment == "production" else 1):
        return "backups are not kept for long enough"
    if properties.get("StorageEncrypted") is not True or properties.get("PubliclyAccessible") is not False:
        return "the storage is not encrypted, or the instance has a public address"
    if properties.get("ManageMasterUserPassword") is not True or properties.get("MasterUserPassword"):
        return "the master password is not RDS's to manage"
    return None if properties.get("EnableIAMDatabaseAuthentication") is True else "IAM logins are off"


def _parameters(resource: Resource, _: Stage) -> str | None:
    found = resource["Properties"].get("Parameters", {})
    if found.get("rds.force_ssl") != "1":
        return "the database would accept connections without TLS"
    silent = found.get("log_parameter_max_length") == "0" and found.get("log_parameter_max_length_on_error") == "0"
    return None if silent and found.get("log_statement") == "none" else "values of statements would get into the log"


def _client(resource: Resource, _: Stage) -> str | None:
    written = resource["Properties"].get("WriteAttributes")
    if written is None or any(_TENANT in str(name) for name in written):
        return "a user could write the own tenant"
    return (
        None if resource["Properties"].get("AllowedOAuthFlows") == ["code"] else "a flow but the code flow is allowed"
    )


def _pool(resource: Resource, stage: Stage) -> str | None:
    properties = resource["Properties"]
    schema = [entry for entry in properties.get("Schema", []) if _TENANT in str(entry.get("Name"))]
    if not schema or any(entry.get("Mutable") is not False for entry in schema):
        return "a user's tenant could be changed"
    # Rules of the packs ask for less: a warning for the second factor, and any value of the mode.
    if stage.mfa_required and properties.get("MfaConfiguration") != "ON":
        return "a password alone would do"
    mode = properties.get("UserPoolAddOns", {}).get("AdvancedSecurityMode")
    if stage.cognito_plan == "PLUS" and mode != "ENFORCED":
        return "threat protection does not act"
    if properties.get("AdminCreateUserConfig", {}).get("AllowAdminCreateUserOnly") is not True:
        return "anybody could sign up"
    return None


def _alarm(resource: Resource, _: Stage) -> str | None:
    named = ("AlarmActions", "OKActions", "InsufficientDataActions")
    return None if all(resource["Properties"].get(name) for name in named) else "the alarm reaches nobody"


def _provider(resource: Resource, _: Stage) -> str | None:
    mapped = resource["Properties"].get("AttributeMapping", {})
    return "a federated provider could write a user's tenant" if any(_TENANT in name for name in mapped) else None


def _literal(resource: Resource, _: Stage) -> str | None:
    if resource["Type"] == "AWS::IAM::AccessKey":
        return "the stack would hold a secret access key"
    return "the template holds a secret" if resource["Properties"].get("SecretString") else None


_POLICIES: Final = (
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::User",
    "AWS::IAM::Group",
)
RULES: Final = (
    Rule(
        "Signalbox-LogGroup", ("AWS::Logs::LogGroup",), _log_group, "Use infra.aws.constructs.log_group.AuditLogGroup."
    ),
    Rule("Signalbox-KeyRotates", ("AWS::KMS::Key",), _key, "Set enable_key_rotation."),
    Rule("Signalbox-Retained", STATEFUL, _kept, "Set removal_policy with infra.aws.constructs.removal."),
    Rule("Signalbox-NoWildcard", _POLICIES, _wildcard, "Name the resources."),
    Rule(
        "Signalbox-NotPublic",
        ("AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key", "AWS::SecretsManager::ResourcePolicy"),
        _public,
        "Name the principals.",
    ),
    Rule(
        "Signalbox-NoOpenIngress",
        ("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress"),
        _ingress,
        "Name the peer's security group.",
    ),
    Rule("Signalbox-Database", ("AWS::RDS::DBInstance",), _database, "See infra/aws/constructs/database.py."),
    Rule("Signalbox-Parameters", ("AWS::RDS::DBParameterGroup",), _parameters, "See infra/aws/constructs/database.py."),
    Rule("Signalbox-UserPool", ("AWS::Cognito::UserPool",), _pool, "See infra/aws/constructs/user_pool.py."),
    Rule("Signalbox-Alarm", ("AWS::CloudWatch::Alarm",), _alarm, "Add it to the tables of infra/aws/alarms.py."),
    Rule(
        "Signalbox-TenantNotWritable", ("AWS::Cognito::UserPoolClient",), _client, "Leave it out of write_attributes."
    ),
    Rule("Signalbox-TenantNotMapped", ("AWS::Cognito::UserPoolIdentityProvider",), _provider, "Leave it out."),
    Rule("Signalbox-NoSecret", ("AWS::SecretsManager::Secret", "AWS::IAM::AccessKey"), _literal, "Have AWS make it."),
)


def problems(template: Mapping[str, Any], stage: Stage) -> Iterator[tuple[Rule, str, str]]:
    """What the project's rules find in a template.

    Args:
        template: A CloudFormation template.
        stage: What it is for.

    Returns:
        Rule, logical id, and what is wrong.
    """
    for logical_id, resource in template.get("Resources", {}).items():
        given = {"Properties": {}, **resource}
        for rule in RULES:
            if given["Type"] in rule.types and (wrong := rule.problem(given, stage)):
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
        return [rule.name for rule in RULES]

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Read every template."""
        violations = [
            cdk.PolicyViolation(
                rule_name=rule.name,
                description=wrong,
                fix=rule.fix,
                severity="error",
                violating_resources=[
                    cdk.PolicyViolatingResource(resource_logical_id=logical_id, template_path=path, locations=[])
                ],
            )
            for path in context.template_paths
            for rule, logical_id, wrong in problems(json.loads(Path(path).read_text(encoding="utf-8")), self._stage)
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
