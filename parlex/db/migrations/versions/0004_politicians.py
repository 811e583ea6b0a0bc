"""politicians and their memberships"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXTS = ("given_name", "family_name", "gender", "email", "phone", "fax", "offices", "image_url")


def upgrade() -> None:
    op.create_table(
        "politicians",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in _TEXTS),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("links", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=True),
        sa.Column("current_party", sa.Text(), nullable=True),
        sa.Column("current_riding", sa.Text(), nullable=True),
        sa.Column("province", sa.Text(), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("origin in ('openparliament', 'legisinfo')", name=op.f("ck_politicians_origin")),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_politicians")),
    )
    op.create_index(op.f("ix_politicians_person_id"), "politicians", ["person_id"])
    op.create_table(
        "politician_memberships",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("party_name", sa.Text(), nullable=True),
        sa.Column("riding", sa.Text(), nullable=True),
        sa.Column("province", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("start_on", sa.Date(), nullable=False),
        sa.Column("end_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["slug"], ["politicians.slug"], name=op.f("fk_politician_memberships_slug"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("slug", "id", name=op.f("pk_politician_memberships")),
    )


def downgrade() -> None:
    op.drop_table("politician_memberships")
    op.drop_table("politicians")
