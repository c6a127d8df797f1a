"""What CloudFormation does not delete by itself: one table, for creations that failed and for stages that end.

Each step finds what is there, and takes it as done when nothing is: all of them can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from infra.deploy.account import Account, AwsError, Resource, code, unanswered

_GONE: Final = frozenset(
    {
        *("DBInstanceNotFound", "DBInstanceNotFoundFault", "DBParameterGroupNotFound", "ResourceNotFoundException"),
        *("NoSuchBucket", "NoSuchEntity", "NotFoundException", "KMSInvalidStateException"),
        "DBParameterGroupNotFoundFault",
    }
)
_MOST_OBJECTS: Final = 1_000_000  # a bucket with more is emptied by a lifecycle rule, not by a command


def _nothing(account: Account, name: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Remover:
    """How a type is dealt with.

    Attributes:
        empty: Takes out what keeps CloudFormation from deleting it.
        remove: Deletes it where CloudFormation would keep it; for creations that failed alone.
    """

    empty: Callable[[Account, str], None] = _nothing
    remove: Callable[[Account, str], None] = _nothing


def empty(account: Account, resource: Resource) -> None:
    """Take out of a resource what keeps CloudFormation from deleting it.

    Args:
        account: Where.
        resource: Which.

    Raises:
        AwsError: AWS refused.
    """
    _run(REMOVERS.get(resource.type, Remover()).empty, account, resource)


def remove(account: Account, resource: Resource) -> None:
    """Delete a resource that a failed creation left.

    Args:
        account: Where.
        resource: Which.

    Raises:
        AwsError: AWS refused.
    """
    _run(REMOVERS.get(resource.type, Remover()).remove, account, resource)


def _run(step: Callable[[Account, str], None], account: Account, resource: Resource) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        step(account, resource.physical)
    except ClientError as failure:
        if code(failure) not in _GONE:
            raise AwsError(
                f"{resource.logical} ({resource.type}) cannot be removed: AWS says {code(failure)}. "
                "Remove it by hand, or get the right to, and run this again"
            ) from None
    except BotoCoreError as failure:
        raise AwsError(f"{resource.logical}: {unanswered(failure)}") from None


def _empty_bucket(account: Account, name: str) -> None:
    s3 = account.client("s3")
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for _ in range(_MOST_OBJECTS // 1000):
        page = s3.list_object_versions(Bucket=name, MaxKeys=1000)
        found = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        ]
        if not found:
            return
        answer = s3.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
        if answer.get("Errors"):
            raise AwsError(f"bucket {name} keeps objects ({answer['Errors'][0].get('Code')}): look at its policy")
    raise AwsError(f"bucket {name} has more than {_MOST_OBJECTS} versions: let a lifecycle rule empty it first")


def _remove_bucket(account: Account, name: str) -> None:
    account.client("s3").delete_bucket(Bucket=name)


def _empty_vault(account: Account, name: str) -> None:
    backup = account.client("backup")

    def none_left() -> bool:
        points = backup.list_recovery_points_by_backup_vault(BackupVaultName=name)["RecoveryPoints"]
        for point in points:
            if point.get("Status") != "DELETING":
                backup.delete_recovery_point(BackupVaultName=name, RecoveryPointArn=point["RecoveryPointArn"])
        return not points

    account.wait(none_left, f"vault {name} keeps recovery points")


def _remove_vault(account: Account, name: str) -> None:
    account.client("backup").delete_backup_vault(BackupVaultName=name)


def _empty_user(account: Account, name: str) -> None:
    iam = account.client("iam")
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])


def _remove_database(account: Account, name: str) -> None:
    rds = account.client("rds")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    if instance["DBInstanceStatus"] != "deleting":
        if instance.get("DeletionProtection"):
            rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
    account.wait(lambda: _absent(rds.describe_db_instances, DBInstanceIdentifier=name), f"database {name} is deleted")


def _absent(ask: Callable[..., Any], **which: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        ask(**which)
    except ClientError as failure:
        if code(failure) in _GONE:
            return True
        raise
    return False


def _remove_parameters(account: Account, name: str) -> None:
    account.client("rds").delete_db_parameter_group(DBParameterGroupName=name)


def _remove_pool(account: Account, pool_id: str) -> None:
    cognito = account.client("cognito-idp")
    pool = cognito.describe_user_pool(UserPoolId=pool_id)["UserPool"]
    if pool.get("DeletionProtection") == "ACTIVE":  # an update forgets what it does not name: this one is going
        cognito.update_user_pool(UserPoolId=pool_id, DeletionProtection="INACTIVE")
    if pool.get("Domain"):
        cognito.delete_user_pool_domain(UserPoolId=pool_id, Domain=pool["Domain"])
    cognito.delete_user_pool(UserPoolId=pool_id)


def _remove_secret(account: Account, arn: str) -> None:
    # Without this its name would be taken for a week or longer.
    account.client("secretsmanager").delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def _remove_log_group(account: Account, name: str) -> None:
    account.client("logs").delete_log_group(logGroupName=name)


def _remove_key(account: Account, key_id: str) -> None:
    kms = account.client("kms")
    for alias in kms.list_aliases(KeyId=key_id)["Aliases"]:
        kms.delete_alias(AliasName=alias["AliasName"])
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)


# Every type that infra.stage.stateful names is here: that is what a template may keep, or AWS refuses to delete.
REMOVERS: Final[Mapping[str, Remover]] = MappingProxyType(
    {
        "AWS::S3::Bucket": Remover(_empty_bucket, _remove_bucket),
        "AWS::Backup::BackupVault": Remover(_empty_vault, _remove_vault),
        "AWS::IAM::User": Remover(_empty_user),
        "AWS::RDS::DBInstance": Remover(remove=_remove_database),
        "AWS::RDS::DBParameterGroup": Remover(remove=_remove_parameters),
        "AWS::Cognito::UserPool": Remover(remove=_remove_pool),
        "AWS::SecretsManager::Secret": Remover(remove=_remove_secret),
        "AWS::Logs::LogGroup": Remover(remove=_remove_log_group),
        "AWS::KMS::Key": Remover(remove=_remove_key),
    }
)
