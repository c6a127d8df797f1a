"""How this process proves to AWS who it is: the one place that makes sessions and clients.

With IAM Roles Anywhere configured, its certificate gives credentials for an hour, renewed as they run out. Otherwise
boto3 looks where it always does (environment, profile, instance). Never both: a certificate that AWS refuses is an
outage to be mended, not a reason to try whatever else lies around.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from service.settings import Settings

if TYPE_CHECKING:
    from boto3.session import Session

CONNECT_TIMEOUT: Final = 2  # seconds
READ_TIMEOUT: Final = 3  # seconds
_ATTEMPTS: Final = 2
# Services that a person waits for: seconds to connect, seconds to answer, attempts.
_IMPATIENT: Final[Mapping[str, tuple[float, float, int]]] = {"kms": (1.0, 1.5, 1)}


class Clients:
    """The clients of one session, all made at their first use; safe to call from any thread.

    Args:
        open_session: Makes the session.
        make: Makes a client of it, by boto3's name of the service.
    """

    def __init__(self, open_session: Callable[[], Session], make: Callable[[Session, str], Any]) -> None:
        self._open, self._make = open_session, make
        self._lock = threading.Lock()  # sessions are not safe to share while they make clients
        self._session: Session | None = None
        self._made: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """See ``Aws.client``."""
        with self._lock:
            if service not in self._made:
                if self._session is None:
                    self._session = self._open()
                self._made[service] = self._make(self._session, service)
            return self._made[service]


class Aws:
    """Clients for AWS; safe to call from any thread, and to be kept for the life of the process.

    Args:
        settings: Region, the local AWS on a developer's machine, Roles Anywhere.
        endpoint: Host and port of Roles Anywhere, where it is not the region's own.
        verify: CA file for that endpoint; True takes those that botocore brings.
    """

    def __init__(self, settings: Settings, *, endpoint: str | None = None, verify: str | bool = True) -> None:
        self._settings = settings
        self._endpoint, self._verify = endpoint, verify
        self._own = Clients(self._open, self.client_of)

    def client(self, service: str) -> Any:
        """A client, made at its first use: the import takes 160 ms that a process without AWS never pays. Blocks.

        Args:
            service: boto3's name, such as ``secretsmanager``.

        Raises:
            Exception: What boto3 and botocore raise; they have no common base.
        """
        return self._own.client(service)

    def client_of(self, session: Session, service: str) -> Any:
        """A new client of a session, as impatient as all of ours.

        Args:
            session: Whose credentials it has.
            service: boto3's name.
        """
        from botocore.config import Config

        from service.aws.bounds import BoundedSession

        connect, read, attempts = _IMPATIENT.get(service, (CONNECT_TIMEOUT, READ_TIMEOUT, _ATTEMPTS))
        client = session.client(  # type: ignore[call-overload]
            service,
            region_name=self._settings.aws_region,
            endpoint_url=self._settings.aws_endpoint_url,
            config=Config(connect_timeout=connect, read_timeout=read, retries={"total_max_attempts": attempts}),
        )
        sending = BoundedSession(client.meta.endpoint_url, connect, read, _authorities())
        client.meta.events.register("before-send", sending.handle)
        return client

    def session_from(self, fetch: Callable[[], dict[str, str]]) -> Session:
        """A session whose credentials are fetched at their first use, and again before they end.

        Args:
            fetch: Gives ``access_key``, ``secret_key``, ``token`` and ``expiry_time``, as botocore names them.
        """
        import boto3
        from botocore.credentials import DeferredRefreshableCredentials
        from botocore.session import get_session

        inner: Any = get_session()
        inner._credentials = DeferredRefreshableCredentials(refresh_using=fetch, method="tenant-role")
        return boto3.Session(botocore_session=inner, region_name=self._settings.aws_region)

    def database_token(self, host: str, port: int, user: str) -> str:
        """A password for one database login, good for 15 minutes of logging in. Made here, by signing; blocks.

        Args:
            host: The instance's own name, which the token is bound to, whatever address is dialled.
            port: Its port.
            user: The login; it must be a member of ``rds_iam``.

        Raises:
            Exception: There are no credentials, or they cannot be renewed.
        """
        token: str = self.client("rds").generate_db_auth_token(
            DBHostname=host, Port=port, DBUsername=user, Region=self._settings.aws_region
        )
        return token

    def _open(self) -> Session:
        role = self._settings.roles_anywhere_role_arn
        if role is None:
            import boto3

            return boto3.Session(region_name=self._settings.aws_region)
        from iam_rolesanywhere_session import IAMRolesAnywhereSession

        from service.aws.bounds import BoundedSession

        settings = self._settings
        certificates, key = settings.roles_anywhere_certificate_secret, settings.roles_anywhere_private_key_secret
        assert certificates is not None
        assert key is not None  # the settings refuse a part of the group
        source = IAMRolesAnywhereSession(
            trust_anchor_arn=settings.roles_anywhere_trust_anchor_arn or "",
            profile_arn=settings.roles_anywhere_profile_arn or "",
            role_arn=role,
            certificate=certificates.get_secret_value().encode(),
            private_key=key.get_secret_value().encode(),
            region=settings.aws_region or "",
            endpoint=self._endpoint,
            verify=self._verify,
        )
        url = self._endpoint or f"https://rolesanywhere.{settings.aws_region}.amazonaws.com"
        # Its own would wait a minute for a server that hangs, while requests wait for it.
        source._session = BoundedSession(url, CONNECT_TIMEOUT, READ_TIMEOUT, self._verify)
        session: Session = source.get_session()
        return session


def _authorities() -> str | bool:
    """As botocore finds them: a file that the environment names, or those that it brings."""
    return os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
