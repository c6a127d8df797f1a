"""Databases as RDS presents them: made and migrated by a master that is no superuser."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from examples.notes.feature import NOTES
from infra.local.postgres import LocalPostgres, prepare_rds_like
from service.database.migrations import expected
from service.naming import Names
from service.product import NAME
from tests.support.api.zygote import ROOT, Divided, run
from tests.support.features import beside

OWNER = Names(NAME).owner_role
MASTER, MASTER_PASSWORD = Names(NAME).master_role, "master-password"
APP, APP_PASSWORD = Names(NAME).app_role, "app-password"


@dataclass(frozen=True)
class Database:
    """One database of the server."""

    server: LocalPostgres
    name: str

    def url(self, user: str = APP, password: str = APP_PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.server.port}/{self.name}?sslmode=disable"

    def run(self, statement: str, *arguments: Any, user: str = APP, password: str = APP_PASSWORD) -> list[Any]:
        """One statement on a connection of its own."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.url(user, password).partition("?")[0], ssl=False)
            try:
                found: list[Any] = await connection.fetch(statement, *arguments)
                return found
            finally:
                await connection.close()

        return asyncio.run(ask())

    def as_superuser(self, statement: str, *arguments: Any) -> list[Any]:
        return self.run(statement, *arguments, user=self.server.superuser, password=self.server.password)


class Databases:
    """Makes databases on one server."""

    def __init__(self, server: LocalPostgres) -> None:
        self.server = server
        self._count = 0
        self._migrated: Database | None = None

    def empty(self) -> Database:
        """A new database that its master owns."""
        self._count += 1
        name = f"test_{self._count}"
        prepare_rds_like(self.server, MASTER, MASTER_PASSWORD, name)
        return Database(self.server, name)

    def migrated(self) -> Database:
        """A new database with the project's and the test feature's migrations applied."""
        if self._migrated is None:
            self._migrated = self.empty()
            done = migrate(self._migrated)
            assert done.returncode == 0, done.stdout + done.stderr
            self._migrated.as_superuser(f"alter role {APP} password '{APP_PASSWORD}'")
        self._count += 1
        name = f"test_{self._count}"
        postgres = Database(self.server, "postgres")
        postgres.as_superuser(f"create database {name} template {self._migrated.name} owner {MASTER}")
        return Database(self.server, name)


def migration_environment(database: Database) -> dict[str, str]:
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return base | {
        "ENVIRONMENT": "development",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": database.url(MASTER, MASTER_PASSWORD),
        "IDP__X__KIND": "cognito",
        "IDP__X__ISSUER": "https://idp.example.com",
        "IDP__X__CLIENT_ID": "x",
    }


def newest() -> set[str]:
    """The revisions of a database that has all of these lines: one each."""
    return set(expected(_lines()).heads)


def _lines() -> list[Path]:
    return [feature.migrations for feature in beside(NOTES) if feature.migrations]


def _alembic_ini(folder: Path, more: str) -> Path:
    """The template's line of versions, those of the product's features, and that of the notes, which the tests use."""
    folders = [f"{ROOT}/migrations/versions", *map(str, _lines()), *([more] if more else [])]
    text = ["[alembic]", f"script_location = {ROOT}/migrations", "path_separator = os"]
    ini = folder / f"alembic-{hashlib.sha256(more.encode()).hexdigest()[:8]}.ini"
    if not ini.exists():  # written anew, it would be empty for a moment in which another process reads it
        ini.write_text("\n".join([*text, f"version_locations = {os.pathsep.join(folders)}", ""]))
    return ini


def start_migration(database: Database, *options: str, versions: str = "", **environment: str) -> Divided:
    """Alembic as a process of its own; ``versions`` is a further folder of migrations."""
    return Divided(*_alembic(database, options, versions, environment), apart=True)


def migrate(
    database: Database, *options: str, versions: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """As ``start_migration``, to its end."""
    return run(*_alembic(database, options, versions, environment))


def _alembic(
    database: Database, options: tuple[str, ...], versions: str, environment: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    ini = _alembic_ini(Path(database.server.data).parent, versions)
    command = ["alembic", "-c", str(ini), *(options or ("upgrade", "heads"))]
    return command, migration_environment(database) | environment
