"""Which revision of the schema this code expects, and how what is applied compares with it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

VERSION_SCHEMA = "migrations"
VERSION_TABLE = "alembic_version"
_APPLIED = f"select version_num from {VERSION_SCHEMA}.{VERSION_TABLE}"  # noqa: S608  two constants of ours
# No such schema, no such table, or not ours to read: what a database looks like before its first migration.
_NOTHING = (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError)


@dataclass(frozen=True, slots=True)
class Expected:
    """The revisions that this code brings: the template's line and one of each feature.

    Attributes:
        heads: The newest of each line.
        behind: For each revision, all that it stands on: Alembic keeps only the newest in the version table.
    """

    heads: frozenset[str]
    behind: Mapping[str, frozenset[str]]

    def satisfied_by(self, applied: frozenset[str]) -> bool:
        """Whether this code can work on a schema.

        A revision that we do not know was applied by newer code during its roll-out: additive by our rules, so this
        replica goes on serving until it is replaced.

        Args:
            applied: Revisions in the version table.
        """
        if not applied <= self.behind.keys():
            return True
        return bool(applied) and self.heads <= applied.union(*(self.behind[revision] for revision in applied))


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


def alembic_config(lines: Sequence[Path] = ()) -> Config:
    """Alembic's configuration: the template's migrations, and a line of versions of each feature beside it.

    Args:
        lines: Folders of the features' migrations.
    """
    from alembic.config import Config  # the service itself needs Alembic for this alone

    config = Config()
    config.set_main_option("script_location", str(folder()))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, (folder() / "versions", *lines))))
    return config


def expected(lines: Sequence[Path] = ()) -> Expected:
    """Read the migrations; takes tens of milliseconds, so once per process.

    Args:
        lines: Folders of the features' migrations.
    """
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config(lines))
    behind = {found.revision: frozenset(_below(script, found)) for found in script.walk_revisions()}
    return Expected(frozenset(script.get_heads()), behind)


def _below(script: ScriptDirectory, revision: Script) -> Iterator[str]:
    for names in (revision.down_revision, revision.dependencies):
        for name in (names,) if isinstance(names, str) else names or ():
            below = script.get_revision(name)
            yield below.revision
            yield from _below(script, below)
