"""A request touches AWS in its tenant's session: one for each tenant, kept, bounded, and none without a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.aws.identity import Aws
from service.aws.tenant import SECONDS, TenantClients
from service.errors import ApiError
from service.settings import Settings, load
from service.tenancy import TenantId, TenantMissingError, tenant_scope
from tests.support.api.environments import GOOD, LOCAL_DATABASE
from tests.support.api.server import free_port
from tests.support.cloud.emulator import Emulator

ROLE = "tenant-of-the-tests"
ACME, GLOBEX = TenantId.parse("acme"), TenantId.parse("globex")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        running.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
        yield running


def settings(url: str, **more: str) -> Settings:
    role = {"TENANT_ROLE_ARN": f"arn:aws:iam::000000000000:role/{ROLE}"}
    development = {"ENVIRONMENT": "development", "DATABASE_URL": LOCAL_DATABASE}
    return load({**GOOD, **development, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url, **role, **more})


class Asked:
    """What was asked of STS, as it was sent."""

    def __init__(self, aws: Aws) -> None:
        self.roles: list[dict[str, Any]] = []
        aws.client("sts").meta.events.register("provide-client-params.sts.AssumeRole", self._note)

    def _note(self, params: dict[str, Any], **_: object) -> None:
        self.roles.append(dict(params))


@pytest.fixture
def aws(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    return Aws(settings(emulator.url))


def test_each_tenant_has_a_session_of_its_own_that_carries_it(aws: Aws, emulator: Emulator) -> None:
    asked, clients = Asked(aws), TenantClients(aws, settings(emulator.url))
    for tenant in (ACME, GLOBEX, ACME):
        with tenant_scope(tenant):
            mine = clients.current()
        who = mine.client("sts").get_caller_identity()["Arn"]
        assert who.endswith(f":assumed-role/{ROLE}/t-{tenant}")
        assert mine.key("files/x") == f"tenants/{tenant}/files/x"
        assert mine.context == {"tenant_id": tenant}
        mine.client("s3")
    assert [call["Tags"] for call in asked.roles] == [[{"Key": "tenant_id", "Value": name}] for name in (ACME, GLOBEX)]
    assert {call["DurationSeconds"] for call in asked.roles} == {SECONDS}


def test_with_a_key_of_its_own_a_tenant_is_encrypted_for_by_its_alias_and_reads_what_was_before(
    aws: Aws, emulator: Emulator
) -> None:
    """The emulator keeps contexts and aliases apart; who may use which is in tests/infra/test_iam_matrix.py."""
    admin = emulator.client("kms")
    stage_key = admin.create_key()["KeyMetadata"]["Arn"]
    for tenant in (ACME, GLOBEX):
        own = admin.create_key()["KeyMetadata"]["KeyId"]
        admin.create_alias(AliasName=f"alias/product/test/tenant/{tenant}", TargetKeyId=own)
    emulator.client("s3").create_bucket(Bucket="of-tenants")

    def of(tenant: TenantId, **more: str) -> Any:
        with tenant_scope(tenant):
            return TenantClients(aws, settings(emulator.url, KMS_KEY_ID=stage_key, **more)).current()

    before, after = of(ACME), of(ACME, TENANT_KEY_PREFIX="alias/product/test/tenant/")
    assert (before.key_id, before.at_rest) == (stage_key, {})
    assert after.key_id == "alias/product/test/tenant/acme"
    kept = []
    for mine in (before, after):
        sealed = mine.client("kms").encrypt(KeyId=mine.key_id, Plaintext=b"x", EncryptionContext=mine.context)
        kept.append((sealed["KeyId"], sealed["CiphertextBlob"]))
        mine.client("s3").put_object(Bucket="of-tenants", Key=mine.key(mine.key_id), Body=b"x", **mine.at_rest)
    assert kept[0][0] == stage_key
    assert kept[1][0] == admin.describe_key(KeyId=after.key_id)["KeyMetadata"]["Arn"]
    for _, sealed in kept:
        opened = after.client("kms").decrypt(CiphertextBlob=sealed, EncryptionContext=after.context)
        assert opened["Plaintext"] == b"x"
        with pytest.raises(ClientError):
            after.client("kms").decrypt(CiphertextBlob=sealed, EncryptionContext=of(GLOBEX).context)
    stored = emulator.client("s3").head_object(Bucket="of-tenants", Key=after.key(after.key_id))
    assert stored["ServerSideEncryption"] == "aws:kms"
    assert after.at_rest["BucketKeyEnabled"], "the policy asks for the bucket's context, which only these have"
    assert stored["SSEKMSKeyId"] in (after.key_id, kept[1][0])
    assert emulator.client("s3").get_object(Bucket="of-tenants", Key=after.key(stage_key))["Body"].read() == b"x"


def test_many_requests_of_one_tenant_take_on_the_role_once(aws: Aws, emulator: Emulator) -> None:
    asked, clients = Asked(aws), TenantClients(aws, settings(emulator.url))

    def work(_: int) -> str:
        with tenant_scope(ACME):
            return str(clients.current().client("sts").get_caller_identity()["Arn"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(32)))) == 1
    assert len(asked.roles) == 1


def test_only_the_tenants_served_last_are_kept(aws: Aws, emulator: Emulator) -> None:
    clients = TenantClients(aws, settings(emulator.url))

    def current(name: str) -> object:
        with tenant_scope(TenantId.parse(name)):
            return clients.current()

    first, second = current("first"), current("second")
    for number in range(126):
        current(f"t{number}")
    assert current("first") is first
    current("one-more")
    assert current("first") is first
    assert current("second") is not second


def test_without_a_tenant_nothing_is_given(aws: Aws, emulator: Emulator) -> None:
    with pytest.raises(TenantMissingError):
        TenantClients(aws, settings(emulator.url)).current()


def test_production_gives_nothing_without_the_role(aws: Aws) -> None:
    with tenant_scope(ACME), pytest.raises(ApiError) as refused:
        TenantClients(aws, load(GOOD)).current()
    assert (refused.value.error.code, refused.value.reason) == ("SYS_015", "no_tenant_role")


def test_a_role_that_cannot_be_taken_on_is_an_outage(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = settings(f"http://127.0.0.1:{free_port()}")
    with tenant_scope(ACME):
        mine = TenantClients(Aws(nowhere), nowhere).current()
    with pytest.raises(ApiError) as refused:
        mine.client("s3").list_buckets()
    assert (refused.value.error.code, refused.value.error.status) == ("SYS_015", 503)
