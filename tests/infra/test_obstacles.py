"""What makes first deployments fail is found beforehand, with its remedy; nothing is asked that changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from infra.deploy import obstacles as looked
from infra.deploy.finding import Finding
from infra.deploy.obstacles import obstacles
from infra.product import STAGES
from infra.stage.chosen import stage
from tests.infra.conftest import Synthesized
from tests.support.cloud.answers import Answer, Answering

_NUMBER = "111122223333"
_ARN = f"arn:aws:cloudformation:us-east-1:{_NUMBER}:stack/x/1"


def zones(*letters: str) -> dict[str, Any]:
    return {"AvailabilityZones": [{"ZoneName": f"us-east-1{letter}"} for letter in letters]}


def quota(params: Mapping[str, Any]) -> Answer:
    return {"Quota": {"Value": 5.0}} if params["QuotaCode"] != "L-FE5A380F" else "NoSuchResourceException"


def stack(status: str) -> dict[str, Any]:
    return {"Stacks": [{"StackName": "x", "StackId": _ARN, "CreationTime": "2026-01-01", "StackStatus": status}]}


# An account where nothing is in the way.
GOOD: dict[str, Answer] = {
    "cloudformation.DescribeStacks": "ValidationError",
    "ec2.DescribeAvailabilityZones": zones("a", "b", "c"),
    "ec2.DescribeVpcs": {"Vpcs": [{}]},
    "ec2.DescribeAddresses": {"Addresses": []},
    "ec2.DescribeNatGateways": {"NatGateways": []},
    "service-quotas.GetServiceQuota": quota,
    "service-quotas.GetAWSDefaultServiceQuota": {"Quota": {"Value": 5.0}},
    "rds.DescribeDBEngineVersions": {"DBEngineVersions": [{"EngineVersion": "18.1"}, {"EngineVersion": "18.2"}]},
    "rds.DescribeOrderableDBInstanceOptions": {
        "OrderableDBInstanceOptions": [{"AvailabilityZones": [{"Name": "us-east-1a"}, {"Name": "us-east-1b"}]}]
    },
    "rds.DescribeDBInstances": "DBInstanceNotFound",
    "iam.GetRole": {
        "Role": {"Path": "/", "RoleName": "r", "RoleId": "A" * 16, "Arn": "a" * 20, "CreateDate": "2026-01-01"}
    },
    "iam.GetUser": "NoSuchEntity",
    "backup.DescribeBackupVault": "ResourceNotFoundException",
    "secretsmanager.ListSecrets": {"SecretList": [{"Name": "signalbox/production/idp-Okta"}]},
    "logs.DescribeLogGroups": {"logGroups": []},
    "lambda.GetAccountSettings": {
        "AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
    },
    "cognito-idp.DescribeUserPoolDomain": {"DomainDescription": {}},
    "budgets.DescribeBudget": "NotFoundException",
    "cloudtrail.DescribeTrails": {"trailList": [{"Name": "of-the-organization"}]},
}
_FIVE_VPCS: Answer = {"Vpcs": [{}] * 5}
_PROD = STAGES["production"].names

# What an account answers instead -> what is found.
BAD: tuple[tuple[str, Answer, str, str, str], ...] = (
    (
        "ec2.DescribeAvailabilityZones",
        zones("a"),
        "missing",
        "zones",
        "offers this account 1, stage production wants 2",
    ),
    ("ec2.DescribeVpcs", _FIVE_VPCS, "missing", "VPCs", "5 of 5 are used, and 1 more needed: aws service-quotas"),
    ("ec2.DescribeAddresses", {"Addresses": [{}] * 5}, "missing", "elastic addresses", "--desired-value 6"),
    (
        "ec2.DescribeNatGateways",
        {"NatGateways": [{"SubnetId": "subnet-1"}] * 5},
        "missing",
        "NAT gateways",
        "all 5 of zone us-east-1a are used",
    ),
    ("rds.DescribeDBEngineVersions", {"DBEngineVersions": []}, "missing", "database", "is not sold in us-east-1"),
    (
        "rds.DescribeOrderableDBInstanceOptions",
        {"OrderableDBInstanceOptions": [{"AvailabilityZones": [{"Name": "us-east-1a"}]}]},
        "missing",
        "database",
        "db.t4g.medium with PostgreSQL 18.2 is sold in 1 zones: set database.instance_type",
    ),
    ("iam.GetRole", "NoSuchEntity", "note", "service-linked role", "create-service-linked-role --aws-service-name rds"),
    ("rds.DescribeDBInstances", {"DBInstances": [{}]}, "missing", "names", f"database {_PROD.whole} exists"),
    ("backup.DescribeBackupVault", {}, "missing", "names", f"backup vault {_PROD.whole} exists"),
    (
        "secretsmanager.ListSecrets",
        {"SecretList": [{"Name": f"{_PROD.path}/session-key", "DeletedDate": "2026-11-01"}]},
        "missing",
        "names",
        f"secrets {_PROD.path}/session-key exists",
    ),
    ("logs.DescribeLogGroups", {"logGroups": [{"logGroupName": _PROD.sign_ins}]}, "missing", "names", _PROD.sign_ins),
    (
        "lambda.GetAccountSettings",
        {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}},
        "missing",
        "Lambda concurrency",
        "of 10 that are free: aws service-quotas request-service-quota-increase --service-code lambda",
    ),
    (
        "cognito-idp.DescribeUserPoolDomain",
        {"DomainDescription": {"UserPoolId": "us-east-1_x", "AWSAccountId": "999988887777"}},
        "missing",
        "hosted login",
        "by a user pool of another account: set domain_prefix",
    ),
    ("budgets.DescribeBudget", {}, "missing", "names", f"budget {_PROD.whole} exists"),
    ("cloudtrail.DescribeTrails", {"trailList": [{"Name": _PROD.whole}]}, "missing", "names", f"trail {_PROD.whole}"),
    ("cloudtrail.DescribeTrails", {"trailList": [{"Name": "t"}] * 5}, "missing", "trail", "watch.trail of the stage"),
    ("lambda.GetAccountSettings", "AccessDeniedException", "note", "Lambda concurrency", "AWS does not say"),
)


class _Absent(Answering):
    """A stack that is not there: the message tells, not the code alone."""

    def _answer(self, model: Any, **more: Any) -> tuple[Any, Any]:
        status, parsed = super()._answer(model, **more)
        if model.name == "DescribeStacks" and "Error" in parsed:
            parsed["Error"]["Message"] = "Stack with id x does not exist"
        return status, parsed


def found(answers: Mapping[str, Answer], name: str = "production") -> list[Finding]:
    places = {"ec2.DescribeSubnets": {"Subnets": [{"SubnetId": "subnet-1", "AvailabilityZone": "us-east-1a"}]}}
    account = _Absent({**GOOD, **places, **answers})
    result = list(obstacles(account, stage(name), _NUMBER))
    assert all(asked.partition(".")[2].startswith(("Describe", "Get", "List")) for asked in account.asked)
    return result


@pytest.mark.parametrize("name", [name for name in STAGES if name != "local"])
def test_nothing_is_in_the_way_of_a_good_account(name: str) -> None:
    assert found({}, name) == []


@pytest.mark.parametrize(("asked", "answer", "state", "name", "text"), BAD, ids=[f"{row[0]}-{row[3]}" for row in BAD])
def test_what_would_fail_is_found_with_its_remedy(asked: str, answer: Answer, state: str, name: str, text: str) -> None:
    matching = [one for one in found({asked: answer}) if text in one.text]
    assert [(one.state, one.name) for one in matching] == [(state, name)] * len(matching)
    assert matching


def test_a_user_that_is_left_is_found_where_the_stage_has_one() -> None:
    user = {"Path": "/", "UserName": "u", "UserId": "A" * 16, "Arn": "a" * 20, "CreateDate": "2026-01-01"}
    assert [one.name for one in found({"iam.GetUser": {"User": user}}, "development")] == ["names"]
    assert found({"iam.GetUser": {"User": user}}) == []


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [
        ("ROLLBACK_COMPLETE", "note", "a deployment removes it and makes it again"),
        ("UPDATE_IN_PROGRESS", "missing", "wait until"),
        ("UPDATE_ROLLBACK_FAILED", "missing", "it stood"),
    ],
)
def test_the_state_of_each_stack_is_told(status: str, state: str, text: str) -> None:
    told = [one for one in found({"cloudformation.DescribeStacks": stack(status)}) if one.name == "stacks"]
    assert {one.state for one in told} == {state}
    assert all(text in one.text for one in told)
    assert len(told) == 5


def test_where_the_stacks_stand_nothing_else_is_asked() -> None:
    assert found({"cloudformation.DescribeStacks": stack("UPDATE_COMPLETE"), "ec2.DescribeVpcs": _FIVE_VPCS}) == []


def test_the_questions_are_about_what_the_stacks_have(production: Synthesized) -> None:
    (instance,) = production.properties("AWS::RDS::DBInstance")
    assert instance["EngineVersion"] == looked.ENGINE
    functions = production.properties("AWS::Lambda::Function")
    assert [f["ReservedConcurrentExecutions"] for f in functions if "ReservedConcurrentExecutions" in f] == [
        looked.LAMBDA_RESERVED
    ]
