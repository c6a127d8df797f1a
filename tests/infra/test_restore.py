"""The drill of a restore: against the local AWS from a snapshot, and its requests against AWS's own model of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.deploy.account import Account, AwsError
from infra.deploy.restore import Drill, differences, restore
from infra.product import STAGES
from service.product import NAME
from tests.support.cloud.emulator import Emulator

STAGE, SOURCE = STAGES["staging"], f"{NAME}-staging"
SECOND = datetime(2026, 11, 26, 15, tzinfo=UTC)
ORIGINAL: dict[str, Any] = {
    "DBInstanceIdentifier": SOURCE,
    "DBInstanceClass": "db.t4g.small",
    "DBInstanceStatus": "available",
    "EngineVersion": "18.1",
    "StorageEncrypted": True,
    "KmsKeyId": "arn:aws:kms:us-east-1:111122223333:key/1",
    "PubliclyAccessible": False,
    "IAMDatabaseAuthenticationEnabled": True,
    "LatestRestorableTime": SECOND,
    "DBSubnetGroup": {"DBSubnetGroupName": "subnets"},
    "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-2"}, {"VpcSecurityGroupId": "sg-1"}],
    "DBParameterGroups": [{"DBParameterGroupName": "parameters"}],
}
COPY = {**ORIGINAL, "DBInstanceIdentifier": f"{SOURCE}-restored"}


class Stubbed(Account):
    """RDS that answers what a test says, and takes only what AWS's model of it takes."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        rds = boto3.client("rds", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.stub = Stubber(rds)
        self.client = lambda name: rds
        self.stub.activate()

    def described(self, *instances: dict[str, Any] | None) -> None:
        for instance in instances:
            if instance is None:
                self.stub.add_client_error("describe_db_instances", "DBInstanceNotFound", http_status_code=404)
            else:
                self.stub.add_response("describe_db_instances", {"DBInstances": [instance]})


def run(account: Account, **options: Any) -> Drill:
    return restore(account, STAGE, tell=lambda text: None, pause=0, **options)


@pytest.mark.parametrize(
    ("at", "second"), [(None, {"UseLatestRestorableTime": True}), (SECOND, {"RestoreTime": SECOND})]
)
def test_a_copy_is_made_as_the_original_stands_and_deleted(at: datetime | None, second: dict[str, Any]) -> None:
    account = Stubbed()
    account.described(ORIGINAL, None)
    wanted = {
        "SourceDBInstanceIdentifier": SOURCE,
        "TargetDBInstanceIdentifier": f"{SOURCE}-restored",
        "DBInstanceClass": "db.t4g.small",
        "DBSubnetGroupName": "subnets",
        "DBParameterGroupName": "parameters",
        "VpcSecurityGroupIds": ["sg-1", "sg-2"],
        "PubliclyAccessible": False,
        "MultiAZ": False,
        "DeletionProtection": False,
        "CopyTagsToSnapshot": True,
        "EnableIAMDatabaseAuthentication": True,
    }
    account.stub.add_response("restore_db_instance_to_point_in_time", {}, wanted | second)
    account.described(None, {**COPY, "DBInstanceStatus": "creating"}, COPY, COPY)
    account.stub.add_response(
        "delete_db_instance",
        {},
        {"DBInstanceIdentifier": f"{SOURCE}-restored", "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True},
    )
    drill = run(account, at=at)
    assert (drill.differences, drill.restored_to, drill.kept) == ((), "2026-11-26T15:00:00Z", False)
    account.stub.assert_no_pending_responses()


def test_a_copy_that_is_less_protected_is_told_with_both_sides_and_kept_where_that_was_asked() -> None:
    account = Stubbed()
    account.described(ORIGINAL, None)
    account.stub.add_response("restore_db_instance_to_point_in_time", {}, None)
    open_copy = {**COPY, "PubliclyAccessible": True, "KmsKeyId": "other"}
    account.described(open_copy, open_copy)
    drill = run(account, keep=True)
    assert drill.differences == (
        f"key: other instead of {ORIGINAL['KmsKeyId']}",
        "public address: True instead of False",
    )
    assert drill.kept
    account.stub.assert_no_pending_responses()
    assert len(differences(ORIGINAL, {})) == 8


def test_what_cannot_be_restored_is_refused_with_the_next_step() -> None:
    account = Stubbed()
    account.described(None)
    with pytest.raises(AwsError, match=f"no database {SOURCE} in us-east-1: deploy stage staging first"):
        run(account)
    account.described(ORIGINAL, COPY)
    with pytest.raises(AwsError, match=f"{SOURCE}-restored is still there.*delete-db-instance"):
        run(account)
    account.described(ORIGINAL, None)
    account.stub.add_client_error("restore_db_instance_to_point_in_time", "PointInTimeRestoreNotEnabled", "no", 400)
    with pytest.raises(AwsError, match=r"PointInTimeRestoreNotEnabled.*latest second that it can is 2026-11-26"):
        run(account)
    account.described(ORIGINAL, None)
    account.stub.add_response("restore_db_instance_to_point_in_time", {}, None)
    account.described({**COPY, "DBInstanceStatus": "incompatible-restore"})
    with pytest.raises(AwsError, match=r"-restored is incompatible-restore: its events"):
        run(account)
    account.stub.add_client_error("describe_db_instances", "AccessDenied", http_status_code=403)
    with pytest.raises(AwsError, match=r"could not be asked.*AccessDenied"):
        run(account)


def test_the_local_aws_restores_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as aws:
        for name, value in {"ENDPOINT_URL": aws.url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        rds = aws.client("rds")
        rds.create_db_instance(
            DBInstanceIdentifier=SOURCE,
            DBInstanceClass="db.t4g.small",
            Engine="postgres",
            MasterUsername="owner",
            MasterUserPassword="not-a-secret-1",
            AllocatedStorage=20,
        )
        rds.create_db_snapshot(DBSnapshotIdentifier="before", DBInstanceIdentifier=SOURCE)
        drill = run(Account("us-east-1"), snapshot="before")
        assert (drill.source, drill.restored_to) == (SOURCE, "before")
        assert [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]] == [SOURCE]
