"""What a start does about a schema that is behind: bring it up to date, or refuse to serve.

Safe for any number of replicas at once, and beside a pre-deploy command: migrations/env.py lets one runner in at a
time, and the others find nothing left to do. A database that cannot be asked stops no replica: without it the service
still answers what needs none, readiness keeps traffic away, and the start is gone on with when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.database.engine import Connector
from service.database.migrations import Expected, alembic_config, applied, expected
from service.log import get_logger
from service.settings import Settings

COMMAND = "python -m migrations upgrade"
RETRY = 1.0  # seconds between two questions to a database that does not answer
ASK_TIMEOUT = 5.0  # seconds for the one question, once connected; a database that hangs counts as one that is away

log = get_logger(__name__)


class SchemaRefused(Exception):  # noqa: N818  named after what was refused
    """The schema is behind and stays so; the text is one message for the person who starts the service."""


def prepare_schema(settings: Settings, lines: Sequence[Path], *, unknown: Callable[[], None]) -> None:
    """Make sure that the schema is not behind this code, as ``RUN_MIGRATIONS`` says.

    A schema that is ahead is left alone: newer code is being rolled out, and this process may be an older replica that
    was restarted.

    Args:
        settings: The environment; migrations read the same one again.
        lines: Folders of the features' migrations.
        unknown: Called while the database cannot be asked; it is asked until it answers.

    Raises:
        SchemaRefused: It is behind, and must not be migrated from here or could not be.
    """
    needed = expected(lines)
    found = asyncio.run(_told(settings, unknown))
    if needed.satisfied_by(found):
        return
    if settings.run_migrations == "manual":
        raise SchemaRefused(
            f"The database schema is behind this version of the service (applied: {_listed(found)}; "
            f"needed: {_listed(needed.heads)}), and RUN_MIGRATIONS=manual leaves it as it is.\n"
            f"Apply the migrations with this environment, then start again:\n\n  {COMMAND}\n\n"
            "Or set RUN_MIGRATIONS=auto to have every start apply what is missing."
        )
    try:
        _upgrade(lines)
    except Exception as failure:
        if _others_did(settings, needed):
            return
        log.critical("migrations_failed", exc_info=failure)
        raise SchemaRefused(
            "The migrations failed and the service was not started; nothing of them was kept, unless one of them "
            "commits by itself. The log line 'migrations_failed' has the type and place of the error; to see its "
            f"text, run them by hand with this environment:\n\n  {COMMAND}\n\n"
            "They need a login that may create roles and schemas: name it with DATABASE_MIGRATION_SECRET_ID."
        ) from None


def _upgrade(lines: Sequence[Path]) -> None:
    from alembic import command

    command.upgrade(alembic_config(lines), "heads")


def _others_did(settings: Settings, needed: Expected) -> bool:
    """Newer code may have migrated while we waited for our turn; Alembic does not know its revisions and gives up."""
    found = asyncio.run(_ask(_connector(settings)))
    return found is not None and needed.satisfied_by(found)


def _connector(settings: Settings) -> Connector:
    # The login that migrates, where there is one: the application's own is made by the first migration.
    secret = settings.database_migration_secret or settings.database_secret
    aws = Aws(settings)
    iam = aws if settings.database_iam_auth and not settings.database_migration_secret else None
    return Connector(settings, Secrets(aws), secret, confined=False, iam=iam)


async def _told(settings: Settings, unknown: Callable[[], None]) -> frozenset[str]:
    """Which revisions are applied, as soon as the database tells."""
    connector = _connector(settings)
    while (found := await _ask(connector)) is None:
        unknown()
        await asyncio.sleep(RETRY)
    return found


async def _ask(connector: Connector) -> frozenset[str] | None:
    """Which revisions are applied; None when the database cannot be asked."""
    try:
        connection = await connector.connect()
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                return await applied(connection)
        finally:
            connection.terminate()
    except Exception as failure:  # drivers, resolvers and TLS throw what they like; none of it keeps the service down
        log.warning("schema_unknown", exc_info=failure)
        return None


def _listed(revisions: frozenset[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"
