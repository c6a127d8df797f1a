"""A tenant's key is made once, found by its alias, rotated in place, and ended by its tenant's name alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.deploy.account import Account, AwsError
from infra.deploy.tenant_keys import TenantKeyError, end, find, make, policy, rotate, tenants
from infra.stage.chosen import stage
from infra.stage.names import LIMITS, TENANT, StageNames
from infra.stage.outputs import stack_name
from service.product import NAME
from service.tenancy import TenantId
from tests.support.cloud.answers import Answering
from tests.support.cloud.emulator import Emulator

STAGE, ELSEWHERE = stage("development"), stage("staging")
_ID, _WHEN = "1234abcd-12ab-34cd-56ef-1234567890ab", "2026-12-24T00:00:00Z"
_TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An account in which two stages stand, as far as it matters here."""
    with Emulator() as running:
        for one in (STAGE, ELSEWHERE):
            running.client("cloudformation").create_stack(
                StackName=stack_name(one.name, "data"), TemplateBody=_TEMPLATE
            )
        yield running


@pytest.fixture
def account(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in {"ENDPOINT_URL": aws.url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Account("us-east-1")


def described(aws: Emulator, key_id: str) -> Any:
    return aws.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]


def test_a_key_is_made_once_for_a_tenant_and_a_stage(account: Account, aws: Emulator) -> None:
    (key, new), (again, anew) = make(account, STAGE, "acme"), make(account, STAGE, "acme")
    assert (new, anew, again) == (True, False, key)
    assert key.alias == f"alias/{NAME}/development/tenant/acme"
    assert described(aws, key.alias)["KeyId"] == key.id
    kms = aws.client("kms")
    assert kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]
    assert json.loads(kms.get_key_policy(KeyId=key.id, PolicyName="default")["Policy"]) == policy(
        "000000000000", "acme"
    )
    tags = {one["TagKey"]: one["TagValue"] for one in kms.list_resource_tags(KeyId=key.id)["Tags"]}
    assert tags == {"project": NAME, "stage": "development", "tenant_id": "acme"}
    others = {make(account, STAGE, "acme2")[0].id, make(account, ELSEWHERE, "acme")[0].id}
    assert len(others | {key.id}) == 3
    assert sorted(tenants(account, STAGE)) == ["acme", "acme2"]
    assert list(tenants(account, ELSEWHERE)) == ["acme"]


def test_a_run_that_was_killed_leaves_no_second_key(account: Account, aws: Emulator) -> None:
    key, _ = make(account, STAGE, "killed")
    kms = aws.client("kms")
    kms.delete_alias(AliasName=key.alias)  # as if it had not come so far
    kms.disable_key_rotation(KeyId=key.id)
    again, new = make(account, STAGE, "killed")
    assert (again.id, new) == (key.id, True)
    assert kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]


def test_a_key_ends_by_its_tenants_name_and_its_alias_goes_to_no_other(account: Account, aws: Emulator) -> None:
    key, _ = make(account, STAGE, "leaving")
    with pytest.raises(TenantKeyError, match=r"not the name of the tenant \(leaving\); its key stays"):
        end(account, STAGE, "leaving", "acme")
    assert described(aws, key.id)["KeyState"] == "Enabled"
    gone = end(account, STAGE, "leaving", "leaving")
    assert end(account, STAGE, "leaving", "leaving") == gone
    assert 29 <= (gone - described(aws, key.id)["CreationDate"]).days <= 30
    with pytest.raises(
        TenantKeyError, match=f"to be deleted: to keep it, aws kms cancel-key-deletion --key-id {key.id}"
    ):
        make(account, STAGE, "leaving")
    aws.client("kms").cancel_key_deletion(KeyId=key.id)
    with pytest.raises(TenantKeyError, match=f"switched off.*aws kms enable-key --key-id {key.id}"):
        make(account, STAGE, "leaving")
    aws.client("kms").enable_key(KeyId=key.id)
    assert make(account, STAGE, "leaving") == (key, False)


def test_the_command_makes_it_and_asks_before_it_ends_it(account: Account) -> None:
    def run(*given: str, answer: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(main, ["tenant-key", "development", *given], input=answer)
        return done.exit_code, done.output

    alias = f"alias/{NAME}/development/tenant/by_command"
    code, told = run("by_command")
    assert (code, f"Made: {alias}" in told, 'tenant_keys="on"' in told) == (0, True, True)
    assert f"There already: {alias}" in run("by_command")[1]
    assert run("by_command", "--rotate", "--end")[0] == 2
    code, told = run("by_command", "--end", answer="yes\n")
    assert (code, "its key stays" in told) == (1, True)
    assert "is deleted on 20" in run("by_command", "--end", answer="by_command\n")[1]
    assert "has no key of its own in stage development" in run("nobody", "--rotate")[1]
    assert "a tenant is 1 to 64" in run("a/b")[1]


def test_no_key_is_made_where_the_stage_does_not_stand(account: Account, aws: Emulator) -> None:
    with pytest.raises(TenantKeyError, match="Stage production does not stand in us-east-1 of this account"):
        make(account, stage("production"), "acme")
    assert find(account, stage("production"), "acme") is None


def answering(**more: Any) -> Answering:
    """An account with the key of acme."""
    known = {
        "DescribeKey": {"KeyMetadata": {"KeyId": _ID, "KeyState": "Enabled"}},
        "GetKeyRotationStatus": {"KeyRotationEnabled": True},
        "RotateKeyOnDemand": {"KeyId": _ID},
    }
    return Answering({f"kms.{name}": answer for name, answer in {**known, **more}.items()})


def test_a_rotation_is_begun_once_and_names_the_key_not_its_alias() -> None:
    given: list[Any] = []

    def noted(params: Any) -> Any:
        given.append(params["KeyId"])
        return {"KeyId": _ID}

    rotate(answering(RotateKeyOnDemand=noted), STAGE, "acme")
    assert given == [_ID]  # KMS takes no alias here
    under_way = {"KeyRotationEnabled": True, "OnDemandRotationStartDate": _WHEN}
    rotate(account := answering(GetKeyRotationStatus=under_way), STAGE, "acme")
    assert "kms.RotateKeyOnDemand" not in account.asked
    with pytest.raises(AwsError, match="the key of tenant acme: AWS says LimitExceededException"):
        rotate(answering(RotateKeyOnDemand="LimitExceededException"), STAGE, "acme")


def test_of_two_operators_at_once_one_makes_the_key_and_the_other_takes_its_own_back() -> None:
    arn = "arn:aws:cloudformation:us-east-1:111122223333:stack/x/1"
    stands = {"StackName": "x", "StackId": arn, "CreationTime": _WHEN, "StackStatus": "CREATE_COMPLETE"}
    account = answering(
        DescribeKey="NotFoundException",
        CreateKey={"KeyMetadata": {"KeyId": _ID}},
        CreateAlias="AlreadyExistsException",
        ScheduleKeyDeletion={"KeyId": _ID},
    )
    account.answers |= {
        "cloudformation.DescribeStacks": {"Stacks": [stands]},
        "resourcegroupstaggingapi.GetResources": {"ResourceTagMappingList": []},
        "sts.GetCallerIdentity": {"Account": "111122223333"},
    }
    with pytest.raises(AwsError, match="was given to another key a moment ago: run this again"):
        make(account, STAGE, "acme")
    assert account.asked[-1] == "kms.ScheduleKeyDeletion"


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64, "", "x" * 65, "-a", "a/b", "a b", "a\n", "ä", "*", "${a}"])
def test_every_tenant_has_an_alias_and_nothing_else_has(name: str) -> None:
    """Two patterns, of the service and of the tools, and the grammar of aliases: what one takes all take."""
    alias = StageNames("x" * 20, "y" * 20).tenant_key(name)
    try:
        TenantId.parse(name)
    except ValueError:
        assert not TENANT.fullmatch(name)
    else:
        assert TENANT.fullmatch(name)
        assert set(alias) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-")
        assert len(alias) <= LIMITS["KMS alias"]
