"""changes of a run are found by index"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_bill_changes_run_id", "bill_changes", ["run_id"])


def downgrade() -> None:
    op.drop_index("ix_bill_changes_run_id", table_name="bill_changes")
