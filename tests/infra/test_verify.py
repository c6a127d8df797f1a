"""A deployed stage in which six things were changed by hand: six findings, and nothing was changed to find them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.deploy.account import Account
from infra.deploy.outputs import recall
from infra.deploy.verify import verify
from infra.product import STAGES
from infra.stage.outputs import read as read_outputs
from service.product import NAME
from tests.support.cloud.stacks import Deployed

# What the emulator does not have, and an account has from its first day on: a copy in the vault.
_NO_COPY = "last copy of the database"


@pytest.mark.long
def test_what_was_changed_by_hand_is_found(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"ENDPOINT_URL": deployed.aws.url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    outputs = deployed.deploy(deployed.synthesize(public_url="http://127.0.0.1:8000"))
    account, now = Account("us-east-1"), datetime.now(UTC)
    recall(account, STAGES["local"], file := tmp_path / "new" / "outputs.json")
    assert read_outputs(json.loads(file.read_text()), "local") == outputs, "CI has no file of them"
    file.write_text("mine")
    recall(account, STAGES["local"], file)
    assert file.read_text() == "mine"

    def found() -> set[tuple[str, str]]:
        report = verify(account, STAGES["local"], now)
        assert report.compared > 40
        assert json.loads(report.json())["stage"] == "local"
        assert all(one.what in report.markdown() for one in report.deviations)
        return {(one.what, one.found) for one in report.deviations} - {(_NO_COPY, "none")}

    assert found() == set()
    client, bucket, identifier = deployed.aws.client, outputs["BucketName"], f"{NAME}-local"
    function = next(f for f in client("lambda").list_functions()["Functions"] if "PreToken" in f["FunctionName"])
    undo: list[Callable[[], object]] = [
        lambda: client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        lambda: client("logs").put_retention_policy(
            logGroupName=f"/aws/rds/instance/{identifier}/postgresql", retentionInDays=2192
        ),
        lambda: client("kms").enable_key_rotation(KeyId=outputs["DataKeyArn"]),
        lambda: client("rds").modify_db_instance(
            DBInstanceIdentifier=identifier, BackupRetentionPeriod=7, ApplyImmediately=True
        ),
        lambda: client("lambda").update_function_configuration(
            FunctionName=function["FunctionName"], Environment=function["Environment"]
        ),
        lambda: client("cloudwatch").enable_alarm_actions(AlarmNames=[f"{identifier}-DatabaseCpu"]),
    ]
    client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    client("logs").put_retention_policy(logGroupName=f"/aws/rds/instance/{identifier}/postgresql", retentionInDays=30)
    client("kms").disable_key_rotation(KeyId=outputs["DataKeyArn"])
    client("rds").modify_db_instance(DBInstanceIdentifier=identifier, BackupRetentionPeriod=1, ApplyImmediately=True)
    client("lambda").update_function_configuration(
        FunctionName=function["FunctionName"],
        Environment={"Variables": {"TENANTS_BY_PROVIDER": '{"Eve": "acme"}'}},
    )
    client("cloudwatch").disable_alarm_actions(AlarmNames=[f"{identifier}-DatabaseCpu"])
    assert found() == {
        ("versions are kept", "Suspended"),
        ("days that logs are kept", "30"),
        ("rotation", "False"),
        ("days of backups", "1"),
        ("tenants of providers", '{"Eve": "acme"}'),
        ("the alarm acts", "False"),
    }
    for step in undo:
        step()
    assert found() == set()
