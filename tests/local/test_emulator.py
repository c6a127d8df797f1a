"""The local AWS, started as `signalbox up` starts it: where it must behave as AWS does, and how it stops."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.emulated import emulator_command
from infra.local.postgres import LocalPostgres
from infra.local.sign_in import SignInError
from tests.support.api.server import ROOT, free_port
from tests.support.cloud.emulator import described
from tests.support.cloud.sample_stack import PASSWORD, StackedEmulator, create_user

HANGING = """
import time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
"""


def query(outputs: dict[str, str], login: dict[str, str], statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(
            host=outputs["Host"],
            port=int(outputs["Port"]),
            user=login["username"],
            password=login["password"],
            database="app",
            ssl=False,
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


@pytest.fixture(scope="module")
def emulator(postgres: LocalPostgres) -> Iterator[StackedEmulator]:
    with StackedEmulator(SIGNALBOX_LOCAL_POSTGRES=described(postgres), AWS_PROFILE="production") as running:
        yield running


@pytest.fixture(scope="module")
def outputs(emulator: StackedEmulator) -> dict[str, str]:
    """A deployed stack, changed in place once: attributes that only the creation returns would be gone."""
    emulator.deploy()
    found = emulator.deploy("two", update=True)
    create_user(emulator, found, "alice", "acme")
    return found


def test_it_listens_on_this_machine_only(emulator: StackedEmulator) -> None:
    listening = [c.laddr for c in psutil.Process(emulator.process.pid).net_connections() if c.status == "LISTEN"]
    assert listening == [("127.0.0.1", emulator.port)]


def test_a_secret_is_referred_to_by_its_arn(emulator: StackedEmulator, outputs: dict[str, str]) -> None:
    assert outputs["Login"].startswith("arn:aws:secretsmanager:us-east-1:000000000000:secret:")
    login = emulator.secret(outputs["Login"])
    assert login["username"] == "app"
    assert re.fullmatch("[A-Za-z0-9]{48}", login["password"])


def test_the_secret_of_the_database_opens_it(
    emulator: StackedEmulator, outputs: dict[str, str], postgres: LocalPostgres
) -> None:
    assert (outputs["Host"], int(outputs["Port"])) == ("127.0.0.1", postgres.port)
    login = emulator.secret(outputs["Master"])
    assert ":secret:rds!db-test" in outputs["Master"]
    assert login["username"] == "test_master"
    rights = "select (rolsuper, rolbypassrls, rolcreaterole, rolcreatedb) from pg_roles where rolname = current_user"
    assert tuple(query(outputs, login, rights)) == (False, False, True, True)
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    assert query(outputs, login, owner) == "test_master"
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(outputs, login | {"password": "password"}, "select 1")


def test_objects_are_encrypted_with_the_buckets_key(emulator: StackedEmulator, outputs: dict[str, str]) -> None:
    s3 = emulator.client("s3")
    s3.put_object(Bucket=outputs["Bucket"], Key="x", Body=b"x")
    stored = s3.head_object(Bucket=outputs["Bucket"], Key="x")
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", outputs["KeyArn"])


def test_security_groups_show_their_rules(emulator: StackedEmulator, outputs: dict[str, str]) -> None:
    assert outputs["Cidr"] == "10.7.0.0/16"
    groups = emulator.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}]
    )["SecurityGroups"]
    by_id = {group["GroupId"]: group for group in groups}
    (rule,) = by_id.pop(outputs["GroupId"])["IpPermissions"]
    assert (rule["FromPort"], rule["IpRanges"][0]["CidrIp"]) == (5433, "10.7.1.0/24")
    (default,) = by_id.values()
    assert (default["IpPermissions"], default["IpPermissionsEgress"]) == ([], [])


def test_tokens_of_the_hosted_page_carry_the_tenant_also_when_refreshed(
    emulator: StackedEmulator, outputs: dict[str, str]
) -> None:
    tokens = emulator.sign_in(outputs)
    refresh = {"grant_type": "refresh_token", "client_id": outputs["Client"], "refresh_token": tokens["refresh_token"]}
    refreshed = httpx.post(f"{emulator.url}/oauth2/token", data=refresh).json()
    for name, token in (("first", tokens), ("refreshed", refreshed)):
        for kind in ("access_token", "id_token"):
            assert claims(token[kind])["tenant_id"] == "acme", (name, kind)
    assert claims(tokens["access_token"])["iss"] == outputs["Issuer"]


def test_no_token_without_a_tenant(emulator: StackedEmulator, outputs: dict[str, str]) -> None:
    """The trigger fails for want of the attribute; by default the emulator would go on without the claim."""
    create_user(emulator, outputs, "nobody", None)
    with pytest.raises(SignInError):
        emulator.sign_in(outputs, "nobody")


def test_the_tenant_cannot_be_changed(emulator: StackedEmulator, outputs: dict[str, str]) -> None:
    cognito, change = emulator.client("cognito-idp"), [{"Name": "custom:tenant_id", "Value": "globex"}]
    signed_in = cognito.initiate_auth(
        ClientId=outputs["Client"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "alice@example.com", "PASSWORD": PASSWORD},
    )["AuthenticationResult"]
    with pytest.raises(cognito.exceptions.InvalidParameterException, match="cannot be updated"):
        cognito.update_user_attributes(AccessToken=signed_in["AccessToken"], UserAttributes=change)
    with pytest.raises(cognito.exceptions.InvalidParameterException, match="cannot be updated"):
        cognito.admin_update_user_attributes(
            UserPoolId=outputs["Pool"], Username="alice@example.com", UserAttributes=change
        )


def test_functions_get_no_credentials_of_the_developer(emulator: StackedEmulator) -> None:
    show = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    _function(emulator, "show", show)
    answer = json.loads(emulator.client("lambda").invoke(FunctionName="show")["Payload"].read())
    assert "AWS_PROFILE" not in answer
    assert not any(name.startswith("SIGNALBOX") for name in answer)


def _function(emulator: StackedEmulator, name: str, code: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", code)
    emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.14",
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/none",
        Code={"ZipFile": packed.getvalue()},
        Timeout=60,
    )


def test_a_stop_keeps_everything_and_a_kill_nothing(postgres: LocalPostgres, tmp_path: Path) -> None:
    settings = {
        "SIGNALBOX_LOCAL_POSTGRES": described(postgres),
        "SIGNALBOX_EMULATOR_STATE": str(tmp_path / "aws"),
        "GATEWAY_PORT": str(free_port()),
    }
    with StackedEmulator(**settings) as first:
        outputs = first.deploy()
        create_user(first, outputs, "alice", "acme")
        tokens = first.sign_in(outputs)
        keys = httpx.get(f"{first.url}/{outputs['Pool']}/.well-known/jwks.json").json()
        first.client("s3").put_object(Bucket=outputs["Bucket"], Key="x", Body=b"kept")
        sealed = first.client("kms").encrypt(KeyId=outputs["KeyArn"], Plaintext=b"kept")["CiphertextBlob"]
        login = first.secret(outputs["Master"])
        assert first.stop() < 2
    # Ctrl-C in the very moment of the next start: nothing was used, so nothing is lost.
    with subprocess.Popen(emulator_command(ROOT), env=first.environment, stderr=subprocess.DEVNULL) as hasty:
        time.sleep(0.3)
        hasty.terminate()
    with StackedEmulator(**settings) as second:
        assert httpx.get(f"{second.url}/{outputs['Pool']}/.well-known/jwks.json").json() == keys
        user = second.client("cognito-idp").get_user(AccessToken=tokens["access_token"])
        assert {"Name": "custom:tenant_id", "Value": "acme"} in user["UserAttributes"]
        assert claims(second.sign_in(outputs)["access_token"])["tenant_id"] == "acme"
        assert second.client("s3").get_object(Bucket=outputs["Bucket"], Key="x")["Body"].read() == b"kept"
        assert second.client("kms").decrypt(CiphertextBlob=sealed)["Plaintext"] == b"kept"
        assert second.secret(outputs["Master"]) == login
        assert query(outputs, login, "select current_user") == "test_master"
        assert second.deploy("two", update=True) == outputs
        second.process.kill()
    with StackedEmulator(**settings) as third:
        assert third.client("cloudformation").describe_stacks()["Stacks"] == []
        assert third.client("s3").list_buckets()["Buckets"] == []
        for _ in range(2):  # the second time with the names of a deleted stack
            new = third.deploy()
            assert query(new, third.secret(new["Master"]), "select current_user") == "test_master"
            third.destroy()


def test_it_stops_at_once_while_a_function_hangs(tmp_path: Path) -> None:
    with StackedEmulator(TMPDIR=str(tmp_path)) as emulator:
        _function(emulator, "hang", HANGING)
        emulator.client("lambda").invoke(FunctionName="hang", Payload=b"{}")

        def hang() -> None:
            with pytest.raises((BotoCoreError, ClientError)):
                emulator.client("lambda").invoke(FunctionName="hang", Payload=b'{"seconds": 60}')

        thread = threading.Thread(target=hang)
        thread.start()
        time.sleep(0.3)
        functions = psutil.Process(emulator.process.pid).children(recursive=True)
        assert functions
        assert emulator.stop() < 2
        thread.join(5)
        assert not psutil.wait_procs(functions, timeout=2)[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_it_ends_with_whoever_started_it_even_by_kill_9(tmp_path: Path) -> None:
    port = free_port()
    starter = "import json, subprocess, sys; print(subprocess.Popen(json.loads(sys.argv[1])).pid, flush=True); input()"
    command = [sys.executable, "-c", starter, json.dumps(emulator_command(ROOT))]
    environment = {**os.environ, "GATEWAY_PORT": str(port), "SIGNALBOX_EMULATOR_STATE": str(tmp_path)}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        emulator = psutil.Process(int(parent.stdout.readline()))
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/_ministack/health")
                break
            except httpx.TransportError:
                time.sleep(0.02)
        parent.kill()
    assert not psutil.wait_procs([emulator], timeout=5)[1]
    assert (tmp_path / "saved").exists()


def test_with_iam_on_policies_count() -> None:
    with StackedEmulator() as emulator:
        iam, trust = emulator.client("iam"), {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = iam.create_role(RoleName="weak", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        given = emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        secrets = boto3.client(
            "secretsmanager",
            region_name="us-east-1",
            endpoint_url=emulator.url,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
        assert secrets.list_secrets()["SecretList"] == []
        emulator.process.send_signal(signal.SIGUSR1)

        def until_refused() -> None:
            for _ in range(200):  # the signal is on its way
                secrets.list_secrets()
                time.sleep(0.05)

        with pytest.raises(ClientError, match="AccessDenied"):
            until_refused()


def _refusal(environment: dict[str, str], *command: str) -> str:
    """What it says when it does not start."""
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command or emulator_command(ROOT),
        env=base | {"GATEWAY_PORT": str(free_port())} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BIND_HOST": "0.0.0.0"}, "BIND_HOST must be 127.0.0.1"),  # noqa: S104  what must not be
        ({"SIGNALBOX_LOCAL_POSTGRES": '{"host": "127.0.0.1"}'}, "SIGNALBOX_LOCAL_POSTGRES must be JSON"),
        ({"SIGNALBOX_LOCAL_POSTGRES": "5432"}, "SIGNALBOX_LOCAL_POSTGRES must be JSON"),
    ],
)
def test_what_it_refuses_is_one_line(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    refusal = _refusal(environment | {"TMPDIR": str(tmp_path)})
    assert said in refusal
    assert refusal.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_ministack_is_refused_by_name(tmp_path: Path) -> None:
    python, script = emulator_command(ROOT)
    missing = f"import runpy, ministack.services.rds as rds; del rds._instances; runpy.run_path({script!r})"
    refusal = _refusal({"TMPDIR": str(tmp_path)}, python, "-c", missing)
    assert refusal == "emulator.py: ministack 1.5.33 should have services.rds._instances, and has not\n"
    other = (
        "import importlib.metadata as m, runpy; m.version = lambda name: '1.5.34'; "
        f"runpy.run_path({script!r}, run_name='__main__')"
    )
    assert _refusal({"TMPDIR": str(tmp_path)}, python, "-c", other) == (
        "emulator.py: needs ministack 1.5.33, found 1.5.34\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_its_lock_names_public_indexes_only() -> None:
    lock = (ROOT / "infra" / "local" / "emulator.py.lock").read_text()
    hosts = set(re.findall(r"https?://([^/\"]+)", lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
