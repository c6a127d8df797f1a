"""Who may do what to whose: the synthesized policies of all stages, evaluated offline, conditions and all.

Principals are the roles and users of a stage, with the policies that the templates give them and the policies of what
they reach. The engine is npm's @cloud-copilot/iam-simulate, in a folder of its own: nothing of it is in the product.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.tenant_keys import policy as tenant_key_policy
from infra.product import STAGES
from infra.shell.tools import search_path
from service.product import NAME
from tests.infra.conftest import Synthesized
from tests.support.api.server import ROOT

FOLDER = ROOT / "tests" / "infra" / "iam"
ACCOUNT, OTHER, REGION = "111122223333", "999988887777", "us-east-1"
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/own/1",
}
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::IAM::User": f"arn:aws:iam::{ACCOUNT}:user/{{}}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{}}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::Backup::BackupVault": f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{{}}",
}


_ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:role/administrator"  # of the account, whom no template makes
_EVERYTHING = [
    {
        "name": "everything",
        "policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
    }
]


class Stage:
    """A stage whose references are resolved: each resource has an ARN made of stage and logical id.

    Tenants acme and globex have keys of their own in it, with the policy that the command gives them.
    """

    def __init__(self, synthesized: Synthesized) -> None:
        self.name = synthesized.name
        self.templates = synthesized.templates
        self.resources = {name: row for t in self.templates.values() for name, row in t["Resources"].items()}

    def arn(self, logical: str) -> str:
        kind: str = self.resources[logical]["Type"]
        made_up = f"arn:aws:x:{REGION}:{ACCOUNT}:{kind.lower().replace('::', '-')}/{{}}"
        return str(_ARNS.get(kind, made_up)).format(f"{self.name}-{logical}")

    def one(self, kind: str, prefix: str) -> str:
        """Logical id of the one resource of a type whose id begins so."""
        (found,) = [str(n) for n, row in self.resources.items() if row["Type"] == kind and n.startswith(prefix)]
        return found

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        key, inner = next(iter(value.items())) if len(value) == 1 else ("", None)
        if key == "Ref":
            return _PSEUDO.get(str(inner)) or self._named(str(inner))
        if key == "Fn::GetAtt":
            logical, attribute = inner if isinstance(inner, list) else str(inner).split(".", 1)
            return self._attribute(logical, attribute)
        if key == "Fn::Join":
            assert isinstance(inner, list)
            return inner[0].join(str(self.resolve(one)) for one in inner[1])
        if key == "Fn::GetStackOutput":
            assert isinstance(inner, dict)
            return self._output(inner)
        return {name: self.resolve(one) for name, one in value.items()}

    def _attribute(self, logical: str, attribute: str) -> str:
        if attribute in ("Arn", "TopicArn"):
            return self.arn(logical)
        if attribute.startswith("MasterUserSecret"):
            return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-{self.name}"
        return f"{self.name}-{logical}-{attribute}"

    def _named(self, logical: str) -> str:
        kind = self.resources.get(logical, {}).get("Type")
        if kind in ("AWS::S3::Bucket", "AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group", "AWS::Logs::LogGroup"):
            return f"{self.name}-{logical}"
        return self.arn(logical) if kind else f"{self.name}-{logical}"

    def _output(self, reference: Mapping[str, Any]) -> Any:
        for template in self.templates.values():
            if (found := template.get("Outputs", {}).get(reference["OutputName"])) is not None:
                return self.resolve(found["Value"])
        raise AssertionError(reference)

    def policies(self, principal: str) -> list[dict[str, Any]]:
        """What the templates allow a role or user: its policies of ours, and those of its group."""
        arn_or_name = json.dumps({"Ref": principal})
        groups = [
            name
            for name, row in self.resources.items()
            if row["Type"] == "AWS::IAM::Group" and name in json.dumps(self.resources[principal].get("Properties", {}))
        ]
        held = json.dumps(
            [self.resources[one].get("Properties", {}).get("ManagedPolicyArns", []) for one in (principal, *groups)]
        )
        found = []
        for name, row in self.resources.items():
            if row["Type"] != "AWS::IAM::ManagedPolicy":
                continue
            attached = json.dumps(row["Properties"].get("Roles", []))
            if arn_or_name in attached or name in held:
                found.append({"name": name, "policy": self.resolve(row["Properties"]["PolicyDocument"])})
        return found

    def tenant_key(self, tenant: str) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{self.name}-of-{tenant}"

    def policy_of(self, arn: str) -> Any:
        """The policy of what is reached, where it has one."""
        if "-of-" in arn:
            return tenant_key_policy(ACCOUNT, arn.rpartition("-of-")[2])
        for name, row in self.resources.items():
            properties = row.get("Properties", {})
            if row["Type"] == "AWS::KMS::Key" and self.arn(name) == arn:
                return self.resolve(properties["KeyPolicy"])
            if row["Type"] == "AWS::IAM::Role" and self.arn(name) == arn:
                return self.resolve(properties["AssumeRolePolicyDocument"])
            if row["Type"] == "AWS::S3::BucketPolicy":
                bucket = self.arn(properties["Bucket"]["Ref"])
                if arn == bucket or arn.startswith(f"{bucket}/"):
                    return self.resolve(properties["PolicyDocument"])
        return None


@dataclass(frozen=True)
class Request:
    """One request: by whom, what, to what, with what context."""

    by: str  # logical id
    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict)
    to: Stage | None = None  # another stage's

    def simulation(self, stage: Stage) -> dict[str, Any]:
        arn = _ADMINISTRATOR if self.by == _ADMINISTRATOR else stage.arn(self.by)
        session = arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/t" if ":role/" in arn else arn
        context = {
            "aws:SecureTransport": "true",
            "s3:TlsVersion": "1.3",
            "aws:PrincipalAccount": ACCOUNT,
            **self.context,
        }
        if self.action.startswith("s3:"):
            context["aws:PrincipalArn"] = arn
        policy = (self.to or stage).policy_of(self.resource)
        return {
            "request": {
                "principal": session,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": ACCOUNT},
                "contextVariables": context,
            },
            "identityPolicies": _EVERYTHING if self.by == _ADMINISTRATOR else stage.policies(self.by),
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **({"resourcePolicy": policy} if policy else {}),
        }


@pytest.fixture(scope="session")
def engine() -> None:
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once must not install into each other
        if not (FOLDER / "node_modules" / "@cloud-copilot" / "iam-simulate").is_dir():
            # The one of the environment's bin folder: that of the package knows its place only when started from there.
            npm = str(Path(sys.executable).with_name("npm"))
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=FOLDER, env=_environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": search_path(ROOT), "NO_UPDATE_NOTIFIER": "1"}


def verdicts(stage: Stage, requests: Sequence[Request]) -> list[str]:
    asked = json.dumps([request.simulation(stage) for request in requests])
    done = subprocess.run(
        ["node", "evaluate.mjs"],
        cwd=FOLDER,
        env=_environment(),
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    assert [answer for answer in answers if answer["type"] == "error"] == []
    return [str(answer["result"]) for answer in answers]


def matrix(stage: Stage, other: Stage) -> list[tuple[str, Request, bool]]:
    """What each principal may do, and what it may not: every row with its verdict."""
    service = (
        stage.one("AWS::IAM::Role", "ServiceRole")
        if stage.name != "development"
        else stage.one("AWS::IAM::User", "Service")
    )
    tenant, data = stage.one("AWS::IAM::Role", "TenantRole"), stage.arn(stage.one("AWS::KMS::Key", "DataKey"))
    bucket = stage.arn(stage.one("AWS::S3::Bucket", "DocumentsBucket"))
    signing, logs = (stage.arn(stage.one("AWS::KMS::Key", name)) for name in ("SigningKey", "LogsKey"))
    secret = {
        name: stage.arn(stage.one("AWS::SecretsManager::Secret", f"Secrets{name}"))
        for name in ("DatabaseApp", "SessionKey", "RouterKey")
    }
    master = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-{stage.name}"
    acme = {"aws:PrincipalTag/tenant_id": "acme"}
    s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": bucket}
    via_secrets = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    take = {"aws:RequestTag/tenant_id": "acme", "aws:TagKeys": ["tenant_id"]}
    role, theirs = stage.arn(tenant), other.arn(other.one("AWS::IAM::Role", "TenantRole"))
    own = {"kms:EncryptionContext:tenant_id": "acme", "kms:EncryptionContextKeys": ["tenant_id"]}
    foreign = {"kms:EncryptionContext:tenant_id": "globex", "kms:EncryptionContextKeys": ["tenant_id"]}
    rows: list[tuple[str, Request, bool]] = [
        # A tenant's session.
        ("tenant reads its own object", Request(tenant, "s3:GetObject", f"{bucket}/tenants/acme/a", acme), True),
        ("tenant writes its own object", Request(tenant, "s3:PutObject", f"{bucket}/tenants/acme/a", acme), True),
        ("tenant reads another's object", Request(tenant, "s3:GetObject", f"{bucket}/tenants/globex/a", acme), False),
        ("tenant writes another's object", Request(tenant, "s3:PutObject", f"{bucket}/tenants/globex/a", acme), False),
        (
            "tenant reads beside a prefix like its own",
            Request(tenant, "s3:GetObject", f"{bucket}/tenants/acme2/a", acme),
            False,
        ),
        ("tenant reads outside the prefixes", Request(tenant, "s3:GetObject", f"{bucket}/a", acme), False),
        ("tenant deletes its own object", Request(tenant, "s3:DeleteObject", f"{bucket}/tenants/acme/a", acme), False),
        ("tenant lists the bucket", Request(tenant, "s3:ListBucket", bucket, acme), False),
        ("a session without a tenant reads", Request(tenant, "s3:GetObject", f"{bucket}/tenants/acme/a"), False),
        (
            "a session without a tenant reads the empty one",
            Request(tenant, "s3:GetObject", f"{bucket}/tenants//a"),
            False,
        ),
        (
            "a tenant named * reads another's",
            Request(tenant, "s3:GetObject", f"{bucket}/tenants/acme/a", {"aws:PrincipalTag/tenant_id": "glo"}),
            False,
        ),
        (
            "tenant reads without TLS",
            Request(tenant, "s3:GetObject", f"{bucket}/tenants/acme/a", {**acme, "aws:SecureTransport": "false"}),
            False,
        ),
        ("tenant encrypts under its context", Request(tenant, "kms:Encrypt", data, {**acme, **own}), True),
        ("tenant decrypts under its context", Request(tenant, "kms:Decrypt", data, {**acme, **own}), True),
        ("tenant decrypts under another's context", Request(tenant, "kms:Decrypt", data, {**acme, **foreign}), False),
        ("tenant decrypts without a context", Request(tenant, "kms:Decrypt", data, acme), False),
        ("no tenant decrypts under a context", Request(tenant, "kms:Decrypt", data, own), False),
        ("tenant's object is decrypted by S3", Request(tenant, "kms:Decrypt", data, {**acme, **s3}), True),
        ("tenant's key through another service", Request(tenant, "kms:Decrypt", data, {**acme, **via_secrets}), False),
        ("tenant signs", Request(tenant, "kms:Sign", signing, acme), False),
        ("tenant reads a secret", Request(tenant, "secretsmanager:GetSecretValue", secret["SessionKey"], acme), False),
        (
            "tenant becomes another",
            Request(tenant, "sts:AssumeRole", role, {**acme, **take, "aws:RequestTag/tenant_id": "globex"}),
            False,
        ),
        *_of_tenants_keys(stage, other, tenant, service),
        # The service as itself.
        ("service acts for a tenant", Request(service, "sts:AssumeRole", role, take), True),
        ("service acts for no tenant", Request(service, "sts:AssumeRole", role, {"aws:TagKeys": ["x"]}), False),
        (
            "service acts for a tenant with a tag more",
            Request(service, "sts:AssumeRole", role, {**take, "aws:TagKeys": ["tenant_id", "x"]}),
            False,
        ),
        ("service acts for a tenant of another stage", Request(service, "sts:AssumeRole", theirs, take, other), False),
        ("service reads an object as itself", Request(service, "s3:GetObject", f"{bucket}/tenants/acme/a"), False),
        (
            "service reads an object with a tag of its own",
            Request(service, "s3:GetObject", f"{bucket}/tenants/acme/a", acme),
            False,
        ),
        ("service decrypts an object as itself", Request(service, "kms:Decrypt", data, s3), False),
        ("service decrypts past its services", Request(service, "kms:Decrypt", data), False),
        ("service reads its login", Request(service, "secretsmanager:GetSecretValue", secret["DatabaseApp"]), True),
        ("service decrypts its secrets", Request(service, "kms:Decrypt", data, via_secrets), True),
        (
            "service reads the session key",
            Request(service, "secretsmanager:GetSecretValue", secret["SessionKey"]),
            True,
        ),
        (
            "service reads the router's key",
            Request(service, "secretsmanager:GetSecretValue", secret["RouterKey"]),
            False,
        ),
        ("service changes its login", Request(service, "secretsmanager:PutSecretValue", secret["DatabaseApp"]), False),
        ("service signs tokens", Request(service, "kms:Sign", signing), True),
        ("service signs with the data key", Request(service, "kms:Sign", data), False),
        ("service ends a key", Request(service, "kms:ScheduleKeyDeletion", signing), False),
        ("service reads logs' key", Request(service, "kms:Decrypt", logs), False),
        ("service reads the login that migrates", Request(service, "secretsmanager:GetSecretValue", master), True),
        (
            "service makes a user of the pool",
            Request(
                service, "cognito-idp:AdminCreateUser", f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_x"
            ),
            False,
        ),
        (
            "service sets a tenant",
            Request(
                service,
                "cognito-idp:AdminUpdateUserAttributes",
                f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_x",
            ),
            False,
        ),
        (
            "service changes the token function",
            Request(service, "lambda:UpdateFunctionConfiguration", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:x"),
            False,
        ),
        ("service changes its rights", Request(service, "iam:PutRolePolicy", role), False),
        (
            "service deletes a copy",
            Request(service, "backup:DeleteRecoveryPoint", f"arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point:x"),
            False,
        ),
    ]
    for name, what in (
        ("PreTokenRole", "token function"),
        ("RouterRole", "router"),
        ("NetworkFlowLogsRole", "flow log"),
        ("TrailRole", "trail"),
    ):
        roles = [n for n, row in stage.resources.items() if row["Type"] == "AWS::IAM::Role" and n.startswith(name)]
        for by in roles:
            rows += [
                (f"{what} acts for a tenant", Request(by, "sts:AssumeRole", role, take), False),
                (f"{what} reads an object", Request(by, "s3:GetObject", f"{bucket}/tenants/acme/a", acme), False),
                (
                    f"{what} reads the service's login",
                    Request(by, "secretsmanager:GetSecretValue", secret["DatabaseApp"]),
                    False,
                ),
                (
                    f"{what} sets a tenant",
                    Request(
                        by,
                        "cognito-idp:AdminUpdateUserAttributes",
                        f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_x",
                    ),
                    False,
                ),
                (f"{what} signs", Request(by, "kms:Sign", signing), False),
            ]
        if what == "router" and roles:
            rows += _router(stage, roles[0], secret)
    return rows


def _router(stage: Stage, router: str, secret: Mapping[str, str]) -> list[tuple[str, Request, bool]]:
    """What the machine may do, which anyone who breaks into it could."""
    group = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/g"
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack"
    own, theirs = f"{NAME}/{stage.name}", f"{NAME}/another"
    tag = {"aws:ResourceTag/router": f"{NAME}-{stage.name}-router"}
    other_tag = {"aws:ResourceTag/router": f"{NAME}-another-router"}
    key = stage.arn(stage.one("AWS::KMS::Key", "DataKey"))
    via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    its, logins = ({**via, "kms:EncryptionContext:SecretARN": secret[name]} for name in ("RouterKey", "DatabaseApp"))
    put, complete, signal = (
        "cloudwatch:PutMetricData",
        "autoscaling:CompleteLifecycleAction",
        "cloudformation:SignalResource",
    )
    asked: list[tuple[str, str, str, dict[str, Any], bool]] = [
        ("reads its key", "secretsmanager:GetSecretValue", secret["RouterKey"], {}, True),
        ("changes its key", "secretsmanager:PutSecretValue", secret["RouterKey"], {}, False),
        ("decrypts its key", "kms:Decrypt", key, its, True),
        ("decrypts the service's login", "kms:Decrypt", key, logins, False),
        ("says that it routes", put, "*", {"cloudwatch:namespace": f"{own}/router"}, True),
        ("says what alarms on logs read", put, "*", {"cloudwatch:namespace": own}, False),
        ("speaks for another stage", put, "*", {"cloudwatch:namespace": f"{theirs}/router"}, False),
        ("tells its group", complete, group, tag, True),
        ("tells another's group", complete, group, other_tag, False),
        ("tells a group without a name", complete, group, {}, False),
        ("signals its stack", signal, f"{stack}/own/1", {}, True),
        ("signals another stack", signal, f"{stack}/other/1", {}, False),
        ("changes its stack", "cloudformation:UpdateStack", f"{stack}/own/1", {}, False),
        ("grows its group", "autoscaling:SetDesiredCapacity", group, tag, False),
        ("is reached by Session Manager", "ssmmessages:OpenDataChannel", "*", {}, True),
        ("asks for patches", "ssm:GetDeployablePatchSnapshotForInstance", "*", {}, True),
        ("reads a parameter", "ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/x", {}, False),
        ("sends a command", "ssm:SendCommand", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {}, False),
        ("opens a session", "ssm:StartSession", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1", {}, False),
    ]
    return [(f"router {what}", Request(router, act, on, context), may) for what, act, on, context, may in asked]


def _of_tenants_keys(stage: Stage, other: Stage, tenant: str, service: str) -> list[tuple[str, Request, bool]]:
    """A tenant's own key: by its alias, under its context, in its session, and otherwise not."""
    own, foreign, elsewhere = stage.tenant_key("acme"), stage.tenant_key("globex"), other.tenant_key("acme")
    aliases = {key: one.names.tenant_key(name) for key, one, name in (
        (own, STAGES[stage.name], "acme"), (foreign, STAGES[stage.name], "globex"),
        (elsewhere, STAGES[other.name], "acme"),
    )}  # fmt: skip
    tag, bucket = {"aws:PrincipalTag/tenant_id": "acme"}, stage.arn(stage.one("AWS::S3::Bucket", "DocumentsBucket"))

    def named(key: str, of: str = "acme", **more: Any) -> dict[str, Any]:
        """The context of a request that names the key by its alias."""
        return {**by_id(key, of), "kms:RequestAlias": aliases[key], **more}

    def by_id(key: str, of: str = "acme") -> dict[str, Any]:
        context = {"kms:EncryptionContext:tenant_id": of, "kms:EncryptionContextKeys": ["tenant_id"]}
        return {**tag, **context, "kms:ResourceAliases": [aliases[key]]}

    def by_s3(key: str, where: str = bucket) -> dict[str, Any]:
        through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": where}
        return {**tag, **through, "kms:ResourceAliases": [aliases[key]]}

    without = {name: value for name, value in named(own).items() if name != "kms:ResourceAliases"}
    both = {**named(own), "kms:ResourceAliases": [aliases[foreign], aliases[own]]}
    bare = {name: value for name, value in named(own).items() if not name.startswith("kms:EncryptionContext")}
    asked: list[tuple[str, str, str, Mapping[str, Any], bool]] = [
        ("encrypts by its alias", "kms:Encrypt", own, named(own), True),
        ("has data keys made by its alias", "kms:GenerateDataKey", own, named(own), True),
        ("decrypts", "kms:Decrypt", own, by_id(own), True),
        ("decrypts by its alias", "kms:Decrypt", own, named(own), True),
        ("encrypts by the key's id", "kms:Encrypt", own, by_id(own), False),
        ("encrypts by a key without an alias", "kms:Encrypt", own, without, False),
        ("decrypts by a key without an alias", "kms:Decrypt", own, without, False),
        ("encrypts without a context", "kms:Encrypt", own, bare, False),
        ("decrypts without a context", "kms:Decrypt", own, bare, False),
        ("encrypts under another's context", "kms:Encrypt", own, named(own, "globex"), False),
        ("decrypts under another's context", "kms:Decrypt", own, by_id(own, "globex"), False),
        ("encrypts by another's alias", "kms:Encrypt", foreign, named(foreign), False),
        ("decrypts with another's key", "kms:Decrypt", foreign, by_id(foreign), False),
        ("decrypts with another's key, context and all", "kms:Decrypt", foreign, by_id(foreign, "globex"), False),
        ("uses another's key that has its alias, too", "kms:Encrypt", foreign, both, False),
        ("encrypts by its key of another stage", "kms:Encrypt", elsewhere, named(elsewhere), False),
        ("decrypts with its key of another stage", "kms:Decrypt", elsewhere, by_id(elsewhere), False),
        ("has S3 encrypt with its key", "kms:GenerateDataKey", own, by_s3(own), True),
        ("has S3 decrypt with its key", "kms:Decrypt", own, by_s3(own), True),
        ("has S3 encrypt with another's key", "kms:GenerateDataKey", foreign, by_s3(foreign), False),
        ("has S3 decrypt with another's key", "kms:Decrypt", foreign, by_s3(foreign), False),
        ("has S3 encrypt with its key of another stage", "kms:GenerateDataKey", elsewhere, by_s3(elsewhere), False),
        ("has S3 decrypt in another bucket", "kms:Decrypt", own, by_s3(own, "arn:aws:s3:::other"), False),
    ]
    rows = [(f"tenant {what}", Request(tenant, act, on, context), may) for what, act, on, context, may in asked]
    alias = f"arn:aws:kms:{REGION}:{ACCOUNT}:{aliases[own]}"
    principals = [n for n, row in stage.resources.items() if row["Type"] in ("AWS::IAM::Role", "AWS::IAM::User")]
    of_administrators = (
        *(("kms:CreateAlias", on) for on in (alias, own)),
        *(("kms:UpdateAlias", on) for on in (alias, own)),
        ("kms:DeleteAlias", alias),
        *((f"kms:{name}", own) for name in ("TagResource", "PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey")),
        *((f"kms:{name}", own) for name in ("RotateKeyOnDemand", "DisableKeyRotation", "CreateGrant", "ReEncryptFrom")),
        ("kms:CreateKey", "*"),
    )
    for by in principals:
        rows += [(f"{by}: {act} of a tenant's key", Request(by, act, on, named(own)), False) for act, on in
                 of_administrators]  # fmt: skip
    rows += [
        (f"administrator: {act} of a tenant's key", Request(_ADMINISTRATOR, act, on), True)
        for act, on in of_administrators
        if act not in ("kms:CreateGrant", "kms:ReEncryptFrom")  # these use it
    ]
    untagged = {name: value for name, value in named(own).items() if name != "aws:PrincipalTag/tenant_id"}
    rows += [
        ("service decrypts with a tenant's key as itself", Request(service, "kms:Decrypt", own, untagged), False),
        ("service encrypts with a tenant's key as itself", Request(service, "kms:Encrypt", own, untagged), False),
        ("a session without a tenant decrypts", Request(tenant, "kms:Decrypt", own, untagged), False),
        ("administrator decrypts as no tenant", Request(_ADMINISTRATOR, "kms:Decrypt", own, untagged), False),
        ("administrator has another use it", Request(_ADMINISTRATOR, "kms:CreateGrant", own, untagged), False),
    ]
    return rows


@pytest.mark.parametrize("name", ["development", "staging", "production"])
def test_who_may_do_what_to_whose(name: str, stages: Mapping[str, Synthesized], engine: None) -> None:
    stage, other = Stage(stages[name]), Stage(stages["staging" if name != "staging" else "production"])
    rows = matrix(stage, other)
    found = verdicts(stage, [request for _, request, _ in rows])
    wrong = [
        (what, verdict)
        for (what, _, allowed), verdict in zip(rows, found, strict=True)
        if (verdict == "Allowed") != allowed
    ]
    assert wrong == [], wrong
    assert sum(not allowed for _, _, allowed in rows) >= 40


def test_of_all_our_principals_only_the_service_can_name_a_tenant(
    stages: Mapping[str, Synthesized], engine: None
) -> None:
    """Of every stage, and with any tag: the rest is administrators of the account, whom no template makes."""
    for name, synthesized in stages.items():
        stage = Stage(synthesized)
        role = stage.arn(stage.one("AWS::IAM::Role", "TenantRole"))
        principals = [n for n, row in stage.resources.items() if row["Type"] in ("AWS::IAM::Role", "AWS::IAM::User")]
        take = {"aws:RequestTag/tenant_id": "acme", "aws:TagKeys": ["tenant_id"]}
        found = verdicts(stage, [Request(by, "sts:AssumeRole", role, take) for by in principals])
        able = {by for by, verdict in zip(principals, found, strict=True) if verdict == "Allowed"}
        assert len(able) == 1, (name, able)
        assert re.match("Service", able.pop())
