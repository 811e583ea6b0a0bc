"""one history for every dataset, and keys as text beside their three parts

The lines of the bills keep their numbers. Those of the other datasets, which had a counter of their own, follow them in
their old order: the new number is the old one and the last number of the bills.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHANGES = """
CREATE TABLE changes (
    seq bigint NOT NULL CONSTRAINT pk_changes PRIMARY KEY,
    dataset text NOT NULL,
    key text NOT NULL,
    kind text NOT NULL CONSTRAINT ck_changes_kind
        CHECK (kind IN ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')),
    field text,
    old jsonb,
    new jsonb,
    observed_at timestamptz NOT NULL,
    run_id uuid,
    source text,
    document text
);
INSERT INTO changes
SELECT seq, 'bills', parliament::text || '-' || session::text || ' ' || number,
       kind, field, old, new, observed_at, run_id, source, document
FROM bill_changes ORDER BY seq;
INSERT INTO changes
SELECT (SELECT coalesce(max(seq), 0) FROM bill_changes) + seq, dataset, key,
       kind, field, old, new, observed_at, run_id, source, document
FROM record_changes ORDER BY seq;
INSERT INTO counters SELECT 'changes', max(seq) FROM changes HAVING max(seq) > 0;
-- Who was told of all bills' lines is told of no older line of the others.
UPDATE counters SET value = (SELECT max(seq) FROM changes)
WHERE name = 'digest' AND value = (SELECT max(seq) FROM bill_changes);
DELETE FROM counters WHERE name IN ('bill_changes', 'record_changes');
DROP TABLE bill_changes, record_changes;
CREATE INDEX ix_changes_dataset_key_seq ON changes (dataset, key, seq);
CREATE INDEX ix_changes_observed_at ON changes (observed_at);
CREATE INDEX ix_changes_run_id ON changes (run_id);
"""

# For those who read the lines by SQL, as two tables showed them.
VIEWS = """
CREATE VIEW bill_changes AS
SELECT seq, split_part(key, '-', 1)::smallint AS parliament,
       split_part(split_part(key, ' ', 1), '-', 2)::smallint AS session, split_part(key, ' ', 2) AS number,
       kind, field, old, new, observed_at, run_id, source, document
FROM changes WHERE dataset = 'bills';
CREATE VIEW record_changes AS
SELECT seq, dataset, key, kind, field, old, new, observed_at, run_id, source, document
FROM changes WHERE dataset <> 'bills';
"""

KEYS = """
ALTER TABLE bills ADD COLUMN key text NOT NULL
    GENERATED ALWAYS AS (parliament::text || '-' || session::text || ' ' || number) STORED;
ALTER TABLE bill_stages ADD COLUMN key text NOT NULL
    GENERATED ALWAYS AS (parliament::text || '-' || session::text || ' ' || number) STORED;
ALTER TABLE votes ADD COLUMN key text NOT NULL
    GENERATED ALWAYS AS (parliament::text || '-' || session::text || ' ' || number::text) STORED;
ALTER TABLE vote_parties ADD COLUMN key text NOT NULL
    GENERATED ALWAYS AS (parliament::text || '-' || session::text || ' ' || number::text) STORED;
CREATE UNIQUE INDEX ix_bills_key ON bills (key);
CREATE INDEX ix_bill_stages_key ON bill_stages (key);
CREATE UNIQUE INDEX ix_votes_key ON votes (key);
CREATE INDEX ix_vote_parties_key ON vote_parties (key);
"""

# A part of a document that cannot be read may be in quarantine too.
PARTS = """
ALTER TABLE quarantine DROP CONSTRAINT ck_quarantine_kind;
ALTER TABLE quarantine ADD CONSTRAINT ck_quarantine_kind
    CHECK (kind IN ('document', 'part', 'row', 'sweep', 'field'));
"""

BACK = """
UPDATE quarantine SET kind = 'document' WHERE kind = 'part';
ALTER TABLE quarantine DROP CONSTRAINT ck_quarantine_kind;
ALTER TABLE quarantine ADD CONSTRAINT ck_quarantine_kind CHECK (kind IN ('document', 'row', 'sweep', 'field'));
ALTER TABLE bills DROP COLUMN key;
ALTER TABLE bill_stages DROP COLUMN key;
ALTER TABLE votes DROP COLUMN key;
ALTER TABLE vote_parties DROP COLUMN key;
DROP VIEW bill_changes, record_changes;
CREATE TABLE bill_changes (
    seq bigint NOT NULL CONSTRAINT pk_bill_changes PRIMARY KEY,
    parliament smallint NOT NULL,
    session smallint NOT NULL,
    number text NOT NULL,
    kind text NOT NULL CONSTRAINT ck_bill_changes_kind
        CHECK (kind IN ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')),
    field text,
    old jsonb,
    new jsonb,
    observed_at timestamptz NOT NULL,
    run_id uuid,
    source text,
    document text
);
CREATE INDEX ix_bill_changes_observed_at ON bill_changes (observed_at);
CREATE INDEX ix_bill_changes_run_id ON bill_changes (run_id);
CREATE INDEX ix_bill_changes_parliament_session_number_seq ON bill_changes (parliament, session, number, seq);
CREATE TABLE record_changes (
    seq bigint NOT NULL CONSTRAINT pk_record_changes PRIMARY KEY,
    dataset text NOT NULL,
    key text NOT NULL,
    kind text NOT NULL CONSTRAINT ck_record_changes_kind
        CHECK (kind IN ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')),
    field text,
    old jsonb,
    new jsonb,
    observed_at timestamptz NOT NULL,
    run_id uuid,
    source text,
    document text
);
CREATE INDEX ix_record_changes_observed_at ON record_changes (observed_at);
CREATE INDEX ix_record_changes_dataset_key_seq ON record_changes (dataset, key, seq);
INSERT INTO bill_changes
SELECT row_number() OVER (ORDER BY seq), split_part(key, '-', 1)::smallint,
       split_part(split_part(key, ' ', 1), '-', 2)::smallint, split_part(key, ' ', 2),
       kind, field, old, new, observed_at, run_id, source, document
FROM changes WHERE dataset = 'bills';
INSERT INTO record_changes
SELECT row_number() OVER (ORDER BY seq), dataset, key,
       kind, field, old, new, observed_at, run_id, source, document
FROM changes WHERE dataset <> 'bills';
INSERT INTO counters SELECT 'bill_changes', max(seq) FROM bill_changes HAVING max(seq) > 0;
INSERT INTO counters SELECT 'record_changes', max(seq) FROM record_changes HAVING max(seq) > 0;
UPDATE counters SET value = (SELECT count(*) FROM changes WHERE dataset = 'bills' AND seq <= counters.value)
WHERE name = 'digest';
DELETE FROM counters WHERE name = 'changes';
DROP TABLE changes;
"""


def upgrade() -> None:
    for statements in (CHANGES, VIEWS, KEYS, PARTS):
        op.execute(statements)


def downgrade() -> None:
    """The lines go back to two tables. Each is numbered anew from 1, since the numbers were shared."""
    op.execute(BACK)
