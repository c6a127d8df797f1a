"""Migrations as a platform runs them: by several replicas at once, killed in the middle, as a login that RDS gives."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import asyncpg
import pytest

from migrations.roles import scram_verifier
from service.database.migrations import expected
from tests.support.database.databases import (
    APP,
    MASTER,
    MASTER_PASSWORD,
    OWNER,
    Database,
    Databases,
    migrate,
    newest,
    start_migration,
)


@pytest.fixture
def empty(databases: Databases) -> Database:
    return databases.empty()


def revisions(database: Database) -> set[str]:
    rows = database.run("select version_num from migrations.alembic_version", user=MASTER, password=MASTER_PASSWORD)
    return {row[0] for row in rows}


def test_several_replicas_may_migrate_at_once(empty: Database) -> None:
    running = [start_migration(empty) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outputs
    assert revisions(empty) == newest()


def test_migrating_again_changes_nothing(empty: Database) -> None:
    assert migrate(empty).returncode == 0
    assert migrate(empty).returncode == 0
    assert revisions(empty) == newest()


def test_every_line_a_migration_prints_is_json(empty: Database) -> None:
    lines = migrate(empty).stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines][-1] == "migrations_applied"


def test_a_wrong_environment_is_told_without_a_traceback(empty: Database) -> None:
    done = migrate(empty, DATABASE_URL="postgresql://x")
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_migrating_login_needs_no_superuser_and_roles_cannot_bypass_it(empty: Database) -> None:
    assert migrate(empty).returncode == 0
    roles = {
        row["rolname"]: row
        for row in empty.as_superuser(
            "select rolname, rolcanlogin, rolsuper, rolbypassrls from pg_roles where rolname = any($1)",
            [OWNER, APP, MASTER],
        )
    }
    assert not any(role["rolsuper"] or role["rolbypassrls"] for role in roles.values())
    assert not roles[OWNER]["rolcanlogin"]
    memberships = empty.as_superuser(
        "select 1 from pg_auth_members where member::regrole::text = $1 and roleid::regrole::text = $2", APP, OWNER
    )
    assert memberships == []
    assert migrate(empty, "downgrade", "base").returncode != 0, "what everything stands on cannot be taken away"


def _table(folder: Path, constraint: str) -> str:
    """A migration as somebody might write it who forgot that keys look past row level security."""
    (folder / "x001_loose.py").write_text(textwrap.dedent(f"""
            import sqlalchemy as sa
            from alembic import op
            from service.database.rls import SCHEMA, isolate, tenant_column
            revision, down_revision, branch_labels, depends_on = "x001", "n001", None, None
            def upgrade():
                op.create_table("loose", tenant_column(), sa.Column("id", sa.Uuid), sa.Column("note", sa.Uuid),
                    {constraint}, schema=SCHEMA)
                isolate("loose")
            """))
    return str(folder)


@pytest.mark.parametrize(
    "constraint",
    [
        "sa.PrimaryKeyConstraint('id')",
        "sa.PrimaryKeyConstraint('tenant_id', 'id'), sa.UniqueConstraint('note')",
        "sa.PrimaryKeyConstraint('id', postgresql_include=['tenant_id'])",
        "sa.PrimaryKeyConstraint('tenant_id', 'id'), sa.UniqueConstraint('note', postgresql_include=['tenant_id'])",
        "sa.PrimaryKeyConstraint('tenant_id', 'id'), "
        "sa.dialects.postgresql.ExcludeConstraint(('note', '='), using='hash')",
    ],
)
def test_a_key_that_would_tell_one_tenant_of_another_is_refused(
    empty: Database, tmp_path: Path, constraint: str
) -> None:
    done = migrate(empty, versions=_table(tmp_path, constraint))
    assert done.returncode != 0
    assert "must contain tenant_id" in done.stderr
    with pytest.raises(asyncpg.PostgresError):
        empty.as_superuser("select 1 from migrations.alembic_version")


def test_the_verifier_of_a_password_opens_the_login(empty: Database) -> None:
    assert migrate(empty).returncode == 0
    empty.as_superuser(f"alter role {APP} password '{scram_verifier('from-the-secret')}'")
    assert empty.run("select current_user", password="from-the-secret")
    with pytest.raises(asyncpg.InvalidPasswordError):
        empty.run("select 1", password="another")
    empty.as_superuser(f"alter role {APP} password 'app-password'")


def test_the_code_knows_which_revision_it_expects() -> None:
    known = expected()
    assert len(known.heads) == 1, "two migrations follow the same one: let the down_revision of one name the other"
    assert known.heads <= known.behind.keys()
    assert known.satisfied_by(known.heads)
    assert not known.satisfied_by(frozenset())
    assert known.satisfied_by(frozenset({"from-the-future"})), "newer code migrated during its roll-out"
