"""Keys of requests that are applied once, with their answers: of a tenant's own, and kept for a day.

A tenant that is quiet clears nothing away. So each new key clears a few rows of all tenants, by a function whose owner
sees rows that are over a day old, and no others.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from service.database.rls import SCHEMA, isolate, names, tenant_column

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EXPIRED = "created_at <= now() - interval '1 day'"


def upgrade() -> None:
    """Make the table, isolated, and what clears it."""
    op.create_table(
        "idempotency_key",
        tenant_column(),
        sa.Column("caller", sa.LargeBinary, sa.CheckConstraint("octet_length(caller) = 32"), nullable=False),
        sa.Column("key", sa.Text, sa.CheckConstraint("octet_length(key) between 1 and 255"), nullable=False),
        sa.Column("request", sa.LargeBinary, sa.CheckConstraint("octet_length(request) = 32"), nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("headers", JSONB),
        sa.Column("body", sa.LargeBinary, sa.CheckConstraint("octet_length(body) <= 262144")),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "caller", "key"),
        schema=SCHEMA,
    )
    op.create_index("idempotency_key_created_at", "idempotency_key", ["created_at"], schema=SCHEMA)
    isolate("idempotency_key", grants="select, insert, update")
    op.execute(
        f"create policy expired_only on app.idempotency_key to {names().owner_role} "
        f"using ({_EXPIRED}) with check (false)"
    )
    # An empty search_path: with one that a caller can set, a caller could have the owner call its own functions.
    op.execute(f"""
        create function app.forget_idempotency_keys(most integer) returns void
        language sql security definer set search_path = '' as $sql$
        delete from app.idempotency_key where (tenant_id, caller, key) in (
            select k.tenant_id, k.caller, k.key from app.idempotency_key k where k.{_EXPIRED}
            order by k.created_at limit least($1, 1000) for update skip locked);
        $sql$
        """)  # noqa: S608  a constant of ours
    name = "app.forget_idempotency_keys(integer)"
    op.execute(f"alter function {name} owner to {names().owner_role}")
    op.execute(f"revoke all on function {name} from public")
    op.execute(f"grant execute on function {name} to {names().app_role}")


def downgrade() -> None:
    """Remove them; a request that is repeated then is applied again."""
    op.execute("drop function app.forget_idempotency_keys(integer)")
    op.drop_table("idempotency_key", schema=SCHEMA)
