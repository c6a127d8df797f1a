"""What the service's role may do, and what it may not, asked of an AWS that enforces its policies."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stage.names import PRODUCT
from service.product import NAME
from tests.support.cloud.stacks import Deployed


@dataclass
class Service:
    """Clients with the role's credentials, and the names of what was deployed."""

    deployed: Deployed
    outputs: dict[str, str]
    credentials: dict[str, str]

    def client(self, name: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            name,
            region_name="us-east-1",
            endpoint_url=self.deployed.aws.url,
            aws_access_key_id=self.credentials["AccessKeyId"],
            aws_secret_access_key=self.credentials["SecretAccessKey"],
            aws_session_token=self.credentials["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )


@pytest.fixture(scope="module")
def service(deployed: Deployed) -> Iterator[Service]:
    outputs = deployed.standing()
    admin = deployed.aws.client
    admin("s3").put_object(Bucket=outputs["BucketName"], Key="tenants/acme/a.txt", Body=b"x")
    admin("s3").put_object(Bucket=outputs["BucketName"], Key="other/a.txt", Body=b"x")
    # It refuses plain HTTP, as it should; the emulator speaks nothing else.
    admin("s3").delete_bucket_policy(Bucket=outputs["BucketName"])
    admin("secretsmanager").create_secret(Name=f"{NAME}/local/of-somebody-else", SecretString="x")
    given = admin("sts").assume_role(RoleArn=outputs["ServiceRoleArn"], RoleSessionName="test")["Credentials"]
    deployed.aws.process.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    yield Service(deployed, outputs, given)
    deployed.aws.process.send_signal(signal.SIGUSR2)


Call = Callable[[Service], Any]


def secret(key: str) -> Call:
    return lambda s: s.client("secretsmanager").get_secret_value(SecretId=s.outputs.get(key, key))


def sign(algorithm: str, key: str = "TokenSigningKeyArn") -> Call:
    return lambda s: s.client("kms").sign(
        KeyId=s.outputs[key], Message=b"x" * 32, MessageType="DIGEST", SigningAlgorithm=algorithm
    )


ALLOWED: dict[str, Call] = {
    "read the database login": secret("DatabaseLoginSecretArn"),
    "read the migrations' login": secret("DatabaseMasterSecretArn"),
    "read the session key": secret("SessionKeySecretArn"),
    "sign a token": sign("ECDSA_SHA_256"),
    "read the public key": lambda s: s.client("kms").get_public_key(KeyId=s.outputs["TokenSigningKeyArn"]),
    "act for a tenant": lambda s: s.client("sts").assume_role(
        RoleArn=s.outputs["TenantRoleArn"], RoleSessionName="test", Tags=[{"Key": "tenant_id", "Value": "acme"}]
    ),
}

DENIED: dict[str, Call] = {
    "read another secret": secret(f"{NAME}/local/of-somebody-else"),
    "list secrets": lambda s: s.client("secretsmanager").list_secrets(),
    "change a secret": lambda s: s.client("secretsmanager").put_secret_value(
        SecretId=s.outputs["DatabaseLoginSecretArn"], SecretString="x"
    ),
    "delete a secret": lambda s: s.client("secretsmanager").delete_secret(SecretId=s.outputs["SessionKeySecretArn"]),
    "sign with the data key": sign("ECDSA_SHA_256", "DataKeyArn"),
    "use the data key past its services": lambda s: s.client("kms").generate_data_key(
        KeyId=s.outputs["DataKeyArn"], KeySpec="AES_256"
    ),
    "encrypt with the data key": lambda s: s.client("kms").encrypt(KeyId=s.outputs["DataKeyArn"], Plaintext=b"x"),
    "make a key": lambda s: s.client("kms").create_key(),
    "delete the signing key": lambda s: s.client("kms").schedule_key_deletion(KeyId=s.outputs["TokenSigningKeyArn"]),
    "change the signing key's policy": lambda s: s.client("kms").put_key_policy(
        KeyId=s.outputs["TokenSigningKeyArn"], PolicyName="default", Policy="{}"
    ),
    "read a document as itself": lambda s: s.client("s3").get_object(
        Bucket=s.outputs["BucketName"], Key="tenants/acme/a.txt"
    ),
    "read outside the tenants": lambda s: s.client("s3").get_object(Bucket=s.outputs["BucketName"], Key="other/a.txt"),
    "write outside the tenants": lambda s: s.client("s3").put_object(
        Bucket=s.outputs["BucketName"], Key="other/b.txt", Body=b"x"
    ),
    "delete a document": lambda s: s.client("s3").delete_object(
        Bucket=s.outputs["BucketName"], Key="tenants/acme/a.txt"
    ),
    "list documents": lambda s: s.client("s3").list_objects_v2(Bucket=s.outputs["BucketName"]),
    "open the bucket": lambda s: s.client("s3").put_bucket_policy(Bucket=s.outputs["BucketName"], Policy="{}"),
    "list users": lambda s: s.client("cognito-idp").list_users(UserPoolId=s.outputs["UserPoolId"]),
    "make a user": lambda s: s.client("cognito-idp").admin_create_user(
        UserPoolId=s.outputs["UserPoolId"], Username="eve@example.com", TemporaryPassword="a-Long-Passw0rd-of-eve"
    ),
    "change the database": lambda s: s.client("rds").modify_db_instance(
        DBInstanceIdentifier=f"{NAME}-local", BackupRetentionPeriod=1
    ),
    "make itself an administrator": lambda s: s.client("iam").attach_role_policy(
        RoleName=s.outputs["ServiceRoleArn"].rpartition("/")[2],
        PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess",
    ),
    "become another role": lambda s: s.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/cdk-hnb659fds-deploy-role-000000000000-us-east-1",
        RoleSessionName="test",
    ),
    "read the stacks": lambda s: s.client("cloudformation").describe_stacks(),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_the_service_may(what: str, service: Service) -> None:
    answer = ALLOWED[what](service)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("what", DENIED)
def test_the_service_may_not(what: str, service: Service) -> None:
    with pytest.raises(ClientError) as refused:
        DENIED[what](service)
    assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"), refused.value


def test_the_policy_lets_one_database_login_ask_for_a_token(service: Service) -> None:
    """RDS itself checks this action; the emulator's has no IAM logins, so this reads the policy that was deployed."""
    iam = service.deployed.aws.client("iam")
    arn = service.outputs["ServicePolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    document = json.loads(document) if isinstance(document, str) else document
    (login,) = [s for s in document["Statement"] if s["Sid"] == "DatabaseLogin"]
    assert login["Action"] == "rds-db:connect"
    assert str(login["Resource"]).endswith(f"/{PRODUCT.app_role}")
    assert "*" not in str(login["Resource"])
