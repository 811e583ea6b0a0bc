"""Many rows in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import literal_column
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert


def write_rows(db: Session, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
    """Execute an INSERT, with or without ON CONFLICT, for all rows at once. Each row names the same columns.

    Not by way of the session, which leaves out each row's nulls and sends a statement for each pattern of them. And
    with RETURNING: without it SQLAlchemy sends an INSERT with ON CONFLICT once a row, each with its round trip.
    """
    db.flush()
    db.connection().execute(statement.returning(literal_column("1")), list(rows))
