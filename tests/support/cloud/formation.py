"""CloudFormation by its documented rules, and the CDK's command line on it: a model that takes real templates.

Modelled is what decides whether a deployment can be repeated: the order of creation, names that are taken, rollback
with its deletion policies, deletions that AWS refuses (protection, content, use), termination protection, and which
stacks the command line deletes by itself.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import PARTS, Account
from infra.shell.failure import Failure
from infra.stage.outputs import stack_name
from infra.stage.record import Stage

Template = Mapping[str, Any]

# Where a template gives a resource its name, which account and region then have once; what has none here is named by
# CloudFormation, each time anew.
NAMED = {
    "AWS::Backup::BackupPlan": "BackupPlan.BackupPlanName",
    "AWS::Backup::BackupVault": "BackupVaultName",
    "AWS::Budgets::Budget": "Budget.BudgetName",
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolDomain": "Domain",
    "AWS::IAM::User": "UserName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::RolesAnywhere::Profile": "Name",
    "AWS::RolesAnywhere::TrustAnchor": "Name",
    "AWS::SecretsManager::Secret": "Name",
}
_READS = re.compile(r'"Fn::GetStackOutput": \{"StackName": "([^"]+)"')
_PROTECTED = {"AWS::RDS::DBInstance": "DeletionProtection", "AWS::Cognito::UserPool": "DeletionProtection"}
# What AWS does not delete while something of ours uses it.
_HELD = ("AWS::RDS::DBSubnetGroup", "AWS::RDS::DBParameterGroup", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup")
_NOT_FOUND = {"s3": "NoSuchBucket", "iam": "NoSuchEntity", "rds": "DBInstanceNotFound"}


def refused(code: str, text: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text or code}}, "Call")


def named(resource: Mapping[str, Any]) -> str | None:
    """The name a template gives a resource."""
    value: Any = resource.get("Properties", {})
    for part in NAMED.get(resource["Type"], "-").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def needs(resource: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Logical ids that have to be there before a resource."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "Ref":
                    found.append(inner)
                elif key == "Fn::GetAtt":
                    found.append(inner[0] if isinstance(inner, list) else inner.partition(".")[0])
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(resource.get("Properties", {}))
    depends = resource.get("DependsOn", [])
    found += [depends] if isinstance(depends, str) else depends
    return [name for name in dict.fromkeys(found) if name in known]


def ordered(template: Template) -> dict[str, list[str]]:
    """Logical ids in an order of creation, each with those that it needs."""
    resources, done = template["Resources"], dict[str, list[str]]()

    def visit(name: str) -> None:
        if name not in done:
            needed = needs(resources[name], resources)
            for other in needed:
                visit(other)
            done[name] = needed

    for name in resources:
        visit(name)
    return done


@dataclass
class Thing:
    """Something in the account."""

    type: str
    physical: str
    protected: bool = False
    holds: int = 0  # objects, recovery points, keys made by hand
    uses: tuple[str, ...] = ()  # physical ids


@dataclass
class Formed:
    """A stack."""

    name: str
    arn: str
    status: str = "REVIEW_IN_PROGRESS"
    protected: bool = False
    template: Template = field(default_factory=dict)
    resources: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # logical -> type, physical, status
    events: list[dict[str, Any]] = field(default_factory=list)
    initiated: set[str] = field(default_factory=set)
    version: int = 0  # of what its outputs say: another with each update that changed the template
    seen: dict[str, int] = field(default_factory=dict)  # versions of the stacks that it reads, when it was deployed

    def event(self, logical: str, kind: str, physical: str, status: str, reason: str = "") -> None:
        self.events.append(
            {
                "LogicalResourceId": logical,
                "ResourceType": kind,
                "PhysicalResourceId": physical,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }
        )

    def turn(self, status: str) -> None:
        self.status = status
        self.event(self.name, "AWS::CloudFormation::Stack", self.arn, status)


class Cloud(Account):
    """An account that holds stacks.

    Attributes:
        fail: Asked for each creation; ``refused`` fails before anything is there, ``half`` after.
        rolls_back: Whether a creation that failed is rolled back; ``cdk deploy --no-rollback`` leaves it as it is.
        orders: Orders of creation, by template; may be shared between accounts.
        others: The same account in other regions.
    """

    def __init__(self, orders: dict[int, dict[str, list[str]]] | None = None) -> None:
        self.orders = {} if orders is None else orders
        self.region, self.rolls_back, self.forced = "us-east-1", True, False
        self.stacks: dict[str, Formed] = {}
        self.things: dict[tuple[str, str], Thing] = {}
        self.fail: Callable[[str, str], str | None] = lambda stack, logical: None
        self.client = lambda name: _Client(self, name)
        self._numbers = itertools.count(1)
        self._before: dict[str, Formed] = {}
        self.others: dict[str, Cloud] = {}

    def elsewhere(self, region: str) -> Account:
        return self.others.get(region) or Cloud()

    def wait(self, done: Callable[[], bool], what: str, *, minutes: float = 60, pause: float = 10) -> None:
        assert done(), what

    # What the command line does.

    def cdk(self, templates: Mapping[str, Template], stage: Stage, options: tuple[str, ...], all_new: bool) -> None:
        given = next((one for one in options if one.startswith("unprotected=")), "unprotected=")
        unprotected = given.partition("=")[2].split(",")
        self.forced = "--force" in options
        for part in PARTS:
            protect = stage.retain and (all_new or part not in unprotected)
            self._deploy(stack_name(stage.name, part), templates[part], protect)

    def _deploy(self, name: str, template: Template, protect: bool) -> None:
        stack = self.stacks.get(name)
        if stack is not None and stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
            self.delete(stack)
            if stack.status != "DELETE_COMPLETE":
                raise Failure(f"failed deleting stack {name} that had previously failed creation")
            stack = None
        if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            stack.protected = protect
            if self.forced or stack.template != template:
                self._update(stack, template)
            return
        stack = stack or Formed(name, f"arn:aws:cloudformation:us-east-1:1:stack/{name}/{next(self._numbers)}")
        self.stacks[name] = self._before[stack.arn] = stack
        stack.turn("REVIEW_IN_PROGRESS")
        stack.protected = protect  # before the change set is executed
        self._create(stack, template)
        if stack.status != "CREATE_COMPLETE":
            raise Failure(f"{name} failed: {stack.status}")

    # What CloudFormation does.

    def _order(self, template: Template) -> dict[str, list[str]]:
        known = self.orders.get(id(template))
        if known is None or len(known) != len(template["Resources"]):
            known = self.orders[id(template)] = ordered(template)
        return known

    def _create(self, stack: Formed, template: Template) -> None:
        stack.template, stack.seen = template, self._read(template)
        stack.turn("CREATE_IN_PROGRESS")
        for logical, needed in self._order(template).items():
            resource = template["Resources"][logical]
            kind, how = resource["Type"], self.fail(stack.name, logical)
            physical = named(resource) or f"{stack.name}-{logical}-{next(self._numbers)}"
            stack.event(logical, kind, "", "CREATE_IN_PROGRESS")
            if how == "refused" or (kind, physical) in self.things:
                why = "refused" if how else f"{physical} already exists"
                # Listed with the id of what has the name, as for some types.
                stack.resources[logical] = (kind, physical, "CREATE_FAILED")
                stack.event(logical, kind, physical, "CREATE_FAILED", why)
                return self._roll_back(stack)
            uses = tuple(stack.resources[name][1] for name in needed)
            properties = resource.get("Properties", {})
            protected = properties.get(_PROTECTED.get(kind, "-")) in (True, "ACTIVE")
            self.things[kind, physical] = Thing(kind, physical, protected, uses=uses)
            stack.event(logical, kind, physical, "CREATE_IN_PROGRESS", "Resource creation Initiated")
            stack.initiated.add(logical)
            self._consequences(kind, properties, stack)
            status = "CREATE_FAILED" if how == "half" else "CREATE_COMPLETE"
            stack.resources[logical] = (kind, physical, status)
            stack.event(logical, kind, physical, status)
            if how == "half":
                return self._roll_back(stack)
        return stack.turn("CREATE_COMPLETE")

    def _consequences(self, kind: str, properties: Mapping[str, Any], stack: Formed) -> None:
        """A trail tries its bucket, and a bucket that logs has its log in another."""
        target = properties.get("S3BucketName") if kind == "AWS::CloudTrail::Trail" else None
        target = target or properties.get("LoggingConfiguration", {}).get("DestinationBucketName")
        if isinstance(target, dict) and (found := stack.resources.get(target.get("Ref", ""))):
            self.things["AWS::S3::Bucket", found[1]].holds += 3

    def _roll_back(self, stack: Formed) -> None:
        if not self.rolls_back:
            return stack.turn("CREATE_FAILED")
        stack.turn("ROLLBACK_IN_PROGRESS")
        kept = ("Retain",)
        return stack.turn("ROLLBACK_COMPLETE" if self._remove_all(stack, kept) else "ROLLBACK_FAILED")

    def _update(self, stack: Formed, template: Template) -> None:
        """In place; one that fails goes back to what it was."""
        stack.turn("UPDATE_IN_PROGRESS")
        if any(self.fail(stack.name, logical) for logical in template["Resources"]):
            stack.turn("UPDATE_ROLLBACK_COMPLETE")
            raise Failure(f"{stack.name} failed: UPDATE_ROLLBACK_COMPLETE")
        stack.version += stack.template != template
        stack.template, stack.seen = template, self._read(template)
        stack.turn("UPDATE_COMPLETE")

    def _read(self, template: Template) -> dict[str, int]:
        """What a weak reference reads, it reads when its stack is deployed."""
        names = set(_READS.findall(json.dumps(template)))
        return {name: self.stacks[name].version for name in names}

    def stale(self) -> list[str]:
        """Stacks that read another before that one changed."""
        return [name for name, stack in self.stacks.items() if stack.seen != self._read(stack.template)]

    def delete(self, stack: Formed) -> None:
        if stack.protected:
            raise refused("ValidationError", "cannot be deleted while TerminationProtection is enabled")
        stack.turn("DELETE_IN_PROGRESS")
        # RetainExceptOnCreate deletes at the rollback of the creation, and keeps ever after.
        if self._remove_all(stack, ("Retain", "RetainExceptOnCreate")):
            stack.turn("DELETE_COMPLETE")
            del self.stacks[stack.name]
        else:
            stack.turn("DELETE_FAILED")

    def _remove_all(self, stack: Formed, kept: tuple[str, ...]) -> bool:
        good = True
        for logical, (kind, physical, status) in reversed(list(stack.resources.items())):
            initiated = logical in stack.initiated
            if status == "DELETE_COMPLETE":
                continue
            if stack.template["Resources"][logical].get("DeletionPolicy", "Delete") in kept and initiated:
                status = "DELETE_SKIPPED"
            elif not initiated or self.remove(kind, physical):  # another's is not touched
                status = "DELETE_COMPLETE"
            else:
                status, good = "DELETE_FAILED", False
            stack.resources[logical] = (kind, physical, status)
            stack.event(logical, kind, physical, status)
        return good

    def remove(self, kind: str, physical: str) -> bool:
        """Whether AWS lets it go; what is gone already is gone."""
        thing = self.things.get((kind, physical))
        if thing is None:
            return True
        used = kind in _HELD and any(
            physical in other.uses and other.type == "AWS::RDS::DBInstance" for other in self.things.values()
        )
        if thing.protected or thing.holds or used:
            return False
        del self.things[kind, physical]
        return True

    def found(self, name: str) -> Formed | None:
        return self._before.get(name) or self.stacks.get(name)


class _Client:
    """The calls of boto3 that the product makes."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud, self._name = cloud, name

    def _thing(self, kind: str, physical: str) -> Thing:
        found = self._cloud.things.get((kind, physical))
        if found is None:
            raise refused(_NOT_FOUND.get(self._name, "ResourceNotFoundException"))
        return found

    def _remove(self, kind: str, physical: str, code: str) -> dict[str, Any]:
        self._thing(kind, physical)
        if not self._cloud.remove(kind, physical):
            raise refused(code)
        return {}

    # cloudformation

    def _stack(self, name: str) -> Formed:
        found = self._cloud.found(name)
        if found is None:
            raise refused("ValidationError", f"Stack with id {name} does not exist")
        return found

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        stack = self._stack(StackName)
        told = {"StackName": stack.name, "StackId": stack.arn, "StackStatus": stack.status}
        return {"Stacks": [told | {"EnableTerminationProtection": stack.protected}]}

    def get_template(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {"TemplateBody": self._stack(StackName).template}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        self._cloud.delete(self._stack(StackName))

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:  # noqa: N803
        self._stack(StackName).protected = EnableTerminationProtection

    def get_paginator(self, call: str) -> Any:
        return _Pages(self, call)

    def pages(self, call: str, name: str) -> Iterator[dict[str, Any]]:
        stack = self._stack(name)
        if call == "describe_stack_events":
            yield {"StackEvents": list(reversed(stack.events))}
            return
        rows = [
            {
                "LogicalResourceId": logical,
                "ResourceType": kind,
                "PhysicalResourceId": physical,
                "ResourceStatus": status,
            }
            for logical, (kind, physical, status) in stack.resources.items()
        ]
        for start in range(0, len(rows), 100):
            yield {"StackResourceSummaries": rows[start : start + 100]}

    # s3

    def list_multipart_uploads(self, Bucket: str) -> dict[str, Any]:  # noqa: N803
        self._thing("AWS::S3::Bucket", Bucket)
        return {}

    def list_object_versions(self, Bucket: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803
        holds = self._thing("AWS::S3::Bucket", Bucket).holds
        return {"Versions": [{"Key": f"k{n}", "VersionId": "v"} for n in range(min(holds, MaxKeys))]}

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self._thing("AWS::S3::Bucket", Bucket).holds -= len(Delete["Objects"])
        return {}

    def delete_bucket(self, Bucket: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::S3::Bucket", Bucket, "BucketNotEmpty")

    # rds

    def describe_db_instances(self, DBInstanceIdentifier: str) -> dict[str, Any]:  # noqa: N803
        thing = self._thing("AWS::RDS::DBInstance", DBInstanceIdentifier)
        return {"DBInstances": [{"DBInstanceStatus": "available", "DeletionProtection": thing.protected}]}

    def modify_db_instance(self, **given: Any) -> None:
        self._thing("AWS::RDS::DBInstance", given["DBInstanceIdentifier"]).protected = given["DeletionProtection"]

    def delete_db_instance(self, DBInstanceIdentifier: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::RDS::DBInstance", DBInstanceIdentifier, "InvalidParameterCombination")

    def delete_db_parameter_group(self, DBParameterGroupName: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::RDS::DBParameterGroup", DBParameterGroupName, "InvalidDBParameterGroupState")

    # cognito-idp

    def describe_user_pool(self, UserPoolId: str) -> dict[str, Any]:  # noqa: N803
        thing = self._thing("AWS::Cognito::UserPool", UserPoolId)
        return {"UserPool": {"DeletionProtection": "ACTIVE" if thing.protected else "INACTIVE"}}

    def update_user_pool(self, UserPoolId: str, DeletionProtection: str) -> None:  # noqa: N803
        self._thing("AWS::Cognito::UserPool", UserPoolId).protected = DeletionProtection == "ACTIVE"

    def delete_user_pool(self, UserPoolId: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::Cognito::UserPool", UserPoolId, "InvalidParameterException")

    # the others

    def delete_secret(self, SecretId: str, ForceDeleteWithoutRecovery: bool) -> dict[str, Any]:  # noqa: N803
        assert ForceDeleteWithoutRecovery, "its name would be taken"
        return self._remove("AWS::SecretsManager::Secret", SecretId, "InvalidRequestException")

    def delete_log_group(self, logGroupName: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::Logs::LogGroup", logGroupName, "OperationAbortedException")

    def list_aliases(self, KeyId: str) -> dict[str, Any]:  # noqa: N803
        found = [t for t in self._cloud.things.values() if t.type == "AWS::KMS::Alias" and KeyId in t.uses]
        return {"Aliases": [{"AliasName": thing.physical} for thing in found]}

    def delete_alias(self, AliasName: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::KMS::Alias", AliasName, "InvalidState")

    def schedule_key_deletion(self, KeyId: str, PendingWindowInDays: int) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::KMS::Key", KeyId, "KMSInvalidStateException")

    def list_recovery_points_by_backup_vault(self, BackupVaultName: str) -> dict[str, Any]:  # noqa: N803
        holds = self._thing("AWS::Backup::BackupVault", BackupVaultName).holds
        return {"RecoveryPoints": [{"RecoveryPointArn": f"arn:{n}"} for n in range(holds)]}

    def delete_backup_vault(self, BackupVaultName: str) -> dict[str, Any]:  # noqa: N803
        return self._remove("AWS::Backup::BackupVault", BackupVaultName, "InvalidRequestException")

    def list_access_keys(self, UserName: str) -> dict[str, Any]:  # noqa: N803
        return {"AccessKeyMetadata": [{"AccessKeyId": "AKIA"}] * self._thing("AWS::IAM::User", UserName).holds}

    def delete_access_key(self, UserName: str, AccessKeyId: str) -> None:  # noqa: N803
        self._thing("AWS::IAM::User", UserName).holds -= 1


class _Pages:
    def __init__(self, client: _Client, call: str) -> None:
        self._client, self._call = client, call

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        return self._client.pages(self._call, StackName)
