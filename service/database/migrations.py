"""Which revision of the schema this code expects, and how what is applied compares with it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import asyncpg

VERSION_SCHEMA = "migrations"
VERSION_TABLE = "alembic_version"
_APPLIED = f"select version_num from {VERSION_SCHEMA}.{VERSION_TABLE}"  # noqa: S608  two constants of ours
# No such schema, no such table, or not ours to read: what a database looks like before its first migration.
_NOTHING = (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError)


@dataclass(frozen=True, slots=True)
class Expected:
    """The revisions in the migrations folder.

    Attributes:
        heads: The newest.
        known: All of them.
    """

    heads: frozenset[str]
    known: frozenset[str]

    def satisfied_by(self, applied: frozenset[str]) -> bool:
        """Whether this code can work on a schema.

        A revision that we do not know was applied by newer code during its roll-out: additive by our rules, so this
        replica goes on serving until it is replaced.

        Args:
            applied: Revisions in the version table.
        """
        return bool(applied) and (self.heads <= applied or not applied <= self.known)


async def applied(connection: asyncpg.Connection) -> frozenset[str]:
    """The revisions in the version table; none on a database that was never migrated.

    Args:
        connection: Of any login of ours.
    """
    try:
        return frozenset(row[0] for row in await connection.fetch(_APPLIED))
    except _NOTHING:
        return frozenset()


def folder() -> Path:
    """Where the migrations are, in a checkout and in an image.

    Raises:
        RuntimeError: They were not installed.
    """
    spec = importlib.util.find_spec("migrations")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package 'migrations' is not installed beside 'service'")
    return Path(spec.origin).parent


def expected() -> Expected:
    """Read the migrations folder; takes tens of milliseconds, so once per process."""
    from alembic.config import Config  # the service itself needs Alembic for this alone
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(folder()))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    return Expected(frozenset(script.get_heads()), frozenset(r.revision for r in script.walk_revisions()))
