"""Notes.

The first of this feature's own line of versions: it stands on the template's schema, and no migration of the template
can collide with it.

Revision ID: n001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.database.rls import SCHEMA, isolate, tenant_column

revision = "n001"
down_revision = None
branch_labels = ("notes",)
depends_on = "0001"


def upgrade() -> None:
    """Make the table, isolated."""
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
    """Remove it."""
    op.drop_table("note", schema=SCHEMA)
