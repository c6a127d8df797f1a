"""Sign-in: one-time login codes, and what may be used once only.

No tenant is known when a code is redeemed, so these are no tenant tables. They are out of the application's reach
instead: it may call three functions, each of which does one narrow thing with a digest that the caller must know.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

from service.database.rls import names

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
create table sign_in.code (
    digest bytea primary key check (octet_length(digest) = 32),
    sealed bytea not null check (octet_length(sealed) <= 65536),
    expires_at timestamptz not null
);
create table sign_in.used (
    digest bytea primary key check (octet_length(digest) = 32),
    expires_at timestamptz not null
);
create index on sign_in.code (expires_at);
create index on sign_in.used (expires_at);
"""

# An empty search_path: with one that a caller can set, a caller could have the owner call functions of its own.
# Each call clears a few expired rows away, so that nothing has to run beside the service.
_FUNCTIONS = {
    "keep(digest bytea, sealed bytea, seconds integer) returns void": """
        delete from sign_in.code where digest in (
            select c.digest from sign_in.code c where c.expires_at <= now() limit 100 for update skip locked);
        insert into sign_in.code values ($1, $2, now() + make_interval(secs => least($3, 600)));
        """,
    "redeem(digest bytea) returns bytea": """
        with taken as (delete from sign_in.code c where c.digest = $1 returning c.sealed, c.expires_at)
        select sealed from taken where expires_at > now();
        """,
    "use_once(digest bytea, seconds integer) returns boolean": """
        delete from sign_in.used where digest in (
            select u.digest from sign_in.used u where u.expires_at <= now() limit 100 for update skip locked);
        with mine as (
            insert into sign_in.used values ($1, now() + make_interval(secs => least($2, 86400)))
            on conflict do nothing returning true)
        select exists (select from mine);
        """,
}


def upgrade() -> None:
    """Make them, owned by the role nobody logs in as."""
    op.execute(f"create schema sign_in authorization {names().owner_role}")
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table in ("code", "used"):
        # Forced, with a policy for the owner alone: a grant made by mistake one day still shows no row.
        op.execute(f"alter table sign_in.{table} enable row level security")
        op.execute(f"alter table sign_in.{table} force row level security")
        op.execute(
            f"create policy functions_only on sign_in.{table} to {names().owner_role} using (true) with check (true)"
        )
        op.execute(f"alter table sign_in.{table} owner to {names().owner_role}")
    for signature, body in _FUNCTIONS.items():
        name = f"sign_in.{signature.partition(' returns ')[0]}"
        safe = "language sql security definer set search_path = ''"
        op.execute(f"create function sign_in.{signature} {safe} as $sql${body}$sql$")
        op.execute(f"alter function {name} owner to {names().owner_role}")
        op.execute(f"revoke all on function {name} from public")
        op.execute(f"grant execute on function {name} to {names().app_role}")
    op.execute(f"grant usage on schema sign_in to {names().app_role}")


def downgrade() -> None:
    """Remove them; sign-ins that are under way have to be begun again."""
    op.execute("drop schema sign_in cascade")
