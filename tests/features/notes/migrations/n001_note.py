"""Notes.

Revision ID: n001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.database.rls import SCHEMA, isolate, tenant_column

revision = "n001"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "note",
        tenant_column(),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("slug", sa.Text),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "slug"),
        schema=SCHEMA,
    )
    isolate("note")


def downgrade() -> None:
    op.drop_table("note", schema=SCHEMA)
