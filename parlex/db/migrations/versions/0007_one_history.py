"""one history for every dataset, and keys as text beside their three parts

The lines of the bills keep their numbers. Those of the other datasets, which had a counter of their own, follow them in
their old order: the new number is the old one and the last number of the bills.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KINDS = "kind in ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')"
KEY = "parliament::text || '-' || session::text || ' ' || number"
REST = "kind, field, old, new, observed_at, run_id, source, document"
KEYED = {"bills": True, "bill_stages": False, "votes": True, "vote_parties": False}  # the table: is its key unique?


def upgrade() -> None:
    _create_changes()
    op.execute(f"INSERT INTO changes SELECT seq, 'bills', {KEY}, {REST} FROM bill_changes ORDER BY seq")
    last = "(SELECT coalesce(max(seq), 0) FROM bill_changes)"
    op.execute(f"INSERT INTO changes SELECT {last} + seq, dataset, key, {REST} FROM record_changes ORDER BY seq")
    op.execute("INSERT INTO counters SELECT 'changes', coalesce(max(seq), 0) FROM changes HAVING max(seq) > 0")
    # Who was told of all bills' lines is told of no older line of the others.
    told = "name = 'digest' AND value = (SELECT max(seq) FROM bill_changes)"
    op.execute(f"UPDATE counters SET value = (SELECT max(seq) FROM changes) WHERE {told}")
    op.execute("DELETE FROM counters WHERE name IN ('bill_changes', 'record_changes')")
    op.drop_table("bill_changes")
    op.drop_table("record_changes")
    _create_indexes()
    # For those who read them by SQL.
    op.execute(
        f"""CREATE VIEW bill_changes AS SELECT seq, split_part(key, '-', 1)::smallint AS parliament,
        split_part(split_part(key, ' ', 1), '-', 2)::smallint AS session, split_part(key, ' ', 2) AS number, {REST}
        FROM changes WHERE dataset = 'bills'"""
    )
    op.execute(f"CREATE VIEW record_changes AS SELECT seq, dataset, key, {REST} FROM changes WHERE dataset <> 'bills'")
    _allow_kinds("document", "part", "row", "sweep", "field")
    for table, unique in KEYED.items():
        number = "number" if table.startswith("bill") else "number::text"
        key = KEY.removesuffix("number") + number
        op.add_column(table, sa.Column("key", sa.Text(), sa.Computed(key, persisted=True), nullable=False))
        op.create_index(f"ix_{table}_key", table, ["key"], unique=unique)


def _allow_kinds(*kinds: str) -> None:
    """What may be in quarantine."""
    op.drop_constraint(op.f("ck_quarantine_kind"), "quarantine", type_="check")
    op.create_check_constraint(op.f("ck_quarantine_kind"), "quarantine", sa.text(f"kind in {kinds}"))


def _create_changes() -> None:
    op.create_table(
        "changes",
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
        sa.CheckConstraint(KINDS, name=op.f("ck_changes_kind")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
    )


def _create_indexes() -> None:
    op.create_index(op.f("ix_changes_dataset_key_seq"), "changes", ["dataset", "key", "seq"])
    op.create_index(op.f("ix_changes_observed_at"), "changes", ["observed_at"])
    op.create_index(op.f("ix_changes_run_id"), "changes", ["run_id"])


def downgrade() -> None:
    """The lines go back to two tables. Each is numbered anew from 1, since the numbers were shared."""
    for table in KEYED:
        op.drop_column(table, "key")
    op.execute("UPDATE quarantine SET kind = 'document' WHERE kind = 'part'")
    _allow_kinds("document", "row", "sweep", "field")
    op.execute("DROP VIEW bill_changes, record_changes")
    _create_old_tables()
    parts = """split_part(key, '-', 1)::smallint, split_part(split_part(key, ' ', 1), '-', 2)::smallint,
        split_part(key, ' ', 2)"""
    count = "row_number() OVER (ORDER BY seq)"
    bills, others = "dataset = 'bills'", "dataset <> 'bills'"
    op.execute(f"INSERT INTO bill_changes SELECT {count}, {parts}, {REST} FROM changes WHERE {bills}")
    op.execute(f"INSERT INTO record_changes SELECT {count}, dataset, key, {REST} FROM changes WHERE {others}")
    for name in ("bill_changes", "record_changes"):
        op.execute(f"INSERT INTO counters SELECT '{name}', max(seq) FROM {name} HAVING max(seq) > 0")
    told = "(SELECT count(*) FROM changes WHERE dataset = 'bills' AND seq <= counters.value)"
    op.execute(f"UPDATE counters SET value = {told} WHERE name = 'digest'")
    op.execute("DELETE FROM counters WHERE name = 'changes'")
    op.drop_table("changes")


def _create_old_tables() -> None:
    rest = (
        "kind text NOT NULL CONSTRAINT ck_{0}_kind CHECK (" + KINDS + "), field text, old jsonb, new jsonb, "
        "observed_at timestamptz NOT NULL, run_id uuid, source text, document text"
    )
    bill = "parliament smallint NOT NULL, session smallint NOT NULL, number text NOT NULL"
    for table, key in (("bill_changes", bill), ("record_changes", "dataset text NOT NULL, key text NOT NULL")):
        seq = f"seq bigint NOT NULL CONSTRAINT pk_{table} PRIMARY KEY"
        op.execute(f"CREATE TABLE {table} ({seq}, {key}, {rest.format(table)})")
        op.create_index(f"ix_{table}_observed_at", table, ["observed_at"])
    op.create_index("ix_bill_changes_run_id", "bill_changes", ["run_id"])
    op.create_index(
        "ix_bill_changes_parliament_session_number_seq", "bill_changes", ["parliament", "session", "number", "seq"]
    )
    op.create_index("ix_record_changes_dataset_key_seq", "record_changes", ["dataset", "key", "seq"])
