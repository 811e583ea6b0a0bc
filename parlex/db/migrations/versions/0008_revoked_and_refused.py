"""what a person ended, or asked for in vain, is a status of its own"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BEFORE = "status in ('running', 'success', 'partial', 'failure', 'skipped', 'abandoned')"
AFTER = "status in ('running', 'success', 'partial', 'failure', 'skipped', 'abandoned', 'revoked', 'refused')"
# How the first error of a run began that asked for what cannot be, and the error of one that a person ended.
WRONG, REVOKED = "wrong request: ", "revoked by hand"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", type_="check")
    op.create_check_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", AFTER)
    # A slot that was taken up again after its run had been ended by hand belongs to the later run.
    op.execute(
        f"""
        UPDATE fetch_logs r
        SET status = 'revoked', errors = errors - '{REVOKED}', error_count = greatest(error_count - 1, 0)
        WHERE status = 'abandoned' AND errors ? '{REVOKED}' AND NOT EXISTS (
            SELECT 1 FROM fetch_logs o
            WHERE o.run_id <> r.run_id AND o.entry = r.entry AND o.slot = r.slot
            AND (o.status <> 'abandoned' OR (o.errors ? '{REVOKED}' AND o.run_id > r.run_id))
        )
        """
    )
    op.execute(
        f"""
        UPDATE fetch_logs
        SET status = 'refused', errors = jsonb_set(errors, '{{0}}', to_jsonb(substr(errors ->> 0, {len(WRONG) + 1})))
        WHERE status = 'failure' AND starts_with(errors ->> 0, '{WRONG}')
        """
    )


def downgrade() -> None:
    op.execute(
        f"""
        UPDATE fetch_logs
        SET status = 'failure', errors = jsonb_set(errors, '{{0}}', to_jsonb('{WRONG}' || (errors ->> 0)))
        WHERE status = 'refused' AND errors <> '[]'
        """
    )
    op.execute("UPDATE fetch_logs SET status = 'failure' WHERE status = 'refused'")
    op.execute(
        f"""
        UPDATE fetch_logs SET status = 'abandoned', errors = errors || '["{REVOKED}"]', error_count = error_count + 1
        WHERE status = 'revoked'
        """
    )
    op.drop_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", type_="check")
    op.create_check_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", BEFORE)
