"""SQLAlchemy's asyncpg dialect, doing the first statement of a transaction again where the schema has outrun its plan.

A migration under way costs no request so: the server ends the transaction at such a statement, and with the first one
nothing else is lost. (Events of SQLAlchemy's engine would do as well, and cost each statement more.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from sqlalchemy.exc import InvalidRequestError

from service.database.failures import outrun
from service.database.tenant import NamingConnection, begin


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's, for connections that name a tenant."""

    supports_statement_cache = True  # as that of its base, whose statements it sends

    def set_connection_execution_options(self, connection: Connection, opts: Mapping[str, Any]) -> None:
        """As SQLAlchemy's, which does not know that a tenant's transaction has begun, of the usual kind."""
        driver = cast(NamingConnection, connection.connection.driver_connection)
        if driver.is_in_transaction() and not self.connection_characteristics.keys().isdisjoint(opts):
            raise InvalidRequestError("a tenant's transaction has begun: its isolation cannot be chosen any more")
        super().set_connection_execution_options(connection, opts)

    def do_execute(
        self, cursor: DBAPICursor, statement: str, parameters: Any, context: ExecutionContext | None = None
    ) -> None:
        """Send a statement; again, if it is the first of its transaction and the schema has outrun its plan."""
        assert context is not None
        connection = context.root_connection.connection
        tenant = cast(NamingConnection, connection.driver_connection).just_begun_for
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


ADDRESS: Final = "postgresql+tenants://"  # what has SQLAlchemy take this dialect
registry.register("postgresql.tenants", __name__, Dialect.__name__)
