"""subscriptions and what is sent to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_OPEN = "delivered_at is null and given_up_at is null"


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("when", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        _moment("rotated_at"),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("caught_up", sa.Boolean(), nullable=False),
        _moment("next_look_at", nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        _moment("confirmed_at"),
        _moment("failing_since"),
        _moment("paused_at"),
        sa.Column("paused_because", sa.Text(), nullable=True),
        sa.CheckConstraint("kind in ('webhook', 'email')", name=op.f("ck_subscriptions_kind")),
        sa.CheckConstraint("\"when\" in ('now', 'daily', 'weekly')", name=op.f("ck_subscriptions_when")),
        sa.CheckConstraint("language in ('en', 'fr')", name=op.f("ck_subscriptions_language")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_index(op.f("ix_subscriptions_key_id"), "subscriptions", ["key_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("to", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        _moment("sent_at"),
        _moment("created_at", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _moment("next_attempt_at", nullable=False),
        _moment("delivered_at"),
        _moment("given_up_at"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("type in ('changes', 'too_many', 'test', 'confirm')", name=op.f("ck_deliveries_type")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_deliveries_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_subscription_id"), "deliveries", ["subscription_id", "created_at"])
    op.create_index(
        "uq_deliveries_open",
        "deliveries",
        ["subscription_id"],
        unique=True,
        postgresql_where=sa.text("type <> 'test' and delivered_at is null and given_up_at is null"),
    )
    op.create_index("ix_deliveries_waiting", "deliveries", ["next_attempt_at"], postgresql_where=sa.text(_OPEN))


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("subscriptions")
