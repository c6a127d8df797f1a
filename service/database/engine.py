"""The connection to PostgreSQL: verified TLS, bounded waits, rotating passwords; no login may bypass row security."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.aws.identity import Aws
from service.aws.secrets import Secrets, login
from service.database import idle
from service.database.dialect import ADDRESS
from service.database.failures import Pool, watch
from service.database.tenant import NamingConnection
from service.errors import SECRETS_DOWN, ApiError
from service.log import get_logger
from service.naming import Names
from service.settings import Secret, Settings

CONNECT_TIMEOUT = 5.0  # seconds; asyncpg's own default is 60
COMMAND_TIMEOUT = 15.0  # seconds; without it, nothing bounds a wait for a server that hangs
REFUSED_PAUSE = 2.0  # seconds before a login that the database refused is tried again
POOL_TIMEOUT = 5.0  # seconds to wait for a free connection
_SERVER_SETTINGS = {
    "statement_timeout": "10000",  # milliseconds, like the two below; the server gives up before the client does
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "10000",
}
_WRONG_LOGIN = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
# The server, or something on the way, ended the connection while it was being opened.
_CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, asyncpg.PostgresConnectionError)

log = get_logger(__name__)


class UnboundLoginError(Exception):
    """The database login bypasses row security: with it, one query reads the rows of every tenant."""


class _PinnedName(ssl.SSLContext):
    """Verifies the certificate against a fixed name, whatever host is dialled (a forwarder, a proxy).

    asyncpg has no parameter for it, and the alternative, not checking the name, would accept any server of that CA.
    """

    server_name: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name, session)


class Connector:
    """Opens connections as one login.

    Args:
        settings: Address and TLS.
        secrets: Where the login's password is, when a secret is named.
        secret: Which secret; None takes the login from the address.
        confined: Refuse a login that row level security does not bind. Migrations need another kind.
        iam: Makes a token for each connection instead of a password.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        secret: Secret | None,
        *,
        confined: bool = True,
        iam: Aws | None = None,
    ) -> None:
        parts = urlsplit(settings.database_url.get_secret_value())
        self._secrets = secrets
        self._secret = secret
        self._confined = confined
        self._iam = iam
        self._refused: tuple[float, Exception] | None = None
        self._turn = asyncio.Lock()
        self._loop: Callable[[], Any] = asyncio.get_running_loop
        if settings.database_proxy is not None:
            from service.database.proxy import ProxiedLoop  # 24 ms of imports that most processes never pay

            self._loop = partial(ProxiedLoop, settings.database_proxy)
        # What a token is signed for: the instance's own name, whatever host is dialled.
        self._token_host = settings.database_tls_server_name or parts.hostname or ""
        self._options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 5432,
            "database": unquote(parts.path[1:]),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or "") or None,
            "ssl": _tls(settings) if parse_qs(parts.query)["sslmode"] == ["verify-full"] else False,
            "timeout": CONNECT_TIMEOUT,
        }

    async def connect(self, **options: Any) -> asyncpg.Connection:
        """Open a connection.

        Args:
            options: For ``asyncpg.connect``; they win over what the settings say.

        Raises:
            UnboundLoginError: The database login bypasses row security.
            ApiError: SYS_004 when the password cannot be read.
            OSError: Also asyncpg's and ssl's errors: the server cannot be reached or refuses.
        """
        connection = await self._admitted(options)
        try:
            if self._confined and await connection.fetchval(
                "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
            ):
                log.critical("database_login_unbound")
                raise UnboundLoginError
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _admitted(self, options: dict[str, Any]) -> asyncpg.Connection:
        """Open a connection; once the database has refused every login we know, one of those who wait asks again, and
        not before a pause.

        A password that is wrong for good would otherwise be tried several times for each request, and the server
        would be busy with refusing.
        """
        if self._refused is None:
            return await self._tried(options)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await self._turn.acquire()
        try:
            if self._refused is not None and time.monotonic() - self._refused[0] < REFUSED_PAUSE:
                raise type(self._refused[1])("the login was refused a moment ago")
            return await self._tried(options)
        finally:
            self._turn.release()

    async def _tried(self, options: dict[str, Any]) -> asyncpg.Connection:
        try:
            connection = await self._open(options)
        except _WRONG_LOGIN as failure:
            self._refused = (time.monotonic(), failure)
            raise
        self._refused = None
        return connection

    async def _open(self, options: dict[str, Any]) -> asyncpg.Connection:
        if self._iam is not None:
            return await self._dial({"password": await self._token(self._iam)}, options)
        if self._secret is None:
            return await self._dial({}, options)
        refused: Exception | None = None
        async with aclosing(self._logins(self._secret)) as logins:
            async for named in logins:
                try:
                    return await self._dial(named, options)
                except _WRONG_LOGIN as failure:
                    refused = failure
        assert refused is not None
        raise refused

    async def _logins(self, secret: Secret) -> AsyncGenerator[Mapping[str, str], None]:
        """What to try, in order: a rotation changes two places, one after the other, and we may come in between."""
        known = await self._secrets.text(secret)
        yield login(known)
        current = await self._secrets.text(secret, refresh=True)
        if current != known:  # rotated since we read it
            yield login(current)
        before = await self._secrets.previous(secret)
        if before is not None:  # the secret is new already, and the database does not know it yet
            yield login(before)
            yield login(current)  # it was told while we tried the one before

    async def _dial(self, named: Mapping[str, str], options: dict[str, Any]) -> asyncpg.Connection:
        return await asyncpg.connect(
            **{**self._options, **named, **options, "loop": self._loop(), "connection_class": NamingConnection}
        )

    async def _token(self, iam: Aws) -> str:
        address = (self._token_host, self._options["port"], self._options["user"])
        try:
            return await asyncio.to_thread(iam.database_token, *address)
        except Exception as failure:  # botocore has no common base for what can go wrong on the way
            log.warning("database_token_failed", reason=type(failure).__name__)
            raise ApiError(SECRETS_DOWN, "database_token") from failure


def create_engine(settings: Settings, connector: Connector, names: Names) -> AsyncEngine:
    """The pool that requests share; no connection is opened before the first is needed.

    Args:
        settings: Pool size and overflow, in connections.
        connector: Opens each connection, so that each sees the password of the day.
        names: Under which the server shows its connections.
    """
    server_settings = _SERVER_SETTINGS | {"application_name": names.product}

    async def connect() -> asyncpg.Connection:
        options: dict[str, Any] = {"command_timeout": COMMAND_TIMEOUT, "server_settings": server_settings}
        try:
            return await connector.connect(**options)
        except _CUT:  # nothing was asked of the connection yet, so to open another one is safe
            return await connector.connect(**options)

    engine = create_async_engine(
        ADDRESS,
        async_creator=connect,
        poolclass=Pool,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=POOL_TIMEOUT,
        pool_recycle=1800,
        pool_use_lifo=True,  # the one that was used last needs no test, and the server has its pages at hand
        pool_reset_on_return="rollback",
    )
    idle.watch(engine)
    watch(engine)
    return engine


def _tls(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and name verified: PostgreSQL's ``sslmode=verify-full``."""
    name = settings.database_tls_server_name or urlsplit(settings.database_url.get_secret_value()).hostname
    context = _PinnedName(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = name or ""
    if settings.database_ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(settings.database_ca_file)
        except (OSError, ssl.SSLError) as failure:
            raise ApiError(SECRETS_DOWN, "ca_file") from failure
    return context
