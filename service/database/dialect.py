"""SQLAlchemy's asyncpg dialect, whose hooks see to two things: that the first statement of a transaction is done again
where the schema has outrun its plan, and that a connection knows whether it was asked to commit.

A migration under way costs no request so: the server ends the transaction at such a statement, and with the first one
nothing else is lost. (Events of SQLAlchemy's engine would do as well, and cost each statement more than this module.)
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from sqlalchemy.pool import PoolProxiedConnection

from service.database.failures import outrun
from service.database.tenant import NamingConnection, begin

_DRIVER: Final = "signalbox"  # as SQLAlchemy's addresses name it


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's, for connections that can name a tenant."""

    supports_statement_cache = True  # as that of its base, whose statements it sends

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Forget what became of the transaction before."""
        driver = _driver(dbapi_connection)
        driver.committing = driver.lost = False

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Commit, and remember that it was tried."""
        _driver(dbapi_connection).committing = True
        super().do_commit(dbapi_connection)  # type: ignore[no-untyped-call]

    def do_execute(
        self, cursor: DBAPICursor, statement: str, parameters: Any, context: ExecutionContext | None = None
    ) -> None:
        """Send a statement; again, if it is the first of its transaction and the schema has outrun its plan."""
        assert context is not None
        connection = context.root_connection.connection
        driver = _driver(connection)
        tenant = driver.just_begun_for
        try:
            cursor.execute(statement, parameters)
        except self.loaded_dbapi.Error as failure:
            if not outrun(failure.__cause__):
                raise
            self._invalidate_schema_cache()  # type: ignore[no-untyped-call]  # of types, too: SQLAlchemy does of plans
            if tenant is None:
                raise
            connection.rollback()
            begin(connection, tenant)
            context.pre_exec()
            cursor.execute(statement, parameters)


def _driver(connection: PoolProxiedConnection) -> NamingConnection:
    driver = connection.driver_connection
    assert isinstance(driver, NamingConnection)
    return driver


def address() -> URL:
    """What has SQLAlchemy take this dialect."""
    registry.register(f"postgresql.{_DRIVER}", __name__, Dialect.__name__)
    return URL.create(f"postgresql+{_DRIVER}")
