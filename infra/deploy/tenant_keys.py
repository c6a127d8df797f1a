"""Keys of tenants: each made once, found by its alias, rotated in place, and ended only by its tenant's name.

They are in no stack: a tenant comes without a deployment, and nothing that a stack loses takes a tenant's data with it.
The alias never moves to another key, because what was encrypted would not open again. A rotation leaves key, alias and
whatever was encrypted as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from infra.deploy.account import Account, AwsError, code, look_at, unanswered
from infra.shell.failure import Failure
from infra.stage.names import LABEL, TENANT
from infra.stage.record import Stage
from infra.stage.verified import Deviation
from service.product import NAME

TAG: Final = "tenant_id"  # of the key, and of the session that may use it
STATE: Final = "state of a tenant's key"
_ROTATION_DAYS: Final = 365  # as the keys of the stacks
_END_DAYS: Final = 30  # in which an end can be taken back; KMS allows no more
_UNUSABLE: Final = {
    "PendingDeletion": "is to be deleted: to keep it, aws kms cancel-key-deletion --key-id {id}, then enable-key",
    "Disabled": "is switched off, and nothing of the tenant can be read: aws kms enable-key --key-id {id}",
}


class TenantKeyError(Failure):
    """A tenant's key was not made, rotated or ended; the text says why."""


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's key.

    Attributes:
        tenant: Whose.
        alias: What it is found by.
        id: KMS's.
        state: KMS's word; ``Enabled`` is the one that is good.
        end: When it is deleted, where that was asked for.
    """

    tenant: str
    alias: str
    id: str
    state: str
    end: datetime | None = None


def find(account: Account, stage: Stage, tenant: str) -> TenantKey | None:
    """The key of a tenant.

    Args:
        account: Where.
        stage: Of which stage.
        tenant: Whose.

    Raises:
        TenantKeyError: It is no name of a tenant.
        AwsError: The account does not say.
    """
    if not TENANT.fullmatch(tenant):
        raise TenantKeyError(f"a tenant is 1 to 64 letters, digits, _ or -: {len(tenant)} characters were given")
    alias = stage.names.tenant_key(tenant)
    with _asking(alias):
        try:
            found = account.client("kms").describe_key(KeyId=alias)["KeyMetadata"]
        except Exception as failure:
            if code(failure) != "NotFoundException":
                raise
            return None
    return TenantKey(tenant, alias, found["KeyId"], found["KeyState"], found.get("DeletionDate"))


def tenants(account: Account, stage: Stage) -> Iterator[str]:
    """Tenants of a stage that have a key, by their aliases.

    Args:
        account: Where.
        stage: Of which stage.
    """
    prefix = stage.names.tenant_keys
    for page in account.client("kms").get_paginator("list_aliases").paginate():
        for one in page["Aliases"]:
            if one["AliasName"].startswith(prefix):
                yield one["AliasName"].removeprefix(prefix)


def wrong(account: Account, stage: Stage) -> Iterator[Deviation]:
    """Tenants' keys that are not as they were made, and tenants of the record that have none where they need one.

    Args:
        account: Where.
        stage: Of which stage.
    """
    kms, known = account.client("kms"), set(tenants(account, stage))
    for tenant in sorted(known):
        key = find(account, stage, tenant)
        if key is None or key.state != "Enabled":
            yield Deviation(stage.names.tenant_key(tenant), STATE, "Enabled", key.state if key else "none")
        elif not kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]:
            yield Deviation(key.alias, "rotation", "True", "False")
    if stage.tenant_keys != "off":
        for tenant in sorted({provider.tenant for provider in stage.federation} - known):
            yield Deviation(stage.names.tenant_key(tenant), STATE, "Enabled", "none: the tenant cannot write")


def make(account: Account, stage: Stage, tenant: str) -> tuple[TenantKey, bool]:
    """Make a tenant's key, or find it; can be repeated, also after a run that was killed.

    Args:
        account: Where.
        stage: For which stage.
        tenant: For whom.

    Returns:
        The key, and whether it is new.

    Raises:
        TenantKeyError: It is no name of a tenant, the stage does not stand there, or the key cannot be used.
        AwsError: AWS refused.
    """
    key, kms = find(account, stage, tenant), account.client("kms")
    if (new := key is None) and look_at(account, stage, "data").state != "stands":
        raise TenantKeyError(
            f"Stage {stage.name} does not stand in {account.region} of this account, and no key was made: sign in to "
            f"its account, or uv run signalbox deploy {stage.name} first"
        )
    with _asking(f"the key of tenant {tenant}"):
        if key is None:
            key = _named(kms, stage, tenant, _begun(account, stage, tenant) or _create(account, stage, tenant))
        if key.state in _UNUSABLE:
            raise TenantKeyError(f"The key of tenant {tenant} {_UNUSABLE[key.state].format(id=key.id)}")
        if not kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]:
            kms.enable_key_rotation(KeyId=key.id, RotationPeriodInDays=_ROTATION_DAYS)
    return key, new


def rotate(account: Account, stage: Stage, tenant: str) -> TenantKey:
    """Give a tenant's key new material, now. What is encrypted stays readable; KMS does so by itself each year.

    Args:
        account: Where.
        stage: Of which stage.
        tenant: Whose.

    Raises:
        TenantKeyError: There is no key.
        AwsError: AWS refused.
    """
    key, kms = _existing(account, stage, tenant), account.client("kms")
    with _asking(f"the key of tenant {tenant}"):
        if not kms.get_key_rotation_status(KeyId=key.id).get("OnDemandRotationStartDate"):  # one is under way
            kms.rotate_key_on_demand(KeyId=key.id)
    return key


def end(account: Account, stage: Stage, tenant: str, typed: str) -> datetime:
    """Have a tenant's key deleted, and with it all that it has encrypted: in 30 days, until which it can be taken back.

    From now on nothing that it has encrypted can be read. Its alias stays until then, so that no other key gets it.

    Args:
        account: Where.
        stage: Of which stage.
        tenant: Whose.
        typed: The tenant's name, as a person typed it.

    Returns:
        When it is gone.

    Raises:
        TenantKeyError: There is no key, or the name is another.
        AwsError: AWS refused.
    """
    key = _existing(account, stage, tenant)
    if typed != tenant:
        raise TenantKeyError(f"That is not the name of the tenant ({tenant}); its key stays")
    if key.end is not None:
        return key.end
    with _asking(f"the key of tenant {tenant}"):
        answer = account.client("kms").schedule_key_deletion(KeyId=key.id, PendingWindowInDays=_END_DAYS)
    gone: datetime = answer["DeletionDate"]
    return gone


def policy(number: str, tenant: str) -> dict[str, Any]:
    """Of a tenant's key: the account's policies say who uses it, and it refuses who does not act for that tenant.

    Args:
        number: Of the account.
        tenant: Whose.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Administrators",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{number}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "ThisTenantAlone",
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"],
                "Resource": "*",
                "Condition": {"StringNotEquals": {f"aws:PrincipalTag/{TAG}": tenant}},
            },
        ],
    }


def _existing(account: Account, stage: Stage, tenant: str) -> TenantKey:
    if (key := find(account, stage, tenant)) is None:
        raise TenantKeyError(
            f"Tenant {tenant} has no key of its own in stage {stage.name} ({account.region}): "
            f"uv run signalbox tenant-key {stage.name} {tenant} makes it"
        )
    return key


def _tags(stage: Stage, tenant: str) -> dict[str, str]:
    return {"project": NAME, "stage": stage.name, TAG: tenant}


def _begun(account: Account, stage: Stage, tenant: str) -> str | None:
    """The key of a run that was killed before it had an alias."""
    tags = [{"Key": name, "Values": [value]} for name, value in _tags(stage, tenant).items()]
    found = account.client("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["kms:key"], TagFilters=tags)
    for one in found["ResourceTagMappingList"]:
        key_id = str(one["ResourceARN"]).rpartition("/")[2]
        if account.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled":
            return key_id
    return None


def _create(account: Account, stage: Stage, tenant: str) -> str:
    number = account.client("sts").get_caller_identity()["Account"]
    made = account.client("kms").create_key(
        Description=f"{LABEL}: data of one tenant",
        Policy=json.dumps(policy(number, tenant)),
        Tags=[{"TagKey": name, "TagValue": value} for name, value in _tags(stage, tenant).items()],
    )
    return str(made["KeyMetadata"]["KeyId"])


def _named(kms: Any, stage: Stage, tenant: str, key_id: str) -> TenantKey:
    alias = stage.names.tenant_key(tenant)
    try:
        kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    except Exception as failure:
        if code(failure) == "AlreadyExistsException":  # somebody made one in this moment: ours has encrypted nothing
            kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
            raise AwsError(f"{alias} was given to another key a moment ago: run this again") from None
        raise
    return TenantKey(tenant, alias, key_id, "Enabled")


@contextmanager
def _asking(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as failure:
        raise AwsError(
            f"{what}: AWS says {code(failure)}. Get the right to administer keys, or wait, and run this again"
        ) from None
    except BotoCoreError as failure:
        raise AwsError(f"{what}: {unanswered(failure)}") from None
