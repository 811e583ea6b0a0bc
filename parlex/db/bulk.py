"""Many rows in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert


def write_rows(db: Session, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
    """Execute an INSERT, with or without ON CONFLICT, for all rows at once. Each row names the same columns.

    Without ``render_nulls`` SQLAlchemy leaves out each row's nulls and sends a statement for each pattern of them: half
    as many as there are bills.
    """
    db.execute(statement, list(rows), execution_options={"render_nulls": True})
