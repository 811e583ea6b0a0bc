"""runs that a person paused"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fetch_logs", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "fetch_logs", sa.Column("paused_for", sa.Interval(), server_default=sa.text("interval '0'"), nullable=False)
    )
    op.add_column("fetch_logs", sa.Column("counted_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("fetch_logs", "counted_since")
    op.drop_column("fetch_logs", "paused_for")
    op.drop_column("fetch_logs", "paused_at")
