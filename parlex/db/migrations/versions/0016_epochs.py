"""epochs of the mirror; bills in the order of a list"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_NUMBER = (sa.text('"left"(number, 1)'), sa.text(r"""(("substring"(number, '\d+'))::integer)"""))


def upgrade() -> None:
    op.add_column("mirror", sa.Column("epoch", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False))
    op.create_index("ix_bills_in_order", "bills", ["parliament", "session", *_NUMBER, "number"])


def downgrade() -> None:
    op.drop_index("ix_bills_in_order", table_name="bills")
    op.drop_column("mirror", "epoch")
