"""What policies may say: who is admitted to what is ours, what our roles may do, and what is refused to everyone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from infra.aws.constructs.subnet_router import PATCHES, SESSIONS, TAG
from infra.aws.gates.data import retained
from infra.aws.gates.promises import Resource, When, always, ours
from infra.stage.record import Stage

Statement = Mapping[str, Any]

# Policies of what others reach, and where the document is.
RESOURCE_POLICIES: Final[Mapping[str, str]] = {
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::Backup::BackupVault": "AccessPolicy",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
}
# Conditions that keep a service from acting on us for another account ("confused deputy"), and how they are compared.
_ON_BEHALF: Final = ("aws:SourceAccount", "aws:SourceArn", "kms:EncryptionContext:aws:logs:arn")
_COMPARED: Final = ("StringEquals", "ArnEquals", "ArnLike", "ForAnyValue:StringEquals")

# Services that a policy of ours may admit, as patterns, and the most that it may admit them to.
ADMISSIBLE: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "AWS::S3::BucketPolicy": {
        r"logging\.s3": frozenset({"s3:PutObject"}),
        "cloudtrail": frozenset({"s3:PutObject", "s3:GetBucketAcl"}),
    },
    "AWS::SNS::TopicPolicy": {"cloudwatch|budgets": frozenset({"sns:Publish"})},
    "AWS::KMS::Key": {
        r"logs\.[a-z0-9-]+": frozenset(
            f"kms:{n}*" for n in ("Decrypt", "Describe", "Encrypt", "GenerateDataKey", "ReEncrypt")
        ),
        "cloudwatch|budgets|cloudtrail": frozenset({"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"}),
    },
}
# What no role of ours is ever allowed: with these, it could allow itself the rest, or take the traces away.
NEVER: Final = (
    *("iam:*", "sts:*", "organizations:*", "account:*", "cloudformation:*", "lambda:Update*"),
    *("kms:Put*", "kms:Schedule*", "kms:Disable*", "kms:CreateGrant", "kms:ReEncrypt*"),
    *("s3:*Policy", "s3:DeleteBucket*", "s3:*Configuration", "s3:DeleteObjectVersion", "s3:PutBucket*"),
    *("secretsmanager:*Policy", "secretsmanager:Delete*", "cloudtrail:*", "logs:Delete*", "logs:*Retention*"),
    *("backup:*", "rds:*", "cognito-idp:*", "rolesanywhere:*"),
)

# What a condition has to ask, by its key: a pattern that every value fits; None is a value found in this account.
Conditions = Mapping[str, Callable[[Stage], str | None]]

# Services that may take on a role of ours, and what the role's trust has to ask of them besides.
TRUSTED: Final[Mapping[str, Conditions]] = {
    "backup.amazonaws.com": {},
    "cloudtrail.amazonaws.com": {},
    "ec2.amazonaws.com": {},
    "events.amazonaws.com": {},
    "lambda.amazonaws.com": {},
    "monitoring.rds.amazonaws.com": {},
    "rolesanywhere.amazonaws.com": {
        "aws:SourceArn": lambda _: None,
        "aws:PrincipalTag/x509Subject/CN": lambda stage: f"^{stage.names.certificate}$",
    },
    "vpc-flow-logs.amazonaws.com": {},
}
# What the account's own identities have to say when they take on a role: who is acted for, and nothing else.
_FOR_A_TENANT: Final[Mapping[str, tuple[str, str]]] = {
    "aws:RequestTag/tenant_id": ("StringLike", r"^\?\*$"),
    "aws:TagKeys": ("ForAllValues:StringEquals", "^tenant_id$"),
}
_TRUST: Final = {"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
_VIA: Final[Conditions] = {
    "kms:ViaService": lambda stage: rf"^(s3|secretsmanager|sns)\.{stage.region}\.amazonaws\.com$"
}
_BOUND: Final[Conditions] = {"kms:EncryptionContext:tenant_id": lambda _: r"^\$\{aws:PrincipalTag/tenant_id\}$"}


def _alias(stage: Stage) -> str:
    return rf"^{re.escape(stage.names.tenant_keys)}\$\{{aws:PrincipalTag/tenant_id\}}$"


_OWN: Final[Conditions] = {"kms:ResourceAliases": _alias}
# Though NEVER says otherwise.
_MAY: Final = {
    "ActForOneTenant": frozenset({"sts:AssumeRole", "sts:TagSession"}),
    "SignalOwnStack": frozenset({"cloudformation:SignalResource"}),
}
# AWS's own policies that a role of ours may have; the register says why.
AWS_POLICIES: Final = (
    "service-role/AmazonRDSEnhancedMonitoringRole",
    "service-role/AWSBackupServiceRolePolicyForBackup",
    "service-role/AWSLambdaBasicExecutionRole",
)
_NAMES: Final = tuple(f":policy/{name}" for name in AWS_POLICIES)


@dataclass(frozen=True, slots=True)
class Right:
    """What a statement of a role's policy is for: nothing but these actions, and only under these conditions."""

    actions: frozenset[str]
    conditions: Conditions = field(default_factory=dict)
    within: str = ""  # what every resource ends with
    everywhere: bool = False  # these actions know no resource
    stages_key: bool = False  # where tenants have to have keys of their own, it opens and does not encrypt


# By Sid.
RIGHTS: Final[Mapping[str, Right]] = {
    "ReadSecrets": Right(frozenset({"secretsmanager:GetSecretValue"})),
    "UseKeyThroughServices": Right(frozenset({"kms:Decrypt"}), _VIA),
    "ActForOneTenant": Right(frozenset({"sts:AssumeRole", "sts:TagSession"})),
    "SignTokens": Right(frozenset({"kms:Sign", "kms:GetPublicKey"})),
    "TenantDocuments": Right(
        frozenset({"s3:GetObject", "s3:PutObject"}), within="tenants/${aws:PrincipalTag/tenant_id}/*"
    ),
    "TenantDocumentsKey": Right(
        frozenset({"kms:Decrypt", "kms:GenerateDataKey"}),
        {**_VIA, "kms:EncryptionContext:aws:s3:arn": lambda _: None},
        stages_key=True,
    ),
    "TenantKey": Right(frozenset({"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}), _BOUND, stages_key=True),
    "OwnDocumentsKey": Right(
        frozenset({"kms:Decrypt", "kms:GenerateDataKey"}),
        {**_VIA, **_OWN, "kms:EncryptionContext:aws:s3:arn": lambda _: None},
    ),
    "OwnKeyOpens": Right(frozenset({"kms:Decrypt"}), {**_BOUND, **_OWN}),
    "OwnKeyEncrypts": Right(
        frozenset({"kms:Encrypt", "kms:GenerateDataKey"}), {**_BOUND, **_OWN, "kms:RequestAlias": _alias}
    ),
    "DatabaseLogin": Right(frozenset({"rds-db:connect"})),
    "ReadOwnKey": Right(frozenset({"secretsmanager:GetSecretValue"})),
    "DecryptOwnKey": Right(frozenset({"kms:Decrypt"}), {**_VIA, "kms:EncryptionContext:SecretARN": lambda _: None}),
    "Heartbeat": Right(
        frozenset({"cloudwatch:PutMetricData"}),
        {"cloudwatch:namespace": lambda stage: f"^{stage.names.routing}$"},
        everywhere=True,
    ),
    "BeManaged": Right(frozenset({*SESSIONS, *PATCHES}), everywhere=True),
    "FindOwnGroup": Right(frozenset({"autoscaling:DescribeAutoScalingInstances"}), everywhere=True),
    "TellOwnGroup": Right(
        frozenset({"autoscaling:CompleteLifecycleAction"}),
        {f"aws:ResourceTag/{TAG}": lambda stage: f"^{stage.names.router}$"},
        everywhere=True,
    ),
    "SignalOwnStack": Right(frozenset({"cloudformation:SignalResource"})),
    "TellTopic": Right(frozenset({"sns:Publish"})),
    "TopicKey": Right(frozenset({"kms:Decrypt", "kms:GenerateDataKey"}), _VIA),
    "WriteOwnLog": Right(frozenset({"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"})),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a policy of a type refuses to everyone.

    Attributes:
        type: CloudFormation type.
        actions: All that is refused.
        condition: When; None is always.
        why: What would be wrong without it.
        when: Stages that it holds for.
        resources: How many resources it names at least: a bucket and its objects are two.
    """

    type: str
    actions: frozenset[str]
    condition: Mapping[str, Any] | None
    why: str
    when: When = always
    resources: int = 1


REFUSALS: Final = (
    Refusal(
        "AWS::S3::BucketPolicy",
        frozenset({"s3:*"}),
        {"Bool": {"aws:SecureTransport": "false"}},
        "the bucket would answer without TLS",
        resources=2,
    ),
    Refusal(
        "AWS::S3::BucketPolicy",
        frozenset({"s3:*"}),
        {"NumericLessThan": {"s3:TlsVersion": 1.2}},
        "the bucket would answer over an old TLS",
        resources=2,
    ),
    Refusal(
        "AWS::SNS::TopicPolicy",
        frozenset({"sns:Publish"}),
        {"Bool": {"aws:SecureTransport": "false"}},
        "the topic would take messages without TLS",
    ),
    Refusal(
        "AWS::Backup::BackupVault",
        frozenset({"backup:DeleteRecoveryPoint", "backup:UpdateRecoveryPointLifecycle"}),
        None,
        "copies could be deleted, or made to go early",
        when=retained,
    ),
)


def findings(resource: Resource, stage: Stage) -> Iterator[tuple[str, str]]:
    """Rule and what is wrong, for every statement of a resource's policies."""
    kind, properties = resource["Type"], resource.get("Properties", {})
    if kind in RESOURCE_POLICIES:
        statements = _statements(properties.get(RESOURCE_POLICIES[kind]))
        yield from (("Signalbox-NotPublic", wrong) for wrong in _admitted(kind, statements, stage))
        yield from (("Signalbox-Refused", wrong) for wrong in _not_refused(kind, statements, stage))
    if kind == "AWS::IAM::Role":
        trust = _statements(properties.get("AssumeRolePolicyDocument"))
        yield from (("Signalbox-Trust", wrong) for wrong in _trusted(trust, stage))
    if kind in ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group"):
        for arn in properties.get("ManagedPolicyArns", []):
            if not (
                ours(arn, stage) or json.dumps(arn).rstrip('"]}').endswith(tuple(f":policy/{n}" for n in AWS_POLICIES))
            ):
                yield "Signalbox-Rights", "it has a policy that is neither ours nor one of AWS_POLICIES"
    if kind.startswith("AWS::IAM::"):
        documents = [
            properties.get("PolicyDocument"),
            *(p.get("PolicyDocument") for p in properties.get("Policies", [])),
        ]
        for document in documents:
            if document is not None:
                yield from (("Signalbox-Rights", wrong) for wrong in _rights(_statements(document), stage))


def admits(resource: Resource, service: str, action: str, below: str = "") -> bool:
    """Whether a resource's policy admits a service of AWS to an action, on what has a text in its name."""
    document = resource.get("Properties", {}).get(RESOURCE_POLICIES.get(resource["Type"], ""))
    return any(
        statement.get("Effect") == "Allow"
        and service in _listed(_principals(statement).get("Service"))
        and action in _listed(statement.get("Action"))
        and below in json.dumps(statement.get("Resource"))
        for statement in _statements(document)
    )


def _admitted(kind: str, statements: list[Statement], stage: Stage) -> Iterator[str]:
    refused_to_others = {
        service
        for statement in statements
        if statement.get("Effect") == "Deny"
        and _asks(statement, "aws:SourceAccount", None, stage, ("StringNotEquals",))
        for service in _listed(_principals(statement).get("Service"))
    }
    for statement in statements:
        if statement.get("Effect") != "Allow":
            continue
        principals = _principals(statement)
        if any(name.startswith("Not") for name in statement) or {*principals} - {"AWS", "Service"}:
            yield "the resource policy names whom it does not mean, and admits everyone else"
        accounts = _listed(principals.get("AWS"))
        if "*" in accounts:
            yield "the resource policy lets everybody in"
        elif not all(ours(account, stage) for account in accounts):
            yield "the resource policy lets another account in"
        confined = any(_asks(statement, key, None, stage) for key in _ON_BEHALF)
        services = _listed(principals.get("Service"))
        if services and not (confined or {*map(str, services)} <= refused_to_others):
            yield "a service of AWS is let in on behalf of any account"
        for service in services:
            most = [
                actions
                for pattern, actions in ADMISSIBLE.get(kind, {}).items()
                if re.fullmatch(rf"({pattern})\.amazonaws\.com", str(service))
            ]
            if not most or {*map(str, _listed(statement.get("Action")))} - most[0]:
                yield f"{service} is let in, or to do more than ADMISSIBLE says"


def _not_refused(kind: str, statements: list[Statement], stage: Stage) -> Iterator[str]:
    for refusal in REFUSALS:
        applies = refusal.type == kind and refusal.when(stage)
        if applies and not any(_refuses(statement, refusal, stage) for statement in statements):
            yield refusal.why


def _refuses(statement: Statement, refusal: Refusal, stage: Stage) -> bool:
    resources = _listed(statement.get("Resource"))
    return (
        statement.get("Effect") == "Deny"
        and _listed(_principals(statement).get("AWS")) == ["*"]
        and refusal.actions <= {*map(str, _listed(statement.get("Action")))}
        and statement.get("Condition") == refusal.condition
        and len(resources) >= refusal.resources
        and all(resource == "*" or ours(resource, stage) for resource in resources)
    )


def _trusted(statements: list[Statement], stage: Stage) -> Iterator[str]:
    if not statements:
        yield "no one can take on the role"
    for statement in statements:
        services = _listed(_principals(statement).get("Service"))
        if {*_principals(statement)} == {"AWS"} and ours(_principals(statement)["AWS"], stage):
            if {*map(str, _listed(statement.get("Action")))} - _TRUST:
                yield "the role's trust allows more than to take it on"
            for key, (operator, pattern) in _FOR_A_TENANT.items():
                if not _asks(statement, key, pattern, stage, (operator,)):
                    yield f"the role can be taken on without naming a tenant: {key}"
            continue
        if not services or {*_principals(statement)} != {"Service"} or not all(name in TRUSTED for name in services):
            yield "the role trusts another than the services of TRUSTED"
            continue
        if {*map(str, _listed(statement.get("Action")))} - _TRUST:
            yield "the role's trust allows more than to take it on"
        for key, fits in (item for name in services for item in TRUSTED[str(name)].items()):
            if not _asks(statement, key, fits(stage), stage):
                yield f"the role's trust does not ask for {key}, or for another value than ours"


def _rights(statements: list[Statement], stage: Stage) -> Iterator[str]:
    if not statements:
        yield "the policy says nothing"
    for statement in statements:
        if statement.get("Effect") != "Allow":
            continue
        actions, right = {*map(str, _listed(statement.get("Action")))}, RIGHTS.get(str(statement.get("Sid")))
        if any(name.startswith("Not") for name in statement):
            yield "the policy allows what it does not name"
        if any(action.endswith(":*") or action == "*" for action in actions):
            yield "the policy allows everything that a service can do"
        resources = _listed(statement.get("Resource"))
        everywhere = right is not None and right.everywhere and resources == ["*"]
        if not (everywhere or all(ours(resource, stage) for resource in resources)):
            yield "the policy is about what is not ours, or about everything there is"
        judged = actions - _MAY.get(str(statement.get("Sid")), frozenset())
        if forbidden := sorted(action for action in judged if any(fnmatchcase(action, never) for never in NEVER)):
            yield f"the policy allows what no role of ours may: {', '.join(forbidden)}"
        for key, fits in _VIA.items():
            bound = all(_asks(statement, name, one(stage), stage) for name, one in _BOUND.items())
            if actions & {"kms:Decrypt", "kms:GenerateDataKey"} and not (
                bound or _asks(statement, key, fits(stage), stage)
            ):
                yield "the policy lets a key be used past the services that it is for"
        if right is not None:
            opens = frozenset({"kms:Decrypt"})
            most = right.actions & opens if right.stages_key and stage.tenant_keys == "required" else right.actions
            if actions - most:
                yield f"{statement['Sid']} allows more than it is for: {', '.join(sorted(actions - most))}"
            if not all(json.dumps(r).rstrip('"]}').endswith(right.within) for r in _listed(statement.get("Resource"))):
                yield f"{statement['Sid']} is about more than {right.within}"
            for key, fits in right.conditions.items():
                if not _asks(statement, key, fits(stage), stage):
                    yield f"{statement['Sid']} does not ask for {key}, or for another value than ours"


def _asks(
    statement: Statement, key: str, fits: str | None, stage: Stage, compared: tuple[str, ...] = _COMPARED
) -> bool:
    """Whether a statement has a condition on a key whose values all fit a pattern; None asks that they are ours."""
    for operator, block in statement.get("Condition", {}).items():
        if operator in compared and key in block:
            values = _listed(block[key])
            return ours(block[key], stage) if fits is None else all(re.search(fits, str(value)) for value in values)
    return False


def _statements(document: object) -> list[Statement]:
    found = document.get("Statement", []) if isinstance(document, Mapping) else []
    return [found] if isinstance(found, Mapping) else list(found)


def _principals(statement: Statement) -> Mapping[str, Any]:
    principal = statement.get("Principal", {})
    return {"AWS": "*"} if principal == "*" else principal


def _listed(value: object) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]
