"""AWS as one tenant may use it: ``TenantAws``, beside ``TenantSession``.

The role's session carries the tenant as a tag, and its policy compares objects and encryption contexts with it. A
mistake in a handler then meets AWS's refusal instead of another tenant's objects. There is no default: without a tenant
nothing is given, and production gives nothing without the role.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Annotated, Any, Final

from fastapi import Depends
from starlette.requests import Request

from service.aws.identity import Aws, Clients
from service.errors import TENANT_AWS_DOWN, ApiError, raises
from service.log import get_logger
from service.settings import Settings
from service.tenancy import TenantId, current_tenant

SECONDS: Final = 3600  # AWS gives no more to a role that was taken on from another
TAG: Final = "tenant_id"
_MOST: Final = 128  # tenants; a session and its clients take about two megabytes

log = get_logger(__name__)


class OfTenant:
    """Clients of one tenant; safe to call from any thread.

    Args:
        aws: Makes them.
        tenant: Whose.
        role_arn: The role to take on; None gives the process's own identity.
        own_key: Alias of the tenant's own KMS key; None where the stage's key encrypts for all tenants.
        stage_key: That one.

    Attributes:
        tenant: Whose.
        key_id: What to have KMS encrypt with, under ``context``. To decrypt, name no key: what is encrypted tells by
            which, and what was written before the tenant had a key of its own opens with the same call.
    """

    def __init__(
        self,
        aws: Aws,
        tenant: TenantId,
        role_arn: str | None,
        own_key: str | None = None,
        stage_key: str | None = None,
    ) -> None:
        self.tenant = tenant
        self.key_id = own_key or stage_key
        self._own_key = own_key
        self._aws, self._role_arn = aws, role_arn
        self._own = Clients(lambda: aws.session_from(self._credentials), aws.client_of)  # no tenant waits for another

    @property
    def context(self) -> dict[str, str]:
        """The encryption context that KMS asks of this tenant's session."""
        return {TAG: self.tenant}

    @property
    def at_rest(self) -> dict[str, Any]:
        """How S3 is to encrypt an object of this tenant: arguments of whatever writes one.

        Empty where the stage's key does, which is the bucket's own. With a bucket key, because the context that the
        policy asks for is the bucket's.
        """
        if self._own_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._own_key, "BucketKeyEnabled": True}

    def key(self, name: str) -> str:
        """The name of an object in the bucket.

        Args:
            name: Below the tenant's prefix.
        """
        return f"tenants/{self.tenant}/{name}"

    def client(self, service: str) -> Any:
        """A client, made at its first use. Blocks.

        Args:
            service: boto3's name, such as ``s3``.

        Raises:
            ApiError: SYS_015, the role cannot be taken on.
            Exception: What boto3 and botocore raise; they have no common base.
        """
        return self._aws.client(service) if self._role_arn is None else self._own.client(service)

    def _credentials(self) -> dict[str, str]:
        """Fetched when they are needed, and again before they end; botocore asks."""
        try:
            given = self._aws.client("sts").assume_role(
                RoleArn=self._role_arn,
                RoleSessionName=f"t-{self.tenant}"[:64],
                DurationSeconds=SECONDS,
                Tags=[{"Key": TAG, "Value": self.tenant}],
            )["Credentials"]
        except Exception as failure:  # botocore has no common base for what can go wrong on the way
            log.warning("tenant_role_failed", reason=type(failure).__name__)
            raise ApiError(TENANT_AWS_DOWN, "tenant_role") from failure
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }


class TenantClients:
    """The tenants that were served last, each with its session.

    Args:
        aws: Makes clients.
        settings: The role, and the keys.
    """

    def __init__(self, aws: Aws, settings: Settings) -> None:
        self._aws, self._role_arn = aws, settings.tenant_role_arn
        self._prefix, self._stage_key = settings.tenant_key_prefix, settings.kms_key_id
        self._required = settings.environment == "production"
        self._lock = threading.Lock()
        self._known: OrderedDict[TenantId, OfTenant] = OrderedDict()

    def current(self) -> OfTenant:
        """That of the running request.

        Raises:
            TenantMissingError: There is no tenant: the route is public.
            ApiError: SYS_015, no role is configured where one has to be.
        """
        tenant = current_tenant()
        if self._role_arn is None and self._required:
            raise ApiError(TENANT_AWS_DOWN, "no_tenant_role")
        with self._lock:
            found = self._known.pop(tenant, None) or self._new(tenant)
            self._known[tenant] = found
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
            return found

    def _new(self, tenant: TenantId) -> OfTenant:
        own_key = f"{self._prefix}{tenant}" if self._prefix else None
        return OfTenant(self._aws, tenant, self._role_arn, own_key, self._stage_key)


@raises(TENANT_AWS_DOWN)
async def tenant_aws(request: Request) -> OfTenant:
    """AWS as the caller's tenant may use it; as a dependency: ``TenantAws``."""
    clients: TenantClients = request.app.state.running.tenant_aws
    return clients.current()


TenantAws = Annotated[OfTenant, Depends(tenant_aws)]
