"""Files, and keys of programs.

The table of keys is a tenant's table like any other: its rows are seen by its tenant. Whose a key is has to be known
before that. For this one question there is a function: it runs as the owner, who may read keys and nothing else here,
and answers to callers who have a digest.

Revision ID: f001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.database.rls import SCHEMA, isolate, names, tenant_column

revision = "f001"
down_revision = None
branch_labels = ("files",)
depends_on = "0001"

_HOLDER = "file_key_holder(digest bytea)"
_ANSWER = "table (id uuid, tenant_id text, digest bytea, roles text[], ends bigint)"
_BODY = """
language sql stable security definer set search_path = '' as $sql$
    select k.id, k.tenant_id, k.digest, k.roles, extract(epoch from k.ends_at)::bigint
    from app.file_key k where k.digest = $1 and k.ends_at > now() limit 1
$sql$
"""


def upgrade() -> None:
    """Make both tables, isolated, and the function."""
    op.create_table(
        "file",
        tenant_column(),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        schema=SCHEMA,
    )
    isolate("file", grants="select, insert")
    op.create_table(
        "file_key",
        tenant_column(),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, sa.CheckConstraint("octet_length(digest) = 32"), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("ends_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        schema=SCHEMA,
    )
    # Not unique: a unique index without the tenant would tell one tenant of another's rows. 256 random bits are enough.
    op.create_index("file_key_digest", "file_key", ["digest"], schema=SCHEMA)
    isolate("file_key", grants="select, insert, delete")
    op.execute(f"create policy holder on {SCHEMA}.file_key for select to {names().owner_role} using (true)")
    # An empty search_path: with one that a caller can set, a caller could have the owner call functions of its own.
    op.execute(f"create function {SCHEMA}.{_HOLDER} returns {_ANSWER} {_BODY}")
    op.execute(f"alter function {SCHEMA}.{_HOLDER} owner to {names().owner_role}")
    op.execute(f"revoke all on function {SCHEMA}.{_HOLDER} from public")
    op.execute(f"grant execute on function {SCHEMA}.{_HOLDER} to {names().app_role}")


def downgrade() -> None:
    """Remove them; the contents stay in the bucket."""
    op.execute(f"drop function {SCHEMA}.{_HOLDER}")
    op.drop_table("file_key", schema=SCHEMA)
    op.drop_table("file", schema=SCHEMA)
