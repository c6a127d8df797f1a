"""Roles, schema and the function that tells the tenant.

Runs as the master login of the instance, which on RDS is no superuser: it may create roles, and must make itself a
member of one before it can give it anything.

Revision ID: 0001
"""

from __future__ import annotations

from alembic import op

from service.database.migrations import VERSION_SCHEMA
from service.database.rls import SCHEMA, names

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _role(name: str, attributes: str) -> None:
    """Make a role, or take one over that another database of the same server has made; roles are server-wide."""
    op.execute(
        f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') "
        f"then create role {name}; end if; end $$"
    )
    # NOSUPERUSER, NOBYPASSRLS and NOREPLICATION are what a new role has; to say so takes a superuser.
    op.execute(f"alter role {name} nocreaterole nocreatedb {attributes}")


def upgrade() -> None:
    """Make them."""
    _role(names().owner_role, "nologin noinherit")
    _role(names().app_role, "login noinherit")
    op.execute(f"grant {names().owner_role} to current_user")
    op.execute("revoke all on schema public from public")
    op.execute(f"create schema {SCHEMA} authorization {names().owner_role}")
    op.execute(f"grant usage on schema {SCHEMA} to {names().app_role}")
    # '' is what the setting reads as after the first transaction that set it; it means none, like NULL.
    op.execute(
        f"create function {SCHEMA}.current_tenant() returns text language sql stable parallel safe "
        "return nullif(current_setting('app.tenant_id', true), '')"
    )
    op.execute(f"alter function {SCHEMA}.current_tenant() owner to {names().owner_role}")
    op.execute(f"revoke all on function {SCHEMA}.current_tenant() from public")
    op.execute(f"grant execute on function {SCHEMA}.current_tenant() to {names().app_role}, {names().owner_role}")
    # Readiness compares the revision that is applied with the one this code expects.
    op.execute(f"grant usage on schema {VERSION_SCHEMA} to {names().app_role}")
    op.execute(f"grant select on all tables in schema {VERSION_SCHEMA} to {names().app_role}")


def downgrade() -> None:
    """Refused: what stands on these roles and this schema would go with them."""
    raise RuntimeError("0001 is the ground everything stands on; restore a backup instead of downgrading below it")
