"""The tenant is named in the message that begins its transaction: no statement can come before it, and no answer is
waited for but that one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import asyncpg
from sqlalchemy.pool import PoolProxiedConnection

from service.tenancy import TenantId

_BEGIN: Final = "BEGIN"  # how what the driver sends for a transaction begins, of whatever kind it is
_COMMIT: Final = "COMMIT;"
# What SQLAlchemy hands to the driver when there is nothing to do but to begin: no statement, for no values.
_NOTHING: Final = ""
_NO_VALUES: Final[Any] = [(), ()]


def _uncounted(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of asyncpg's that sends what asyncpg does not count."""

    async def sent(self: NamingConnection, *arguments: Any, **options: Any) -> Any:
        self._begun = None
        return await method(self, *arguments, **options)

    return sent


class NamingConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """asyncpg's connection, which can begin a transaction for a tenant.

    Attributes:
        committing: Whether it was asked to commit the transaction.
        lost: Whether the last failure of the transaction was an outage.
    """

    __slots__ = ("_begun", "_tenant", "committing", "lost")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tenant: TenantId | None = None
        self._begun: tuple[TenantId, int] | None = None
        self.committing = self.lost = False

    @property
    def just_begun_for(self) -> TenantId | None:
        """The tenant of a transaction of which no statement was sent yet; None for any other."""
        if self._begun is None or self.is_closed() or self._begun[1] != self._protocol.queries_count:
            return None
        return self._begun[0]

    async def execute(self, query: str, *arguments: Any, **options: Any) -> str:
        """As asyncpg's; what begins a transaction names the tenant that was chosen for it, and what commits does.

        Raises:
            asyncpg.PostgresError: Also what else asyncpg raises; a connection that may be in half a transaction is
                closed.
            asyncpg.InFailedSQLTransactionError: Nothing was committed, for a statement before had failed.
        """
        tenant, self._tenant = self._tenant, None
        self.committing, self.lost = query == _COMMIT, self.lost and not query.startswith(_BEGIN)
        if tenant is None:
            done = cast(str, await super().execute(query, *arguments, **options))
            if self.committing and done != "COMMIT":  # the server rolls back then, and does not call it a failure
                raise asyncpg.InFailedSQLTransactionError("a statement had failed")
            return done
        try:
            if not query.startswith(_BEGIN):
                raise RuntimeError("a tenant was chosen, and what came was not the begin of its transaction")
            # true = for this transaction only: a pooled connection must not carry a tenant to its next user. A tenant
            # has no character that a text in quotes could end with.
            query = f"{query} select set_config('app.tenant_id', '{TenantId.parse(tenant)}', true)"
            done = cast(str, await super().execute(query, **options))
            self._begun = tenant, self._protocol.queries_count
            return done
        except BaseException:
            self.terminate()
            raise

    async def executemany(self, command: str, values: Any, **options: Any) -> None:
        """As asyncpg's; without a statement nothing is sent."""
        if command != _NOTHING:
            await super().executemany(command, values, **options)

    copy_to_table = _uncounted(asyncpg.Connection.copy_to_table)
    copy_records_to_table = _uncounted(asyncpg.Connection.copy_records_to_table)
    copy_from_query = _uncounted(asyncpg.Connection.copy_from_query)  # of a statement that may write


def begin(connection: PoolProxiedConnection, tenant: TenantId) -> None:
    """Begin a transaction that sees the rows of a tenant.

    Args:
        connection: Without a transaction; opened by ``service.database.engine``. What fails here closes it.
        tenant: Whose rows.

    Raises:
        OSError: Also the driver's errors, as SQLAlchemy's dialect raises them.
        RuntimeError: A transaction was begun before, and not for this tenant.
    """
    driver = connection.driver_connection
    assert isinstance(driver, NamingConnection)
    driver._tenant = tenant
    connection.cursor().executemany(_NOTHING, _NO_VALUES)
    if driver._tenant is not None:
        driver.terminate()
        raise RuntimeError("the transaction was begun before its tenant was named")
