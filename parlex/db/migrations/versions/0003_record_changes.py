"""the history of the datasets that are not bills"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "record_changes",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("old", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("new", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind in ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')", name=op.f("ck_record_changes_kind")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_record_changes")),
    )
    op.create_index(op.f("ix_record_changes_dataset_key_seq"), "record_changes", ["dataset", "key", "seq"])
    op.create_index(op.f("ix_record_changes_observed_at"), "record_changes", ["observed_at"])


def downgrade() -> None:
    op.drop_table("record_changes")
