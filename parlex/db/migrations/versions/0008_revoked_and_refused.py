"""what a person ended, or asked for in vain, is a status of its own"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BEFORE = "status in ('running', 'success', 'partial', 'failure', 'skipped', 'abandoned')"
AFTER = "status in ('running', 'success', 'partial', 'failure', 'skipped', 'abandoned', 'revoked', 'refused')"


def upgrade() -> None:
    # A run that a person ended had an error of its own; the first error of one that was refused began in its own way.
    op.drop_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", type_="check")
    op.create_check_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", AFTER)
    # A slot that was taken up again after its run had been ended by hand belongs to the later run.
    op.execute(
        """
        UPDATE fetch_logs r
        SET status = 'revoked', errors = errors - 'revoked by hand', error_count = greatest(error_count - 1, 0)
        WHERE status = 'abandoned' AND errors ? 'revoked by hand' AND NOT EXISTS (
            SELECT 1 FROM fetch_logs o
            WHERE o.run_id <> r.run_id AND o.entry = r.entry AND o.slot = r.slot
            AND (o.status <> 'abandoned' OR (o.errors ? 'revoked by hand' AND o.run_id > r.run_id))
        )
        """
    )
    op.execute(
        """
        UPDATE fetch_logs
        SET status = 'refused', errors = jsonb_set(errors, '{0}', to_jsonb(substr(errors ->> 0, 16)))
        WHERE status = 'failure' AND starts_with(errors ->> 0, 'wrong request: ')
        """
    )


def downgrade() -> None:
    op.execute(
        """
        UPDATE fetch_logs
        SET status = 'failure', errors = jsonb_set(errors, '{0}', to_jsonb('wrong request: ' || (errors ->> 0)))
        WHERE status = 'refused' AND errors <> '[]'
        """
    )
    op.execute("UPDATE fetch_logs SET status = 'failure' WHERE status = 'refused'")
    op.execute(
        """
        UPDATE fetch_logs
        SET status = 'abandoned', errors = errors || '["revoked by hand"]', error_count = error_count + 1
        WHERE status = 'revoked'
        """
    )
    op.drop_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", type_="check")
    op.create_check_constraint(op.f("ck_fetch_logs_status"), "fetch_logs", BEFORE)
