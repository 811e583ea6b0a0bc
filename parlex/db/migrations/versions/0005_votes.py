"""divisions of the House, party lines and ballots"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _key() -> list[sa.Column[int]]:
    return [
        sa.Column("parliament", sa.SmallInteger(), nullable=False),
        sa.Column("session", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "votes",
        *_key(),
        sa.Column("held_on", sa.Date(), nullable=False),
        sa.Column("description_en", sa.Text(), nullable=True),
        sa.Column("description_fr", sa.Text(), nullable=True),
        sa.Column("context_statement", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("yea_total", sa.SmallInteger(), nullable=False),
        sa.Column("nay_total", sa.SmallInteger(), nullable=False),
        sa.Column("paired_total", sa.SmallInteger(), nullable=False),
        sa.Column("bill_parliament", sa.SmallInteger(), nullable=True),
        sa.Column("bill_session", sa.SmallInteger(), nullable=True),
        sa.Column("bill_number", sa.Text(), nullable=True),
        sa.Column("totals_match", sa.Boolean(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("parliament", "session", "number", name=op.f("pk_votes")),
    )
    op.create_index(
        op.f("ix_votes_bill_parliament_bill_session_bill_number"),
        "votes",
        ["bill_parliament", "bill_session", "bill_number"],
    )
    op.create_table(
        "vote_parties",
        *_key(),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("party_name", sa.Text(), nullable=True),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("disagreement", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("parliament", "session", "number", "party", name=op.f("pk_vote_parties")),
    )
    op.create_table(
        "ballots",
        *_key(),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("membership_id", sa.BigInteger(), nullable=True),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("parliament", "session", "number", "slug", name=op.f("pk_ballots")),
    )
    op.create_index(op.f("ix_ballots_slug"), "ballots", ["slug"])


def downgrade() -> None:
    op.drop_table("ballots")
    op.drop_table("vote_parties")
    op.drop_table("votes")
