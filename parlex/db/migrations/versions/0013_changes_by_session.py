"""changes of a session, in order"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_changes_session", "changes", [sa.text("split_part(key, ' ', 1)"), "seq"])


def downgrade() -> None:
    op.drop_index("ix_changes_session", table_name="changes")
