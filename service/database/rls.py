"""What a migration calls to put a table under tenant isolation.

    def upgrade() -> None:
        op.create_table(
            "note",
            tenant_column(),
            sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()")),
            sa.Column("body", sa.Text, nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "id"),
            schema=SCHEMA,
        )
        isolate("note")

Keys, unique constraints and foreign keys begin with ``tenant_id``: PostgreSQL checks them past row level security, so
a key without it tells one tenant about another's rows. ``isolate`` refuses a table whose keys do not.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

from service.naming import Names

SCHEMA = "app"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_CURRENT_TENANT = "(select app.current_tenant())"

_LOOSE_KEYS = sa.text("""
    select i.indexrelid::regclass::text from pg_index i
    where i.indrelid = cast(:name as regclass) and (i.indisunique or i.indisexclusion)
      -- Key columns alone: what INCLUDE adds is stored beside a key and makes nothing unique.
      and not exists (select from pg_attribute a where a.attrelid = i.indrelid and a.attname = 'tenant_id'
                      and a.attnum = any ((cast(i.indkey as int2[]))[0:i.indnkeyatts - 1]))
    union all
    select k.conname from pg_constraint k
    where k.conrelid = cast(:name as regclass) and k.contype = 'f'
      and exists (select from pg_attribute f where f.attrelid = k.confrelid and f.attname = 'tenant_id')
      and not exists (select from pg_attribute a where a.attrelid = k.conrelid and a.attname = 'tenant_id'
                      and a.attnum = any (k.conkey))
    """)


def names() -> Names:
    """What is named after the product; for migrations, which run with the names that migrations/env.py gives."""
    given: Names = op.get_context().opts["names"]
    return given


def tenant_column() -> sa.Column[str]:
    """The column that says whose a row is; an insert that leaves it out gets the current tenant."""
    return sa.Column("tenant_id", sa.Text, nullable=False, server_default=sa.text("app.current_tenant()"))


def isolate(table: str, *, grants: str = "select, insert, update, delete") -> None:
    """Let the application see and change the current tenant's rows of a table, and no others.

    FORCE binds the table's owner too. TRUNCATE and REFERENCES are not granted: neither asks the policy.

    Args:
        table: A table of the schema ``app`` with a ``tenant_id`` column.
        grants: What the application may do with its tenant's rows.

    Raises:
        ValueError: The name is not a plain one, or a key of the table does not begin with the tenant.
    """
    if not _NAME.match(table):
        raise ValueError("a table name is lower case letters, digits and _")
    name = f"{SCHEMA}.{table}"
    loose = op.get_bind().execute(_LOOSE_KEYS, {"name": name}).scalars().all()
    if loose:
        raise ValueError(f"{', '.join(loose)} of {name} must contain tenant_id, or one tenant learns of another's rows")
    op.execute(f"alter table {name} enable row level security")
    op.execute(f"alter table {name} force row level security")
    op.execute(
        f"create policy tenant_isolation on {name} for all to {names().app_role} "
        f"using (tenant_id = {_CURRENT_TENANT}) with check (tenant_id = {_CURRENT_TENANT})"
    )
    op.execute(f"grant {grants} on {name} to {names().app_role}")
    # Owned by a role nobody logs in as, whoever migrates today.
    op.execute(f"alter table {name} owner to {names().owner_role}")
