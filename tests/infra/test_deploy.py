"""The real CDK command line deploys the stacks, changes them in place, finds nothing left to do, and removes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.deploy.account import Account, AwsError, survey
from infra.deploy.stacks import destroy
from infra.environment.build import build
from infra.environment.table import Inputs, Local
from infra.local.sign_in import Client, SignInError, sign_in
from infra.product import STAGES
from infra.stage.outputs import OUTPUTS, read
from service.product import NAME
from tests.infra.conftest import Synthesized
from tests.support.api.server import ROOT
from tests.support.cloud.stacks import DIFFERENCE, NO_DIFFERENCE, Deployed

PASSWORD = "a-Long-Passw0rd-of-somebody"


@pytest.fixture(scope="module")
def outputs(deployed: Deployed) -> dict[str, str]:
    return deployed.standing()


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def sign_in_as(
    deployed: Deployed,
    outputs: dict[str, str],
    name: str,
    tenant: str | None,
    *providers: str,
    origin: str = "http://127.0.0.1:8000",
) -> dict[str, str]:
    """Make a user as an administrator does, linked to federated providers, and sign in through the hosted page."""
    cognito, pool = deployed.aws.client("cognito-idp"), outputs["UserPoolId"]
    email = f"{name}@example.com"
    attributes = {"email": email, "email_verified": "true"} | ({"custom:tenant_id": tenant} if tenant else {})
    made = cognito.admin_create_user(
        UserPoolId=pool,
        Username=email,
        TemporaryPassword=PASSWORD,
        MessageAction="SUPPRESS",
        UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items()],
    )
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=PASSWORD, Permanent=True)
    for provider in providers:
        cognito.admin_link_provider_for_user(
            UserPoolId=pool,
            DestinationUser={"ProviderName": "Cognito", "ProviderAttributeValue": made["User"]["Username"]},
            SourceUser={
                "ProviderName": provider,
                "ProviderAttributeName": "Cognito_Subject",
                "ProviderAttributeValue": f"{name}@{provider}",
            },
        )
    urls = (f"{deployed.aws.url}/oauth2/authorize", f"{deployed.aws.url}/oauth2/token")
    callback = f"{origin}/api/v1/auth/cognito/callback"
    return sign_in(Client(*urls, outputs["UserPoolClientId"], callback), email, PASSWORD)


def test_every_stack_is_deployed_and_tells_all_that_the_environment_needs(
    deployed: Deployed, outputs: dict[str, str]
) -> None:
    stacks = deployed.stacks()
    assert set(stacks) == {f"{NAME}-local-{part}" for part in ("network", "data", "identity", "access", "watch")}
    assert {stack["StackStatus"] for stack in stacks.values()} == {"CREATE_COMPLETE"}
    from infra.stage.chosen import stage

    inputs = Inputs(stage("local", access="roles-anywhere"), outputs, Local(deployed.aws.url, 8000))
    environment = {v.name: v.value or "" for v in build(inputs)}
    assert environment["ROLES_ANYWHERE_ROLE_ARN"].startswith("arn:aws:iam::")
    assert environment["TOKEN_SIGNING_KEY_ID"].startswith("arn:aws:kms:")


def test_a_user_without_a_tenant_gets_no_token(deployed: Deployed, outputs: dict[str, str]) -> None:
    with pytest.raises(SignInError):
        sign_in_as(deployed, outputs, "nobody", None)


def test_a_user_with_a_tenant_has_it_in_both_tokens_and_cannot_change_it(
    deployed: Deployed, outputs: dict[str, str]
) -> None:
    tokens = sign_in_as(deployed, outputs, "alice", "acme")
    assert claims(tokens["access_token"])["tenant_id"] == claims(tokens["id_token"])["tenant_id"] == "acme"
    cognito = deployed.aws.client("cognito-idp")
    tenant = [{"Name": "custom:tenant_id", "Value": "globex"}]
    with pytest.raises(ClientError, match="cannot be updated"):
        cognito.update_user_attributes(AccessToken=tokens["access_token"], UserAttributes=tenant)
    with pytest.raises(ClientError, match="cannot be updated"):
        cognito.admin_update_user_attributes(
            UserPoolId=outputs["UserPoolId"], Username="alice@example.com", UserAttributes=tenant
        )
    with pytest.raises(ClientError, match="SignUp is not permitted"):
        cognito.sign_up(ClientId=outputs["UserPoolClientId"], Username="eve@example.com", Password=PASSWORD,
                        UserAttributes=[*tenant, {"Name": "email", "Value": "eve@example.com"}])  # fmt: skip


def test_the_key_of_issued_tokens_signs_es256_and_nothing_else(deployed: Deployed, outputs: dict[str, str]) -> None:
    key = deployed.aws.client("kms").get_public_key(KeyId=outputs["TokenSigningKeyArn"])
    assert (key["KeySpec"], key["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert key["SigningAlgorithms"] == ["ECDSA_SHA_256"]


def test_a_second_run_finds_nothing_and_a_change_is_made_in_place(deployed: Deployed, outputs: dict[str, str]) -> None:
    same, file = deployed.synthesize(), deployed.folder / "outputs.json"
    found = deployed.run("diff", "--all", "--app", str(same), "--fail")
    assert found.returncode == NO_DIFFERENCE, found.stdout + found.stderr
    assert deployed.cdk.has_deployed(same, file), "asked without the CDK"
    changed = deployed.synthesize(public_url="https://moved.example.com")
    assert not deployed.cdk.has_deployed(changed, file)
    found = deployed.run("diff", "--all", "--app", str(changed), "--fail")
    assert found.returncode == DIFFERENCE
    again = deployed.deploy(changed)
    assert again == outputs, "something was replaced"
    client = deployed.aws.client("cognito-idp").describe_user_pool_client(
        UserPoolId=outputs["UserPoolId"], ClientId=outputs["UserPoolClientId"]
    )["UserPoolClient"]
    assert client["CallbackURLs"] == ["https://moved.example.com/api/v1/auth/cognito/callback"]
    statuses = {name: stack["StackStatus"] for name, stack in deployed.stacks().items()}
    assert statuses[f"{NAME}-local-identity"] == "UPDATE_COMPLETE"
    found = deployed.run("diff", "--all", "--app", str(changed), "--fail")
    assert found.returncode == NO_DIFFERENCE, found.stdout + found.stderr
    assert deployed.cdk.has_deployed(changed, file)
    stacks = deployed.aws.client("cloudformation")
    stacks.create_stack(StackName="by-hand", TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}')
    assert not deployed.cdk.has_deployed(changed, file), "a stack that was made or changed by hand may be one of these"
    stacks.delete_stack(StackName="by-hand")


def test_production_without_an_authority_is_refused_before_anything_is_made(
    deployed: Deployed, production: Synthesized
) -> None:
    command = ["deploy", "SignalboxAccess", "--exclusively", "--require-approval", "never"]
    done = deployed.run(*command, "--app", str(production.folder))
    assert done.returncode != 0
    assert "missing a value: ServiceAuthority" in done.stdout + done.stderr
    assert f"{NAME}-production-access" not in deployed.stacks()


@pytest.fixture(scope="module")
def everything(deployed: Deployed, federated: Synthesized) -> dict[str, str]:
    """Outputs of production with all its options. The emulator makes of it what it can, and resolves all of it."""
    deployed.aws.client("secretsmanager").create_secret(Name=f"{NAME}/production/idp-GlobexEntra", SecretString="s")
    outputs = deployed.folder / "production.json"
    deployed.cdk.deploy(federated.folder, outputs)
    return read(json.loads(outputs.read_text()), "production")


def test_production_with_all_its_options_is_deployed(deployed: Deployed, everything: dict[str, str]) -> None:
    assert set(everything) == {output.key for output in OUTPUTS} - {"ServiceUserName"}
    provider = deployed.aws.client("cognito-idp").describe_identity_provider(
        UserPoolId=everything["UserPoolId"], ProviderName="GlobexEntra"
    )["IdentityProvider"]
    assert set(provider["AttributeMapping"]) == {"email"}


@pytest.mark.parametrize(("tenant", "providers"), [(None, ("AcmeOkta",)), ("acme", ("AcmeOkta",))])
def test_a_federated_user_has_the_tenant_that_the_stage_gives_the_provider(
    tenant: str | None, providers: tuple[str, ...], deployed: Deployed, everything: dict[str, str]
) -> None:
    name, origin = f"federated-{tenant}", STAGES["production"].public_url
    tokens = sign_in_as(deployed, everything, name, tenant, *providers, origin=origin)
    assert claims(tokens["access_token"])["tenant_id"] == claims(tokens["id_token"])["tenant_id"] == "acme"


@pytest.mark.parametrize(("tenant", "providers"), [("globex", ("AcmeOkta",)), (None, ("AcmeOkta", "GlobexEntra"))])
def test_a_federated_user_of_two_tenants_gets_no_token(
    tenant: str | None, providers: tuple[str, ...], deployed: Deployed, everything: dict[str, str]
) -> None:
    with pytest.raises(SignInError):
        sign_in_as(deployed, everything, f"torn-{tenant}", tenant, *providers, origin=STAGES["production"].public_url)


def test_of_two_stages_side_by_side_the_one_that_ends_goes_whole_and_the_other_stays(
    deployed: Deployed, outputs: dict[str, str], everything: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last: it takes away what the others look at."""
    for name, value in {"ENDPOINT_URL": deployed.aws.url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3 = deployed.aws.client("s3")
    for version in (b"1", b"2"):
        s3.put_object(Bucket=outputs["BucketName"], Key="tenants/acme/a.txt", Body=version)
        s3.put_object(Bucket=everything["BucketName"], Key="tenants/acme/a.txt", Body=version)
    s3.delete_object(Bucket=outputs["BucketName"], Key="tenants/acme/a.txt")
    account, before = Account("us-east-1"), contents(deployed)
    for _ in range(2):
        destroy(ROOT, STAGES["local"], deployed.folder, account=account)
    assert {one.state for one in survey(account, STAGES["local"])} == {"absent"}
    left = {
        kind: {name for name in names if f"{NAME}-local" not in name or "of-somebody-else" in name}
        for kind, names in before.items()
    }
    assert contents(deployed) == left
    assert {len(names) for names in left.values()} != {0}
    assert s3.get_object(Bucket=everything["BucketName"], Key="tenants/acme/a.txt")["Body"].read() == b"2"
    # The one that is protected is refused before anything of it is emptied.
    with pytest.raises(AwsError, match="protected from termination"):
        destroy(ROOT, STAGES["production"], deployed.folder, account=account)
    assert contents(deployed) == left


def contents(deployed: Deployed) -> dict[str, set[str]]:
    """What there is in the account, of what a stage holds."""
    client = deployed.aws.client
    return {
        "stacks": set(deployed.stacks()),
        "buckets": {b["Name"] for b in client("s3").list_buckets()["Buckets"]},
        "pools": {p["Name"] for p in client("cognito-idp").list_user_pools(MaxResults=10)["UserPools"]},
        "databases": {d["DBInstanceIdentifier"] for d in client("rds").describe_db_instances()["DBInstances"]},
        "secrets": {
            s["Name"].replace("/", "-") for s in client("secretsmanager").list_secrets(MaxResults=100)["SecretList"]
        },
        "aliases": {a["AliasName"].replace("/", "-") for a in client("kms").list_aliases()["Aliases"]},
    }
