# /// script
# requires-python = ">=3.11"
# dependencies = ["ministack[full]==1.5.33"]
# ///
"""A local AWS: ministack, with those of its gaps closed that the stacks of this project would fall into.

It runs in an environment of its own (the header above, `emulator.py.lock`), because ministack's exact pins would
otherwise decide versions of the service. It imports nothing of the project. Its environment variables:

- ``GATEWAY_PORT``: port on 127.0.0.1; 4566 if not set.
- ``SIGNALBOX_LOCAL_POSTGRES``: JSON with ``host``, ``port``, ``superuser`` and ``password`` of a running PostgreSQL,
  which is then behind every RDS instance for PostgreSQL. Without it such an instance is an entry in a list.
- ``SIGNALBOX_EMULATOR_STATE``: folder that keeps everything from an orderly stop to the next start. What an emulator
  that was killed leaves there is thrown away: half a state is worse than none.

SIGTERM and SIGINT stop it. SIGUSR1 turns IAM on, which from the start would keep the CDK from its own asset bucket;
SIGUSR2 turns it off again.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import hashlib
import importlib
import inspect
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

MINISTACK = "1.5.33"  # as in the header; what follows was written against the inside of exactly this release
HOST = "127.0.0.1"
LOCAL_PAGE = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?/[!-~]*\Z")
STOP_SECONDS = 1.5  # until a stop that hangs becomes an end

# What is used of ministack that it does not promise to keep.
NEEDED = {
    "app": "app AUTH _build_persistence_save_dict",
    "core.lambda_runtime": "_REAP_GRACE reset",
    "core.persistence": "save_all",
    "services.cloudformation.provisioners": "_RESOURCE_HANDLERS _ec2_sg_permissions _physical_name "
    "_rds_db_instance_attrs _sm_secret_string get_account_id get_region",
    "services.cognito": "_admin_update_user_attributes _attr_list_to_dict _create_identity_provider "
    "_delete_identity_provider _ensure_schema_attributes _fake_token _find_pool_by_client_id _qp _sign_up "
    "_update_identity_provider _update_user_attributes _user_pool_for_access_token _user_pools error_response_json "
    "handle_logout",
    "services.ec2": "_security_groups _vpcs",
    "services.iam": "_attach_group_policy _create_group _groups",
    "services.rds": "_instances",
    "services.s3": "_put_bucket_encryption",
    "services.secretsmanager": "_create_secret _delete_secret _get_random_password _secrets",
    "services.ssm": "_PUBLIC_AMI_PARAMETERS",
}

Properties = dict[str, Any]  # of a resource, as the template gives them
Attributes = dict[str, Any]  # of a resource, for Fn::GetAtt
Made = tuple[str, Attributes]  # its physical id, for Ref, and its attributes


# --- before ministack is imported --------------------------------------------------------------------------------


def refuse(reason: str) -> NoReturn:
    """End with one line."""
    sys.exit(f"emulator.py: {reason}")


def die_with_parent() -> None:
    """Linux: SIGTERM when whoever started us is gone, be it by `kill -9`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def gateway_port() -> int:
    """The port to serve. Refused while nothing has been touched."""
    if os.environ.setdefault("BIND_HOST", HOST) != HOST:
        refuse(f"BIND_HOST must be {HOST}: whoever reaches this server may do anything with it")
    port = int(os.environ.setdefault("GATEWAY_PORT", "4566"))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as failure:
            refuse(f"port {port} on {HOST}: {failure.strerror}")
    return port


def local_postgres() -> dict[str, Any]:
    """The server behind RDS, or nothing. Taken out of the environment, which Lambda functions inherit."""
    try:
        server: dict[str, Any] = json.loads(os.environ.pop("SIGNALBOX_LOCAL_POSTGRES", "{}"))
        complete = not server or {"host", "port", "superuser", "password"} <= server.keys()
    except (ValueError, AttributeError):
        complete = False
    if not complete:
        refuse("SIGNALBOX_LOCAL_POSTGRES must be JSON with host, port, superuser and password")
    return server


class State:
    """Where ministack writes: a folder that lasts, or one that is removed at the end.

    What is in a lasting folder counts from an orderly stop until somebody uses the emulator again. In between memory
    and disk differ, and an emulator that is killed then leaves a mixture.

    Args:
        folder: One that lasts, or None.
        made_with: What saved state depends on: stack outputs have the addresses of this server and of PostgreSQL.
    """

    def __init__(self, folder: str | None, made_with: object) -> None:
        self.keep = folder is not None
        self.folder = Path(folder).resolve() if folder else Path(tempfile.mkdtemp(prefix="signalbox-aws-"))
        self._mark = self.folder / "saved"
        self._made_with = hashlib.sha256(Path(__file__).read_bytes() + json.dumps(made_with).encode()).hexdigest()
        self._used = False
        if not self.keep:
            atexit.register(self.tidy)

    def prepare(self) -> None:
        """Keep what counts, throw away the rest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # it has signing keys and secrets in it
        saved = self._mark.exists() and self._mark.read_text() == self._made_with
        for part in ["tmp"] if saved else ["tmp", "s3", "services"]:
            shutil.rmtree(self.folder / part, ignore_errors=True)
        (self.folder / "tmp").mkdir()

    def use(self) -> None:
        """With the first request, what is on disk ceases to count."""
        if not self._used:
            self._used = True
            self._mark.unlink(missing_ok=True)

    def save(self) -> None:
        """Write everything. What ministack cannot write it logs, and goes on: hence the look at its log."""
        if not (self.keep and self._used):
            return
        failures: list[logging.LogRecord] = []
        watch = logging.Handler(logging.ERROR)
        watch.emit = failures.append  # type: ignore[method-assign]
        logging.getLogger("persistence").addHandler(watch)
        ministack.core.persistence.save_all(ministack.app._build_persistence_save_dict())
        if not failures:
            self._mark.write_text(self._made_with)

    def tidy(self) -> None:
        """Leave nothing that is of no use later."""
        shutil.rmtree(self.folder / "tmp" if self.keep else self.folder, ignore_errors=True)


def configure(state: State) -> None:
    """Tell ministack, which reads its environment while it is imported, where to write and what to leave alone."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # Lambda functions inherit the environment, and run beside the developer's credentials
    # A pre token trigger that fails must not end in a token without the tenant.
    os.environ.setdefault("MINISTACK_COGNITO_PRETOKEN_STRICT", "1")
    os.environ |= {
        "AUTH": "false",
        # It would start containers, and remove every one that looks like its own.
        "DOCKER_HOST": f"unix://{state.folder}/no-docker",
        "IOT_MTLS_ENABLED": "0",  # a broker on every interface, whatever BIND_HOST says
        "LAMBDA_EXECUTOR": "local",
        "MINISTACK_HOST": "localhost",
        "PERSIST_STATE": str(int(state.keep)),
        "S3_DATA_DIR": str(state.folder / "s3"),
        "S3_PERSIST": str(int(state.keep)),
        "SFTP_ENABLED": "0",
        # Used also without PERSIST_STATE: the pools' signing keys are there, by default in /tmp for all to share.
        "STATE_DIR": str(state.folder / "services"),
        "TMPDIR": str(state.folder / "tmp"),
    }
    tempfile.tempdir = None  # it may have been looked up before


def verify_ministack() -> None:
    """Fail now, not in the middle of somebody's deployment."""
    if (found := version("ministack")) != MINISTACK:
        refuse(f"needs ministack {MINISTACK}, found {found}")
    for module_name, names in NEEDED.items():
        module = importlib.import_module(f"ministack.{module_name}")
        for name in names.split():
            if not hasattr(module, name):
                refuse(f"ministack {MINISTACK} should have {module_name}.{name}, and has not")


die_with_parent()
PORT = gateway_port()
POSTGRES = local_postgres()
STATE = State(os.environ.pop("SIGNALBOX_EMULATOR_STATE", None), [PORT, POSTGRES.get("host"), POSTGRES.get("port")])
STATE.prepare()
configure(STATE)
verify_ministack()

import hypercorn.asyncio  # noqa: E402
import hypercorn.config  # noqa: E402
import ministack.app  # noqa: E402
import ministack.core.persistence  # noqa: E402
import psycopg2  # noqa: E402
from ministack.core import lambda_runtime  # noqa: E402
from ministack.services import cognito, ec2, iam, rds, s3, ssm  # noqa: E402
from ministack.services import secretsmanager as sm  # noqa: E402
from ministack.services.cloudformation import provisioners as cfn  # noqa: E402
from psycopg2 import sql  # noqa: E402
from psycopg2.extensions import encrypt_password  # noqa: E402

# CloudFormation type -> how to make, change and delete one. `create(logical id, properties, stack)` and
# `update(physical id, old, new, stack[, logical id])` return the physical id, which is what Ref gives, and the
# attributes for Fn::GetAtt.
HANDLERS: dict[str, dict[str, Any]] = cfn._RESOURCE_HANDLERS

# Types that ministack refuses, and their attributes. They are accepted, and nothing is made.
ACCEPTED = {
    "AWS::Backup::BackupSelection": {"SelectionId": "{id}"},
    "AWS::Budgets::Budget": {},
    "AWS::CloudTrail::Trail": {"Arn": "arn:aws:cloudtrail:{region}:{account}:trail/{id}"},
    "AWS::Cognito::LogDeliveryConfiguration": {"Id": "{id}"},
    "AWS::Cognito::ManagedLoginBranding": {"ManagedLoginBrandingId": "{id}"},
    "AWS::EC2::EIP": {"AllocationId": "{id}"},
    "AWS::EC2::FlowLog": {"Id": "{id}"},
    "AWS::EC2::NatGateway": {"NatGatewayId": "{id}"},
    "AWS::RolesAnywhere::Profile": {"ProfileArn": "arn:aws:rolesanywhere:{region}:{account}:profile/{id}"},
    "AWS::RolesAnywhere::TrustAnchor": {"TrustAnchorArn": "arn:aws:rolesanywhere:{region}:{account}:trust-anchor/{id}"},
    "AWS::SecretsManager::ResourcePolicy": {"Id": "{id}"},
    "AWS::SecretsManager::RotationSchedule": {"Id": "{id}"},
    # Both are functions in JavaScript that need the AWS SDK, which is not here. The second runs on deletion alone.
    "Custom::VpcRestrictDefaultSG": {},
    "Custom::S3AutoDeleteObjects": {},
}

# Parameters that AWS publishes: images for arm64 machines, where ministack knows those for x86.
PUBLIC_PARAMETERS = {"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64": "ami-0123456789abcdef0"}


def accept(resource_type: str, templates: dict[str, str]) -> None:
    """Let a type pass, unless ministack has learned it."""

    def attributes(physical_id: str) -> Attributes:
        place = {"id": physical_id, "region": cfn.get_region(), "account": cfn.get_account_id()}
        return {name: template.format_map(place) for name, template in templates.items()}

    def create(logical_id: str, props: Properties, stack_name: str) -> Made:
        physical_id = f"local-{secrets.token_hex(8)}"
        return physical_id, attributes(physical_id)

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Made:
        return physical_id, attributes(physical_id)

    HANDLERS.setdefault(resource_type, {"create": create, "update": update, "delete": lambda physical_id, props: None})


def after(resource_type: str, amend: Callable[[str, Properties, Attributes], None]) -> None:
    """Call ``amend(physical id, properties, attributes)`` when one was made or changed.

    When changed, too: attributes that only the creation returns are gone after the first change.
    """

    def wrap(original: Callable[..., Made], props_at: int) -> Callable[..., Made]:
        def call(*args: Any) -> Made:
            physical_id, found = original(*args)
            attributes = dict(found)
            amend(physical_id, args[props_at], attributes)
            return physical_id, attributes

        return call

    handlers = HANDLERS[resource_type]
    handlers.update(create=wrap(handlers["create"], 1), update=wrap(handlers["update"], 2))


# --- network -----------------------------------------------------------------------------------------------------


def close_default_group(physical_id: str, props: Properties, attributes: Attributes) -> None:
    """What the custom resource is for: the VPC's default security group lets nothing through."""
    ec2._security_groups[props["DefaultSecurityGroupId"]].update(IpPermissions=[], IpPermissionsEgress=[])


def group_rule(key: str) -> dict[str, Any]:
    """Rules as resources of their own: they change the group, as `describe_security_groups` then shows."""

    def create(logical_id: str | None, props: Properties, stack_name: str) -> Made:
        ec2._security_groups[props["GroupId"]].setdefault(key, []).extend(cfn._ec2_sg_permissions([props]))
        physical_id = f"sgr-{secrets.token_hex(8)}"
        return physical_id, {"Id": physical_id}

    def delete(physical_id: str, props: Properties) -> None:
        rules = (ec2._security_groups.get(props.get("GroupId")) or {}).get(key, [])
        for rule in cfn._ec2_sg_permissions([props]):
            if rule in rules:
                rules.remove(rule)

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Made:
        delete(physical_id, old)
        create(None, new, stack_name)
        return physical_id, {"Id": physical_id}

    return {"create": create, "update": update, "delete": delete}


def vpc_attributes(physical_id: str, props: Properties, attributes: Attributes) -> None:
    """Two that ministack leaves out."""
    attributes.update(CidrBlock=ec2._vpcs[physical_id]["CidrBlock"], CidrBlockAssociations=[])


# --- IAM ---------------------------------------------------------------------------------------------------------


def create_iam_group(logical_id: str, props: Properties, stack_name: str) -> Made:
    """A group with its managed policies."""
    name = props.get("GroupName") or cfn._physical_name(stack_name, logical_id, max_len=128)
    iam._create_group({"GroupName": name})
    for arn in props.get("ManagedPolicyArns") or []:
        iam._attach_group_policy({"GroupName": name, "PolicyArn": arn})
    return name, {"Arn": iam._groups[name]["Arn"]}


def enforce_iam(number: int, _: object) -> None:
    """From now on, policies count, or no longer do. Several modules have read the switch already."""
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack") and hasattr(module, "AUTH"):
            module.AUTH = number == signal.SIGUSR1  # type: ignore[attr-defined]


# --- S3 and Secrets Manager --------------------------------------------------------------------------------------


def encrypt_bucket(name: str, props: Properties, attributes: Attributes) -> None:
    """Apply BucketEncryption, which ministack drops: objects would be stored, and shown, as AES256."""
    for rule in (props.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration", []):
        default = rule.get("ServerSideEncryptionByDefault", {})
        algorithm, key = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
        if algorithm == "aws:kms" and not key:
            continue  # the CDK's asset bucket: without a key id ministack would refuse the uploads
        key_element = f"<KMSMasterKeyID>{key}</KMSMasterKeyID>" if key else ""
        document = (
            '<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
            f"<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key_element}"
            "</ApplyServerSideEncryptionByDefault>"
            f"<BucketKeyEnabled>{str(bool(rule.get('BucketKeyEnabled'))).lower()}</BucketKeyEnabled>"
            "</Rule></ServerSideEncryptionConfiguration>"
        )
        s3._put_bucket_encryption(name, document.encode())


def random_password(options: Properties) -> str:
    """As Secrets Manager makes it."""
    status, _, body = sm._get_random_password(options)
    if status != 200:
        raise ValueError(f"GetRandomPassword failed: {body!r}")
    return str(json.loads(body)["RandomPassword"])


def secret_string(props: Properties) -> str:
    """The value a template asks for; ministack's own ignores half of the options, and draws with ``random``."""
    options = dict(props.get("GenerateSecretString") or {})
    if props.get("SecretString") or not options:
        return str(props.get("SecretString", ""))
    template, key = options.pop("SecretStringTemplate", None), options.pop("GenerateStringKey", "")
    password = random_password(options)
    return json.dumps({**json.loads(template), key: password}) if template else password


def secret_name(arn: str) -> str:
    """The key under which ministack keeps a secret."""
    return next((name for name, secret in sm._secrets.items() if secret["ARN"] == arn), arn)


def refer_to_secrets_by_arn() -> None:
    """In AWS, Ref of a secret is its ARN; in ministack its name, and outputs, policies and variables were all wrong."""
    original = dict(HANDLERS["AWS::SecretsManager::Secret"])

    def create(logical_id: str, props: Properties, stack_name: str) -> Made:
        _, attributes = original["create"](logical_id, props, stack_name)
        return attributes["Arn"], attributes

    def update(arn: str, old: Properties, new: Properties, stack_name: str, logical_id: str | None = None) -> Made:
        _, attributes = original["update"](secret_name(arn), old, new, stack_name, logical_id)
        return attributes["Arn"], attributes

    def delete(arn: str, props: Properties) -> None:
        original["delete"](secret_name(arn), props)

    HANDLERS["AWS::SecretsManager::Secret"].update(create=create, update=update, delete=delete)


# --- Cognito -----------------------------------------------------------------------------------------------------


def pool_attributes(pool_id: str, props: Properties, attributes: Attributes) -> None:
    """One that ministack leaves out."""
    attributes["ProviderURL"] = f"https://cognito-idp.{pool_id.split('_')[0]}.amazonaws.com/{pool_id}"


def keep_attributes_on_refresh() -> None:
    """Hand the user's attributes to the pre token trigger on a refresh, too: without them the tenant is lost."""
    original = cognito._fake_token

    def token(*args: Any, **options: Any) -> Any:
        call = inspect.signature(original).bind(*args, **options)
        given = call.arguments
        user = (cognito._user_pools.get(given["pool_id"]) or {}).get("_users", {}).get(given.get("username"))
        if user and not given.get("user_attrs"):
            given["user_attrs"] = cognito._attr_list_to_dict(user.get("Attributes", []))
        return original(*call.args, **call.kwargs)

    cognito._fake_token = token


def refuse_immutable(original: Callable[[Properties], Any], pool_of: Callable[[Properties], Any]) -> Any:
    """An action that changes attributes, without those that the pool's schema calls immutable."""

    def call(data: Properties) -> Any:
        schema = cognito._ensure_schema_attributes(pool_of(data) or {})["SchemaAttributes"]
        immutable = {attribute["Name"] for attribute in schema if attribute.get("Mutable") is False}
        for attribute in data.get("UserAttributes", []):
            if attribute["Name"] in immutable:
                message = f"user.{attribute['Name']}: Attribute cannot be updated."
                return cognito.error_response_json("InvalidParameterException", message, 400)
        return original(data)

    return call


def answered(answer: Any) -> None:
    """Turn an error of the API into one of the deployment."""
    status, _, body = answer
    if status != 200:
        raise ValueError(f"Cognito refused: {body!r}")


def identity_provider() -> dict[str, Any]:
    """A federated provider; ministack has the API, and no type for it."""

    def create(logical_id: str | None, props: Properties, stack_name: str) -> Made:
        answered(cognito._create_identity_provider(props))
        return props["ProviderName"], {}

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Made:
        answered(cognito._update_identity_provider(new))
        return physical_id, {}

    def delete(physical_id: str, props: Properties) -> None:
        cognito._delete_identity_provider(props)

    return {"create": create, "update": update, "delete": delete}


def refuse_sign_up() -> None:
    """Where only administrators create users, nobody signs up; ministack keeps the setting and ignores it."""
    original = cognito._sign_up

    def call(data: Properties) -> Any:
        pools = (pool for pool in cognito._user_pools.values() if data.get("ClientId") in pool["_clients"])
        closed = (next(pools, {}).get("AdminCreateUserConfig") or {}).get("AllowAdminCreateUserOnly")
        if str(closed).lower() == "true":
            message = "SignUp is not permitted for this user pool"
            return cognito.error_response_json("NotAuthorizedException", message, 400)
        return original(data)

    cognito._sign_up = call


def return_to_pages_of_this_machine() -> None:
    """Let a sign-out end at any page of this machine, where one is registered: a front end's port is its developer's
    choice. Cognito itself compares with the list to the letter."""
    original = cognito.handle_logout

    def call(method: str, path: str, headers: Any, query: dict[str, Any]) -> Any:
        target = cognito._qp(query, "logout_uri")
        client = cognito._find_pool_by_client_id(cognito._qp(query, "client_id"))[2] or {}
        if LOCAL_PAGE.match(target) and any(LOCAL_PAGE.match(known) for known in client.get("LogoutURLs", [])):
            return 302, {"Location": target, "Cache-Control": "no-store"}, b""
        return original(method, path, headers, query)

    cognito.handle_logout = call


def enforce_schema() -> None:
    """Both doors to a user's attributes: the administrator's, and the one that an access token opens."""
    cognito._admin_update_user_attributes = refuse_immutable(
        cognito._admin_update_user_attributes, lambda data: cognito._user_pools.get(data.get("UserPoolId"))
    )
    cognito._update_user_attributes = refuse_immutable(
        cognito._update_user_attributes,
        lambda data: cognito._user_pool_for_access_token(data.get("AccessToken", ""))[1],
    )


# --- RDS ---------------------------------------------------------------------------------------------------------


def attach_postgres(instance_id: str, props: Properties, attributes: Attributes) -> None:
    """Put the local server behind an instance, and its password into the secret that RDS would manage.

    Raises:
        ValueError: The server refused; CloudFormation shows the text and rolls back.
    """
    instance = rds._instances[instance_id]
    managed = str(props.get("ManageMasterUserPassword")).lower() == "true"
    if managed and "_secret_arn" not in instance:
        instance["_MasterUserPassword"] = random_password({"ExcludePunctuation": True})
        instance["_secret_arn"] = create_master_secret(instance_id, props, instance)
    if POSTGRES and props.get("Engine") == "postgres":
        try:
            prepare_database(POSTGRES, instance["MasterUsername"], instance["_MasterUserPassword"], instance["DBName"])
        except psycopg2.Error as failure:
            raise ValueError(f"the local PostgreSQL refused {instance_id}: {failure}") from failure
        instance["Endpoint"].update(Address=POSTGRES["host"], Port=int(POSTGRES["port"]))
    attributes.update(cfn._rds_db_instance_attrs(instance))
    attributes["MasterUserSecret.SecretArn"] = instance.get("_secret_arn", "")


def create_master_secret(instance_id: str, props: Properties, instance: dict[str, Any]) -> str:
    """The secret of ManageMasterUserPassword, of which ministack knows nothing; returns its ARN."""
    value = {"username": instance["MasterUsername"], "password": instance["_MasterUserPassword"]}
    status, _, body = sm._create_secret(
        {
            "Name": f"rds!db-{instance_id}",
            "KmsKeyId": (props.get("MasterUserSecret") or {}).get("KmsKeyId"),
            "SecretString": json.dumps(value),
        }
    )
    if status != 200:
        raise ValueError(f"the master secret of {instance_id}: {body!r}")
    return str(json.loads(body)["ARN"])


def prepare_database(server: dict[str, Any], master: str, password: str, database: str) -> None:
    """Login and database as RDS makes them: the login is no superuser. Both may be there, from an earlier emulator."""
    address = {"host": server["host"], "port": server["port"], "dbname": "postgres", "sslmode": "disable"}
    login = {"user": server["superuser"], "password": server["password"], "connect_timeout": 5}
    with closing(psycopg2.connect(**address, **login)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        role, name = sql.Identifier(master), sql.Identifier(database)
        cursor.execute("select 1 from pg_roles where rolname = %s", (master,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("create role {}").format(role))
        rights = "alter role {} login nosuperuser createrole createdb noreplication nobypassrls password {}"
        verifier = encrypt_password(password, master, connection, "scram-sha-256")  # statements get into logs
        cursor.execute(sql.SQL(rights).format(role, sql.Literal(verifier)))
        cursor.execute("select 1 from pg_database where datname = %s", (database,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("create database {} owner {}").format(name, role))


def delete_master_secret_too() -> None:
    """With its instance, as RDS does. The database stays: it is the server's, and outlives every emulator."""
    original = HANDLERS["AWS::RDS::DBInstance"]["delete"]

    def delete(instance_id: str, props: Properties) -> None:
        arn = (rds._instances.get(instance_id) or {}).get("_secret_arn")
        original(instance_id, props)
        if arn:
            sm._delete_secret({"SecretId": arn, "ForceDeleteWithoutRecovery": True})

    HANDLERS["AWS::RDS::DBInstance"]["delete"] = delete


# --- the server --------------------------------------------------------------------------------------------------


def amend_ministack() -> None:
    """All of the above."""
    for resource_type, templates in ACCEPTED.items():
        accept(resource_type, templates)
    after("Custom::VpcRestrictDefaultSG", close_default_group)
    HANDLERS.setdefault("AWS::EC2::SecurityGroupIngress", group_rule("IpPermissions"))
    HANDLERS.setdefault("AWS::EC2::SecurityGroupEgress", group_rule("IpPermissionsEgress"))
    after("AWS::EC2::VPC", vpc_attributes)
    HANDLERS.setdefault(
        "AWS::IAM::Group", {"create": create_iam_group, "delete": lambda name, props: iam._groups.pop(name, None)}
    )
    ssm._PUBLIC_AMI_PARAMETERS.update(PUBLIC_PARAMETERS)
    lambda_runtime._REAP_GRACE = 0.5  # seconds for a function to end by itself; less than STOP_SECONDS
    after("AWS::S3::Bucket", encrypt_bucket)
    cfn._sm_secret_string = secret_string
    refer_to_secrets_by_arn()
    after("AWS::Cognito::UserPool", pool_attributes)
    keep_attributes_on_refresh()
    enforce_schema()
    refuse_sign_up()
    return_to_pages_of_this_machine()
    HANDLERS.setdefault("AWS::Cognito::UserPoolIdentityProvider", identity_provider())
    after("AWS::RDS::DBInstance", attach_postgres)
    delete_master_secret_too()


def finish() -> None:
    """Save, end the Lambda functions, and be gone. Requests that still run are cut off."""
    try:
        STATE.save()
        lambda_runtime.reset()
        STATE.tidy()
    except Exception:
        logging.exception("stopped in disorder; what is in %s does not count", STATE.folder)
    finally:
        os._exit(0)


def stop(*_: object) -> None:
    """In threads of their own: the main one may be waiting for a Lambda function that hangs."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Timer(STOP_SECONDS, os._exit, (1,)).start()
    threading.Thread(target=finish).start()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ministack's, and a note of the first request."""
    if scope["type"] != "lifespan":
        STATE.use()
    await ministack.app.app(scope, receive, send)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    amend_ministack()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGUSR1, enforce_iam)
    signal.signal(signal.SIGUSR2, enforce_iam)
    config = hypercorn.config.Config()
    config.bind = [f"{HOST}:{PORT}"]
    config.keep_alive_timeout = 75  # seconds; clients that pool connections should close them, not the server
    # A trigger that never fires: stopping is the signal handlers' business.
    asyncio.run(hypercorn.asyncio.serve(application, config, shutdown_trigger=asyncio.Event().wait))


if __name__ == "__main__":
    main()
