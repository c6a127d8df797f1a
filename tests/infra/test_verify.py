"""A deployed stage in which six things were changed by hand: six findings, and nothing was changed to find them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.deploy.account import Account
from infra.deploy.certificates import AUTHORITY_YEARS, issue
from infra.deploy.outputs import recall
from infra.deploy.verify import LOOKS, verify
from infra.product import STAGES
from infra.stage.outputs import read as read_outputs
from service.product import NAME
from tests.support.cloud.stacks import Deployed

# What the emulator does not have, and an account has from its first day on: a copy in the vault, and Roles Anywhere.
_LACKS = {("last copy of the database", "none"), ("end of the authority", "not known: AWS says 400")}


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
        said = {(one.what, one.found) for one in report.deviations}
        assert said >= _LACKS, "a call that the account refuses is a finding, and ends nothing"
        return said - _LACKS

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


class _Fake(Account):
    """An account that answers these calls, and no other."""

    def __init__(self, **answers: object) -> None:
        super().__init__("us-east-1")
        calls = {name: lambda _answer=answer, **_: _answer for name, answer in answers.items()}
        self.client = lambda name: SimpleNamespace(**calls)


_NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "used", "status", "found"),
    [
        (10, None, "Active", None),
        (100, 5, "Active", None),
        (100, None, "Active", "never"),
        (400, 91, "Active", "2026-08-27"),
        (400, 91, "Inactive", None),
    ],
)
def test_a_key_that_no_one_uses_is_found(made: int, used: int | None, status: str, found: str | None) -> None:
    key = {"AccessKeyId": "AKIAX", "Status": status, "CreateDate": _NOW - timedelta(days=made)}
    last = {} if used is None else {"LastUsedDate": _NOW - timedelta(days=used)}
    account = _Fake(list_access_keys={"AccessKeyMetadata": [key]}, get_access_key_last_used={"AccessKeyLastUsed": last})
    looked = [one for look in LOOKS["AWS::IAM::User"] for one in look.found(account, "service", _NOW)]
    unused = [one for one in looked if one.what.startswith("last use")]
    assert [one.found for one in unused] == ([] if found is None else [found])


@pytest.mark.parametrize(("days", "found"), [(31, 0), (29, 1), (-1, 1)])
def test_an_authority_that_ends_is_found(days: int, found: int, tmp_path: Path) -> None:
    """With two authorities, while one follows the other, the first end counts."""
    stage = STAGES["production"]
    long = issue(stage, tmp_path / "long", tmp_path / "long-keys", now=_NOW).authority.read_text()
    begun = _NOW - timedelta(days=365 * AUTHORITY_YEARS - days)
    short = issue(stage, tmp_path / "short", tmp_path / "short-keys", now=begun).authority.read_text()
    source = {"sourceData": {"x509CertificateData": long + short}}
    account = _Fake(get_trust_anchor={"trustAnchor": {"source": source}})
    (look,) = LOOKS["AWS::RolesAnywhere::TrustAnchor"]
    assert len(look.found(account, "anchor", _NOW)) == found
