"""A deployed stage in which six things were changed by hand: six findings, and nothing was changed to find them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.deploy.account import PARTS, Account, StackFound
from infra.deploy.certificates import AUTHORITY_YEARS, CLIENT_DAYS, issue
from infra.deploy.drift import drifted
from infra.deploy.identities import certificate, roles
from infra.deploy.outputs import recall
from infra.deploy.tenant_keys import wrong
from infra.deploy.verify import LOOKS, verify
from infra.product import STAGES
from infra.railway.release import Clock
from infra.stage.chosen import stage
from infra.stage.outputs import read as read_outputs
from service.product import NAME
from tests.infra.conftest import ENTRA, OKTA
from tests.support.cloud.answers import Answering
from tests.support.cloud.stacks import Deployed

# What the emulator does not have, and an account has from its first day on: a copy in the vault, and Roles Anywhere.
_LACKS = {("last copy of the database", "none"), ("end of the authority", "not looked at: AWS says 400")}
_DRIFT = "drift, as CloudFormation sees it"


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

    drift: list[set[tuple[str, str]]] = []

    def found() -> set[tuple[str, str]]:
        report = verify(account, STAGES["local"], now)
        assert report.compared > 40
        assert json.loads(report.json())["stage"] == "local"
        assert all(one.what in report.markdown() for one in report.deviations)
        drift.append({(one.resource, one.found) for one in report.deviations if one.what == _DRIFT})
        said = {(one.what, one.found) for one in report.deviations if one.what != _DRIFT}
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
    # What the emulator compares of its own accord: not the same as what an account does, and the same before and after.
    assert drift[0] == drift[2]
    assert any("Versioning" in told for _, told in drift[1] - drift[0]), drift[1] - drift[0]


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


_NAMES = STAGES["production"].names
_ARN = "arn:aws:cloudformation:us-east-1:111122223333:stack/{}/1"
_STACKS = [StackFound(part, _NAMES.stack(part), "stands", "CREATE_COMPLETE", _ARN.format(part)) for part in PARTS]


class Passing:
    """A clock whose pauses take no time."""

    def __init__(self) -> None:
        self.seconds, self.pauses = 0.0, 0
        self.clock = Clock(lambda: self.seconds, self._pause)

    def _pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses += 1


class Drifting:
    """CloudFormation's comparison, by stack: how often it is under way, and how it ends."""

    def __init__(self, rounds: int = 2, ends: Mapping[str, Mapping[str, Any] | str] | None = None) -> None:
        self.rounds, self.ends, self.looked = rounds, ends or {}, dict[str, int]()

    def account(self, resources: Callable[[Mapping[str, Any]], Any] | None = None) -> Answering:
        nothing: dict[str, Any] = {"StackResourceDrifts": []}
        return Answering(
            {
                "cloudformation.DetectStackDrift": self._begin,
                "cloudformation.DescribeStackDriftDetectionStatus": self._status,
                "cloudformation.DescribeStackResourceDrifts": resources or (lambda _: nothing),
            }
        )

    def _begin(self, params: Mapping[str, Any]) -> Any:
        assert params["StackName"] in [one.id for one in _STACKS]
        found = self.ends.get(str(params["StackName"]).split("/")[1])
        return found if isinstance(found, str) else {"StackDriftDetectionId": params["StackName"]}

    def _status(self, params: Mapping[str, Any]) -> Any:
        which = str(params["StackDriftDetectionId"])
        self.looked[which] = self.looked.get(which, 0) + 1
        common = {"StackId": which, "StackDriftDetectionId": which, "Timestamp": "2026-11-26"}
        if self.looked[which] <= self.rounds:
            return {**common, "DetectionStatus": "DETECTION_IN_PROGRESS"}
        end = self.ends.get(which.split("/")[1], {"StackDriftStatus": "IN_SYNC"})
        assert not isinstance(end, str)
        return {**common, "DetectionStatus": "DETECTION_COMPLETE", **end}


def _resource(logical: str, state: str, *paths: str) -> dict[str, Any]:
    return {
        "StackId": _ARN.format("data"),
        "LogicalResourceId": logical,
        "PhysicalResourceId": f"its-{logical}",
        "ResourceType": "AWS::S3::Bucket",
        "PropertyDifferences": [
            {"PropertyPath": path, "ExpectedValue": "x", "ActualValue": "hunter2", "DifferenceType": "NOT_EQUAL"}
            for path in paths
        ],
        "StackResourceDriftStatus": state,
        "Timestamp": "2026-11-26",
    }


def test_what_cloudformation_sees_drifted_is_found_on_every_page_and_no_value_is_told() -> None:
    pages = {
        None: {
            "StackResourceDrifts": [
                _resource("A", "MODIFIED", "/VersioningConfiguration/Status"),
                _resource("B", "MODIFIED", *(f"/P{number}" for number in range(7))),
            ],
            "NextToken": "2",
        },
        "2": {"StackResourceDrifts": [_resource("C", "DELETED"), _resource("D", "UNKNOWN")]},
    }

    def page(params: Mapping[str, Any]) -> Any:
        assert params["StackName"] == _ARN.format("data")
        assert set(params["StackResourceDriftStatusFilters"]) == {"MODIFIED", "DELETED", "UNKNOWN"}
        return pages[params.get("NextToken")]

    drifting, time = Drifting(ends={"data": {"StackDriftStatus": "DRIFTED"}}), Passing()
    found = list(drifted(drifting.account(page), _STACKS, time.clock))
    assert [(one.resource, one.found) for one in found] == [
        ("S3::Bucket its-A", "modified: /VersioningConfiguration/Status"),
        ("S3::Bucket its-B", "modified: /P0, /P1, /P2, /P3, /P4 and 2 more"),
        ("S3::Bucket its-C", "deleted"),
        ("its-D", "not looked at: CloudFormation could not read it"),
    ]
    assert "hunter2" not in str(found)
    assert set(drifting.looked.values()) == {3}
    assert time.pauses == 2, "the stacks are waited for at once"


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("AccessDenied", "not looked at: AWS says AccessDenied"),
        ({"DetectionStatus": "DETECTION_FAILED", "StackDriftStatus": "IN_SYNC"}, "not looked at: CloudFormation could"),
        ({"StackDriftStatus": "NOT_CHECKED"}, "not looked at: CloudFormation says NOT_CHECKED"),
        ({"StackDriftStatus": "UNKNOWN"}, "not looked at: CloudFormation says UNKNOWN"),
        ({}, "not looked at: CloudFormation says nothing"),
    ],
)
def test_a_stack_that_was_not_compared_is_never_fine(end: Mapping[str, Any] | str, told: str) -> None:
    found = list(drifted(Drifting(ends={"identity": end}).account(), _STACKS, Passing().clock))
    assert [one.resource for one in found] == [_NAMES.stack("identity")]
    assert found[0].found.startswith(told)


def test_a_comparison_that_does_not_end_is_left() -> None:
    time = Passing()
    found = list(drifted(Drifting(rounds=10**9).account(), _STACKS, time.clock))
    assert {one.found for one in found} == {"not looked at: CloudFormation was not done in 5 minutes"}
    assert len(found) == len(_STACKS)
    assert time.seconds == 300


def _subject(name: str, *shown: tuple[str, int, bool]) -> Mapping[str, Any]:
    """A subject as AWS has recorded it: certificates, days ago, whether the proof failed."""
    credentials = [
        {"seenAt": _NOW - timedelta(days=ago), "x509CertificateData": pem, "failed": failed}
        for pem, ago, failed in shown
    ]
    return {"x509Subject": f"CN={name},O=Signalbox", "credentials": credentials}


@pytest.mark.parametrize(("days", "found"), [(15, []), (14, ["2026-12-10"]), (-1, ["2026-11-25"])])
def test_the_certificate_that_the_service_showed_last_is_found_before_it_ends(
    days: int, found: list[str], tmp_path: Path
) -> None:
    target = STAGES["production"]

    def until(end: int) -> str:
        begun = _NOW - timedelta(days=CLIENT_DAYS - end)
        return issue(target, tmp_path / f"a{end}", tmp_path / f"k{end}", now=begun).certificate.read_text()

    good, last = until(80), until(days)
    subjects = {
        "1" * 36: _subject(target.names.certificate, (good, 9, False), (last, 1, False), (good, 0, True)),
        "2" * 36: _subject(f"{target.names.certificate}2", (until(1), 0, False)),  # another stage's
    }
    account = Answering(
        {
            "rolesanywhere.ListSubjects": {
                "subjects": [{"subjectId": n, "x509Subject": one["x509Subject"]} for n, one in subjects.items()]
            },
            "rolesanywhere.GetSubject": lambda params: {"subject": subjects[params["subjectId"]]},
        }
    )
    assert [one.found for one in certificate(account, target, _NOW)] == found


def test_a_certificate_that_aws_has_never_seen_is_not_fine() -> None:
    account = Answering({"rolesanywhere.ListSubjects": {"subjects": []}})
    assert [one.found for one in certificate(account, STAGES["production"], _NOW)] == [
        "not looked at: AWS has seen none of it yet"
    ]
    assert list(certificate(account, STAGES["development"], _NOW)) == [], "a user has none"


@pytest.mark.parametrize(
    ("name", "path", "made", "used", "found"),
    [
        (f"{_NAMES.whole}-data-Role-X", "/", 100, 5, []),
        (f"{_NAMES.whole}-data-Role-X", "/", 100, 91, ["2026-08-27"]),
        (f"{_NAMES.whole}-data-Role-X", "/", 100, None, ["never"]),
        (f"{_NAMES.whole}-data-Role-X", "/", 10, None, []),
        (f"{_NAMES.whole}-data-Role-X", "/aws-service-role/rds.amazonaws.com/", 100, None, []),
        (f"{_NAMES.whole}-spared", "/", 100, None, []),
        (f"{_NAMES.whole}2-data-Role-X", "/", 100, None, []),
    ],
)
def test_a_role_that_no_one_takes_on_is_found(
    name: str, path: str, made: int, used: int | None, found: list[str]
) -> None:
    role = {
        "Path": path,
        "RoleName": name,
        "RoleId": "A" * 16,
        "Arn": f"arn:aws:iam::111122223333:role{path}{name}",
        "CreateDate": _NOW - timedelta(days=made),
    }
    last = {"RoleLastUsed": {} if used is None else {"LastUsedDate": _NOW - timedelta(days=used)}}
    account = Answering({"iam.ListRoles": {"Roles": [role]}, "iam.GetRole": {"Role": {**role, **last}}})
    spared = {f"{_NAMES.whole}-spared"}
    assert [one.found for one in roles(account, STAGES["production"], _NOW, spared)] == found


def test_a_tenants_key_that_is_off_or_missing_is_found() -> None:
    target = stage("production", federation=(OKTA, ENTRA), tenant_keys="on")
    keys = {"acme": ("Enabled", True), "off": ("Disabled", True), "still": ("Enabled", False)}
    aliases = [{"AliasName": target.names.tenant_key(name), "TargetKeyId": name} for name in keys]
    aliases += [{"AliasName": "alias/other", "TargetKeyId": "x"}]

    def described(params: Mapping[str, Any]) -> Any:
        tenant = str(params["KeyId"]).rpartition("/")[2]
        return {"KeyMetadata": {"KeyId": tenant, "KeyState": keys[tenant][0]}}

    account = Answering(
        {
            "kms.ListAliases": {"Aliases": aliases},
            "kms.DescribeKey": described,
            "kms.GetKeyRotationStatus": lambda params: {"KeyRotationEnabled": keys[params["KeyId"]][1]},
        }
    )
    assert [(one.resource.rpartition("/")[2], one.found) for one in wrong(account, target)] == [
        ("off", "Disabled"),
        ("still", "False"),
        ("globex", "none: the tenant cannot write"),
    ]
