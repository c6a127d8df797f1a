"""What must not get lost: database, documents, secrets, the key that encrypts them, and the key that signs tokens."""

from __future__ import annotations

from aws_cdk import ArnFormat
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.aws.constructs.bucket import AccessLogBucket, DocumentBucket
from infra.aws.constructs.database import Database
from infra.aws.constructs.keys import DataKey, SigningKey
from infra.aws.constructs.network import Network
from infra.aws.constructs.secrets import Secrets
from infra.aws.constructs.service_access import ServiceAccess
from infra.aws.constructs.tenant_role import TenantRole
from infra.aws.stacks.base import StageStack
from infra.stage.names import LABEL
from infra.stage.outputs import emit
from infra.stage.record import Stage


class DataStack(StageStack):
    """The second stack.

    Args:
        scope: The app.
        stage: Its configuration.
        network: Where the database goes.
        logs_key: Key for log groups.

    Attributes:
        key: Key of the data.
        signing_keys: Keys of the tokens that the service issues, the signing one first.
        database: The PostgreSQL instance.
        access_logs: Where requests to buckets are recorded.
        documents: The bucket.
        secrets: What the service and the subnet router read.
        tenant_role: The role in which the service touches a tenant's objects.
        service: The service's policy. Beside what it names: another stack would know the bucket by a reference that no
            reviewer can read.
    """

    def __init__(self, scope: Construct, *, stage: Stage, network: Network, logs_key: kms.IKey) -> None:
        super().__init__(scope, stage=stage, part="data", description=f"{LABEL}: database, documents, secrets, key")
        self.key = DataKey(self, "DataKey", stage_name=stage.name, retain=stage.retain).key
        made = {
            number: SigningKey(
                self,
                f"SigningKey{number if number > 1 else ''}",
                stage_name=stage.name,
                number=number,
                retain=stage.retain,
            ).key
            for number in (*stage.signing_keys, *stage.retired_signing_keys)
        }
        self.signing_keys = [made[number] for number in stage.signing_keys]
        self.database = Database(
            self,
            "Database",
            stage=stage,
            vpc=network.vpc,
            subnets=network.database_subnets,
            group=network.database_group,
            data_key=self.key,
            logs_key=logs_key,
        )
        self.access_logs = AccessLogBucket(self, "AccessLogs", retain=stage.retain)
        self.documents = DocumentBucket(
            self, "Documents", key=self.key, access_logs=self.access_logs, retain=stage.retain
        )
        self.secrets = Secrets(self, "Secrets", stage=stage, key=self.key)
        instance = self.database.instance
        self.tenant_role = TenantRole(
            self,
            "Tenant",
            bucket=self.documents.bucket,
            key=self.key,
            own_keys=stage.names.tenant_keys,
            own_keys_only=stage.tenant_keys == "required",
        )
        self.service = ServiceAccess(
            self,
            "Service",
            secrets=[
                self.secrets.app_login.secret_arn,
                self.secrets.session_key.secret_arn,
                *(self._arn_of(f"{stage.secrets_prefix}/{name}") for name in stage.provider_secrets),
            ],
            master_secret_arn=self.database.master_secret_arn if stage.migrations == "auto" else None,
            key=self.key,
            signing_keys=list(made.values()),  # those that replicas may still name, too
            tenant_role=self.tenant_role.role,
            instance=instance,
            app_user=stage.database.app_user,
        )
        emit(self, "Region", self.region)
        emit(self, "DatabaseHost", instance.db_instance_endpoint_address)
        emit(self, "DatabasePort", instance.db_instance_endpoint_port)
        emit(self, "DatabaseName", stage.database.name)
        emit(self, "DatabaseLoginSecretArn", self.secrets.app_login.secret_arn)
        emit(self, "DatabaseMasterSecretArn", self.database.master_secret_arn)
        emit(self, "SessionKeySecretArn", self.secrets.session_key.secret_arn)
        emit(self, "SecretsPrefix", stage.secrets_prefix)
        emit(self, "BucketName", self.documents.bucket.bucket_name)
        emit(self, "DataKeyArn", self.key.key_arn)
        emit(self, "TenantRoleArn", self.tenant_role.role.role_arn)
        if stage.tenant_keys != "off":
            emit(self, "TenantKeyPrefix", stage.names.tenant_keys)
        emit(self, "TokenSigningKeyArn", ",".join(key.key_arn for key in self.signing_keys))

    def _arn_of(self, secret_name: str) -> str:
        """Of a secret that somebody else makes: AWS ends it in six characters that nobody knows before."""
        return self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{secret_name}-??????",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
