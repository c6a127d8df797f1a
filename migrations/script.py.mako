"""${message}.

Revision ID: ${up_revision}
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.database.rls import SCHEMA, isolate, tenant_column

revision = "${up_revision}"
down_revision = ${'"%s"' % down_revision if isinstance(down_revision, str) else repr(down_revision)}
branch_labels = ${repr(branch_labels) if branch_labels is None else '("%s",)' % branch_labels[0]}
depends_on = ${repr(depends_on) if depends_on is None else '"%s"' % depends_on}


def upgrade() -> None:
    """Additive, so that the code before works on the schema after."""
    op.create_table(
        "example",
        tenant_column(),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        schema=SCHEMA,
    )
    isolate("example")


def downgrade() -> None:
    """Undo it, on a database without data that matters."""
    op.drop_table("example", schema=SCHEMA)
