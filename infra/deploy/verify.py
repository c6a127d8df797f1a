"""What lives in an account, compared with what its stacks' templates say: a dated report. Reads only.

CloudFormation's own drift detection is the deeper look, and is asked for; the tables here say in words what protects
health data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from cryptography import x509

from infra.deploy import identities, tenant_keys
from infra.deploy.account import Account, AwsError, Resource, listed, survey
from infra.deploy.asking import NotLooked, asked
from infra.deploy.certificates import RENEW_DAYS
from infra.deploy.drift import drifted
from infra.deploy.planned import template
from infra.railway.release import Clock
from infra.stage.record import Stage
from infra.stage.verified import Deviation, Report

Properties = Mapping[str, Any]
KEY_DAYS: Final = 90  # of an access key, as docs/INFRASTRUCTURE.md has it
COPY_DAYS: Final = 2  # the plan copies every day


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        type: Of the resource.
        what: In words.
        wanted: From the template's properties; None is not compared.
        found: From the account.
    """

    type: str
    what: str
    wanted: Callable[[Properties], object]
    found: Callable[[Account, str], object]


class Look(NamedTuple):
    """What no template says.

    Attributes:
        what: In words, for an account that does not tell.
        found: What is wrong with a resource, by its physical id, at a time.
    """

    what: str
    found: Callable[[Account, str, datetime], list[Deviation]]


def verify(account: Account, stage: Stage, now: datetime | None = None, clock: Clock | None = None) -> Report:
    """Compare a stage's account with the templates that its stacks have.

    Args:
        account: Where.
        stage: Which.
        now: The time; None takes the clock's.
        clock: What CloudFormation's own comparison is waited for with.

    Raises:
        AwsError: A stack does not stand, or the account does not say.
    """
    now = now or datetime.now(UTC)
    deviations, compared, spared = list[Deviation](), 0, set[str]()
    stacks = survey(account, stage)
    for stack in stacks:
        if stack.state != "stands":
            raise AwsError(f"{stack.name} is {stack.status or 'not there'}: deploy stage {stage.name} first")
        resources = template(account, stack)["Resources"]
        if stage.retain and not stack.protected:
            deviations.append(Deviation(stack.name, "protection from termination", "on", "off"))
        compared += 1
        for resource in listed(account, stack.id):
            if resource.type == "AWS::IAM::Role" and resource.logical.startswith(identities.ON_OCCASION):
                spared.add(resource.physical)
            properties = resources.get(resource.logical, {}).get("Properties", {})
            for row in (row for row in ROWS if row.type == resource.type):
                wanted = row.wanted(properties)
                if wanted is not None:
                    compared += 1
                    deviations += _compare(account, resource, row, wanted)
            for look in LOOKS.get(resource.type, ()):
                compared += 1
                deviations += _looked(account, resource, look, now)
    deviations += drifted(account, stacks, clock)
    for what, wrong in (
        (identities.CERTIFICATE, identities.certificate(account, stage, now)),
        (identities.USE, identities.roles(account, stage, now, spared)),
        (tenant_keys.STATE, tenant_keys.wrong(account, stage)),
    ):
        found = asked(partial(list[Deviation], wrong))
        deviations += [found.of(stage.names.whole, what)] if isinstance(found, NotLooked) else found
    return Report(stage.name, now.replace(microsecond=0), compared + len(stacks) + 3, tuple(deviations))


def _compare(account: Account, resource: Resource, row: Row, wanted: object) -> Iterator[Deviation]:
    found = asked(lambda: row.found(account, resource.physical))
    if found != wanted:
        yield Deviation(resource.physical, row.what, _told(wanted), _told(found))


def _looked(account: Account, resource: Resource, look: Look, now: datetime) -> list[Deviation]:
    found = asked(lambda: look.found(account, resource.physical, now))
    return [found.of(resource.physical, look.what)] if isinstance(found, NotLooked) else found


def _told(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value)


def _of(*path: str | int) -> Callable[[Properties], object]:
    """A value of the template; one that is found at deployment is not compared."""

    def found(properties: Properties) -> object:
        value: Any = properties
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        told_later = isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::"))
        return None if told_later else value

    return found


def _bucket(call: str, *path: str | int) -> Callable[[Account, str], object]:
    def found(account: Account, name: str) -> object:
        return _of(*path)(getattr(account.client("s3"), call)(Bucket=name))

    return found


def _log_group(key: str) -> Callable[[Account, str], object]:
    def found(account: Account, name: str) -> object:
        groups = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next((group.get(key) for group in groups if group["logGroupName"] == name), None)

    return found


def _database(key: str) -> Callable[[Account, str], object]:
    def found(account: Account, name: str) -> object:
        (instance,) = account.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        return instance.get(key)

    return found


def _pool(*path: str) -> Callable[[Account, str], object]:
    def found(account: Account, pool_id: str) -> object:
        return _of(*path)(account.client("cognito-idp").describe_user_pool(UserPoolId=pool_id)["UserPool"])

    return found


def _rotation(account: Account, key_id: str) -> object:
    return account.client("kms").get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"]


def _key_state(account: Account, key_id: str) -> object:
    return account.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]


def _tenants(account: Account, name: str) -> object:
    configuration = account.client("lambda").get_function_configuration(FunctionName=name)
    return configuration.get("Environment", {}).get("Variables", {}).get("TENANTS_BY_PROVIDER")


def _actions(account: Account, name: str) -> object:
    return account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["ActionsEnabled"]


def _ringing(account: Account, name: str, _: datetime) -> list[Deviation]:
    (alarm,) = account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return [Deviation(name, "state of the alarm", "OK", "ALARM")] if alarm["StateValue"] == "ALARM" else []


def _of_before(account: Account, name: str, now: datetime) -> list[Any]:
    """Access keys of a user that are older than a key may be."""
    keys = account.client("iam").list_access_keys(UserName=name)["AccessKeyMetadata"]
    return [key for key in keys if now - key["CreateDate"] > timedelta(days=KEY_DAYS)]


def _old_keys(account: Account, name: str, now: datetime) -> list[Deviation]:
    return [
        Deviation(name, f"age of access key {key['AccessKeyId']}", f"{KEY_DAYS} days", "more")
        for key in _of_before(account, name, now)
    ]


def _unused_keys(account: Account, name: str, now: datetime) -> list[Deviation]:
    """Access keys that no one has used for a while, or ever: whoever finds one can still come in by it."""
    iam, found, since = account.client("iam"), [], now - timedelta(days=KEY_DAYS)
    for key in _of_before(account, name, now):
        if key["Status"] != "Active":
            continue
        used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"].get("LastUsedDate")
        if used is None or used < since:
            last = f"{used:%Y-%m-%d}" if used else "never"
            found.append(
                Deviation(name, f"last use of access key {key['AccessKeyId']}", f"within {KEY_DAYS} days", last)
            )
    return found


def _authority(account: Account, anchor: str, now: datetime) -> list[Deviation]:
    """The first of an anchor's authorities that ends: what it signed is refused from then on."""
    found = account.client("rolesanywhere").get_trust_anchor(trustAnchorId=anchor)["trustAnchor"]
    pem = found["source"]["sourceData"]["x509CertificateData"]
    end = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem.encode()))
    if end - now > timedelta(days=RENEW_DAYS):
        return []
    return [Deviation(anchor, "end of the authority", f"later than in {RENEW_DAYS} days", f"{end:%Y-%m-%d}")]


def _copies(account: Account, vault: str, now: datetime) -> list[Deviation]:
    points = account.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    done = [point["CreationDate"] for point in points if point.get("Status") in ("COMPLETED", "AVAILABLE")]
    if done and now - max(done) <= timedelta(days=COPY_DAYS):
        return []
    last = f"{max(done):%Y-%m-%d}" if done else "none"
    return [Deviation(vault, "last copy of the database", f"within {COPY_DAYS} days", last)]


def _logging(account: Account, name: str) -> object:
    return account.client("cloudtrail").get_trail_status(Name=name)["IsLogging"]


_SSE: Final = ("ServerSideEncryptionConfiguration", 0, "ServerSideEncryptionByDefault", "SSEAlgorithm")
_ANSWERED: Final = (
    "ServerSideEncryptionConfiguration",
    "Rules",
    0,
    "ApplyServerSideEncryptionByDefault",
    "SSEAlgorithm",
)
_DATABASE: Final = {
    "storage is encrypted": ("StorageEncrypted", "StorageEncrypted"),
    "reachable from the internet": ("PubliclyAccessible", "PubliclyAccessible"),
    "days of backups": ("BackupRetentionPeriod", "BackupRetentionPeriod"),
    "deletion protection": ("DeletionProtection", "DeletionProtection"),
    "a standby in a second zone": ("MultiAZ", "MultiAZ"),
}

ROWS: Final = (
    Row(
        "AWS::S3::Bucket",
        "public access is blocked",
        _of("PublicAccessBlockConfiguration"),
        _bucket("get_public_access_block", "PublicAccessBlockConfiguration"),
    ),
    Row(
        "AWS::S3::Bucket",
        "versions are kept",
        _of("VersioningConfiguration", "Status"),
        _bucket("get_bucket_versioning", "Status"),
    ),
    Row("AWS::S3::Bucket", "encryption", _of("BucketEncryption", *_SSE), _bucket("get_bucket_encryption", *_ANSWERED)),
    Row("AWS::Logs::LogGroup", "days that logs are kept", _of("RetentionInDays"), _log_group("retentionInDays")),
    *(Row("AWS::RDS::DBInstance", what, _of(wanted), _database(found)) for what, (wanted, found) in _DATABASE.items()),
    Row("AWS::KMS::Key", "rotation", _of("EnableKeyRotation"), _rotation),
    Row("AWS::KMS::Key", "state of the key", lambda _: "Enabled", _key_state),
    Row("AWS::Cognito::UserPool", "second factor", _of("MfaConfiguration"), _pool("MfaConfiguration")),
    Row(
        "AWS::Cognito::UserPool",
        "administrators alone make users",
        _of("AdminCreateUserConfig", "AllowAdminCreateUserOnly"),
        _pool("AdminCreateUserConfig", "AllowAdminCreateUserOnly"),
    ),
    Row(
        "AWS::Cognito::UserPool",
        "shortest password",
        _of("Policies", "PasswordPolicy", "MinimumLength"),
        _pool("Policies", "PasswordPolicy", "MinimumLength"),
    ),
    Row(
        "AWS::Lambda::Function",
        "tenants of providers",
        _of("Environment", "Variables", "TENANTS_BY_PROVIDER"),
        _tenants,
    ),
    Row("AWS::CloudWatch::Alarm", "the alarm acts", lambda _: True, _actions),
    Row("AWS::CloudTrail::Trail", "the trail records", _of("IsLogging"), _logging),
)
# What the template does not say: how old, how long ago.
LOOKS: Final[Mapping[str, tuple[Look, ...]]] = {
    "AWS::CloudWatch::Alarm": (Look("state of the alarm", _ringing),),
    "AWS::IAM::User": (Look("age of access keys", _old_keys), Look("use of access keys", _unused_keys)),
    "AWS::RolesAnywhere::TrustAnchor": (Look("end of the authority", _authority),),
    "AWS::Backup::BackupVault": (Look("last copy of the database", _copies),),
}
