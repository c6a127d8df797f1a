"""How Alembic reaches the database: the migrating login, one runner at a time, the application login kept in step."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial

import sqlalchemy as sa
from alembic import context
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from migrations import turn
from migrations.roles import set_iam_login, set_password
from service import log_lines
from service.aws.identity import Aws
from service.aws.secrets import Secrets, login
from service.database.engine import Connector
from service.database.migrations import VERSION_SCHEMA, VERSION_TABLE
from service.database.online import INVALID
from service.feature import settings_of
from service.log import get_logger
from service.naming import Names
from service.product import FEATURES, NAME
from service.settings import SettingsError, load

NAMES = Names(NAME)

logger = get_logger("migrations")


def _upgrade(connection: Connection, app_login: tuple[str, str] | None, iam_auth: bool) -> None:
    context.configure(
        connection=connection,
        target_metadata=None,
        names=NAMES,  # for what migrations call: service.database.rls.names
        version_table=VERSION_TABLE,
        version_table_schema=VERSION_SCHEMA,
        transaction_per_migration=False,
    )
    try:
        # One transaction, unless a migration ends it; the lock of migrations/turn.py outlives it.
        with context.begin_transaction():
            connection.execute(sa.text(f"create schema if not exists {VERSION_SCHEMA}"))
            context.run_migrations()
            if app_login is not None:
                set_password(connection, *app_login)
            set_iam_login(connection, NAMES.app_role, iam_auth)
    finally:
        with suppress(DBAPIError):  # what went wrong first is what counts
            _tell_half_built(connection)


def _tell_half_built(connection: Connection) -> None:
    """An index that a build left invalid is used by no query and keeps nothing unique: it is there in name alone."""
    for index in connection.exec_driver_sql(INVALID).scalars():
        logger.warning("index_half_built", index=index)
        print(  # noqa: T201  a person runs this
            f"The index {index} was left half built. Remove it (drop index concurrently {index}) and build it again; "
            "build_index of service/database/online.py does both by itself.",
            file=sys.stderr,
        )


def _patience() -> int:
    given = context.get_x_argument(as_dictionary=True).get("patience", str(turn.PATIENCE))
    if not given.isdecimal():
        raise SystemExit("-x patience= takes whole seconds: how long to wait while another runner migrates.")
    return int(given)


async def _online() -> None:
    settings = load(os.environ, settings_of(FEATURES))
    log_lines.configure(settings.log_level)
    aws = Aws(settings)
    secrets = Secrets(aws)
    own = settings.database_migration_secret
    if settings.database_iam_auth and not own:
        raise SystemExit("DATABASE_MIGRATION_SECRET_ID is required with DATABASE_IAM_AUTH: tokens are the service's.")
    connector = Connector(settings, secrets, own or settings.database_secret, confined=False)
    app_login = None
    if own and settings.database_secret:
        named = login(await secrets.text(settings.database_secret))
        if named["user"] != NAMES.app_role:
            raise SystemExit(f"The secret that DATABASE_SECRET_ID names must be the login of {NAMES.app_role}.")
        app_login = (named["user"], named["password"])
    creator = partial(turn.connect, connector, NAMES, _patience())
    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade, app_login, settings.database_iam_auth)
    await engine.dispose()
    logger.info("migrations_applied")


if context.is_offline_mode():
    raise SystemExit("Migrations ask the database what is there; run them online (without --sql).")
try:
    asyncio.run(_online())
except SettingsError as failure:
    print(failure, file=sys.stderr)  # noqa: T201  a person runs this
    raise SystemExit(1) from None
