"""the whole bill: events, publications, links, similar bills, and the days on which the chambers sat

The tables are empty at first. What stands in the archive is read again by itself: see ``catch_up`` in
``parlex/datasets/replay.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TEXTS = (
    *("bill_type_fr", "form", "form_en", "form_fr", "ongoing_stage", "ongoing_stage_en", "ongoing_stage_fr"),
    *("last_event_en", "last_event_fr", "sponsor_title_en", "sponsor_title_fr", "sponsor_riding_en"),
    *("sponsor_riding_fr", "pre_study_committee", "notes_en", "notes_fr"),
)
FLAGS = ("is_in_pre_study", "is_dropped", "was_debated_last")

# A sitting as the details number it; any other word of it tells of a day that none of them numbers.
SITTINGS = """
CREATE VIEW sittings AS
WITH numbered AS NOT MATERIALIZED (
    SELECT DISTINCT chamber, parliament, session, sitting_number AS number, day
    FROM bill_events WHERE kind = 'sitting' AND sitting_number IS NOT NULL
), others AS (
    SELECT chamber, parliament, session, day, 'legisinfo' AS source
    FROM bill_events WHERE kind = 'sitting' OR (kind = 'decision' AND division_number IS NOT NULL)
    UNION
    SELECT chamber, parliament, session, completed_on, 'legisinfo'
    FROM bill_stages WHERE chamber IS NOT NULL AND completed_on IS NOT NULL
    UNION
    SELECT 'house', parliament, session, held_on, 'openparliament' FROM votes WHERE NOT withdrawn
)
SELECT chamber, parliament, session, number, day, 'legisinfo' AS source FROM numbered
UNION ALL
SELECT chamber, parliament, session, NULL, day, min(source) FROM others
WHERE NOT EXISTS (
    SELECT FROM numbered n WHERE n.chamber = others.chamber AND n.day = others.day
    AND n.parliament = others.parliament AND n.session = others.session
)
GROUP BY chamber, parliament, session, day
"""


def upgrade() -> None:
    for name in TEXTS:
        op.add_column("bills", sa.Column(name, sa.Text(), nullable=True))
    for name in FLAGS:
        op.add_column("bills", sa.Column(name, sa.Boolean(), nullable=True))
    op.add_column("bills", sa.Column("last_event_on", sa.Date(), nullable=True))
    op.add_column(
        "latest_documents", sa.Column("reading", sa.SmallInteger(), server_default=sa.text("1"), nullable=False)
    )
    _of_bill(
        "bill_events",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("chamber", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        *_texts("sitting_number", "name_en", "name_fr"),
        sa.Column("type_id", sa.BigInteger(), nullable=True),
        *_texts("committee", "meeting_number"),
        sa.Column("report_number", sa.BigInteger(), nullable=True),
        sa.Column("division_number", sa.BigInteger(), nullable=True),
        *_texts("result_en", "result_fr", "method_en", "method_fr", "note_en", "note_fr", "url_en", "url_fr"),
        sa.CheckConstraint(
            "kind in ('sitting', 'event', 'decision', 'meeting', 'message', 'ruling')",
            name=op.f("ck_bill_events_kind"),
        ),
        sa.CheckConstraint("chamber in ('house', 'senate')", name=op.f("ck_bill_events_chamber")),
    )
    op.create_index(op.f("ix_bill_events_chamber_day"), "bill_events", ["chamber", "day"])
    _of_bill(
        "bill_publications",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("publication_id", sa.BigInteger(), nullable=False),
        *_texts("name_en", "name_fr", "xml_url_en", "xml_url_fr", "pdf_url"),
        sa.Column("viewer_url", sa.Text(), nullable=False),
    )
    _of_bill("bill_links", *_texts("kind", "kind_fr", "title_en", "title_fr", "url_en", "url_fr"))
    _of_bill("similar_bills", sa.Column("similar_key", sa.Text(), nullable=False))
    op.create_index(op.f("ix_similar_bills_similar_key"), "similar_bills", ["similar_key"])
    op.execute(SITTINGS)


def _texts(*names: str) -> Sequence[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=True) for name in names]


def _of_bill(name: str, *columns: sa.schema.SchemaItem) -> None:
    """A table of what belongs to a bill."""
    key = "parliament::text || '-' || session::text || ' ' || number"
    op.create_table(
        name,
        sa.Column("parliament", sa.SmallInteger(), nullable=False),
        sa.Column("session", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        *columns,
        sa.Column("key", sa.Text(), sa.Computed(key, persisted=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parliament", "session", "number"],
            ["bills.parliament", "bills.session", "bills.number"],
            name=op.f(f"fk_{name}_parliament_session_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("parliament", "session", "number", "entry", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_key"), name, ["key"])


def downgrade() -> None:
    op.execute("DROP VIEW sittings")
    for name in ("similar_bills", "bill_links", "bill_publications", "bill_events"):
        op.drop_table(name)
    op.drop_column("latest_documents", "reading")
    for name in ("last_event_on", *FLAGS, *TEXTS):
        op.drop_column("bills", name)
