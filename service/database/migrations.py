"""Which revision of the schema this code expects, and how what is applied compares with it."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from alembic.config import Config

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
    """What the migrations say of themselves; takes milliseconds, so once per process.

    They are read and not run: importing Alembic for it would be a sixth of a start that has nothing to migrate.

    Args:
        lines: Folders of the features' migrations.

    Raises:
        RuntimeError: A migration says it in another form than a plain text or list, or names one that there is not.
    """
    files = [file for line in (folder() / "versions", *lines) for file in sorted(line.glob("[!_.]*.py"))]
    said = [_said(file) for file in files]
    known = {str(one["revision"]): one for one in said}
    for one in said:
        for below in _texts(one["down_revision"]) + _texts(one["depends_on"]):
            if below not in known:
                raise RuntimeError(f"the migration {one['revision']} stands on {below}, which there is not")
    followed = {below for one in said for below in _texts(one["down_revision"])}
    return Expected(frozenset(known.keys() - followed), {name: frozenset(_below(known, name)) for name in known})


def _said(file: Path) -> dict[str, object]:
    found: dict[str, object] = {"revision": None, "down_revision": None, "depends_on": None}
    for line in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and target.id in found and isinstance(line, ast.Assign | ast.AnnAssign):
                try:
                    found[target.id] = ast.literal_eval(line.value) if line.value is not None else None
                except ValueError:
                    raise RuntimeError(f"{file}: write {target.id} as a plain text or list") from None
    if not isinstance(found["revision"], str):
        raise RuntimeError(f"{file}: a migration says which revision it is")
    return found


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value] if isinstance(value, list | tuple) else []


def _below(known: Mapping[str, Mapping[str, object]], name: str) -> Iterator[str]:
    for below in _texts(known[name]["down_revision"]) + _texts(known[name]["depends_on"]):
        yield below
        yield from _below(known, below)
