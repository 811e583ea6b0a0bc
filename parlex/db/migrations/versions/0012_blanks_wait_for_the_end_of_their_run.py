"""blanks that wait for the end of their run"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATES = "state in ('open', 'approved', 'rejected', 'resolved')"


def upgrade() -> None:
    _allow(STATES.replace("(", "('pending', "))
    op.create_index("ix_quarantine_pending", "quarantine", ["dataset"], postgresql_where=sa.text("state = 'pending'"))


def downgrade() -> None:
    # The code of before judges no pending blank: a person does.
    op.execute("UPDATE quarantine SET state = 'open' WHERE state = 'pending'")
    op.drop_index("ix_quarantine_pending", table_name="quarantine", postgresql_where=sa.text("state = 'pending'"))
    _allow(STATES)


def _allow(condition: str) -> None:
    name = op.f("ck_quarantine_state")
    op.drop_constraint(name, "quarantine", type_="check")
    op.create_check_constraint(name, "quarantine", condition)
