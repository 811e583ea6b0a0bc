"""When a record was last looked at: computed when it is read, not written at each look."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from parlex.db.models import LatestDocumentRow, ListingRow, SweepRow
from parlex.db.reads import columns


def select_looked_at(
    answer: type[Any],
    table: Any,
    *,
    dataset: str,
    source: str,
    key: Any,
    scope: ColumnElement[str],
    only: str | None = None,
    **others: Any,
) -> Select[Any]:
    """The columns of ``answer``, of which ``last_checked_at`` is one.

    A record counts as looked at when the source that decides was asked for its detail, or when a believed list held it,
    whichever is later; one that has left the list is not looked at by listing the others. ``only`` is the scope that is
    asked for, where that is one.
    """
    swept = select(SweepRow.scope, func.max(SweepRow.swept_at).label("swept_at")).where(
        SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.believed
    )
    if only is not None:
        swept = swept.where(SweepRow.scope == only)
    lists = swept.group_by(SweepRow.scope).subquery("swept")
    detail, line = LatestDocumentRow, ListingRow
    asked = and_(detail.dataset == dataset, detail.source == source, detail.key == key)
    listed = and_(line.dataset == dataset, line.source == source, line.scope == scope, line.key == key)
    checked = func.greatest(detail.checked_at, lists.c.swept_at)
    return (
        select(*columns(answer, table, last_checked_at=checked, **others))
        .select_from(table)
        .outerjoin(detail, asked)
        .outerjoin(line, and_(listed, line.gone_at.is_(None)))
        .outerjoin(lists, lists.c.scope == line.scope)
    )
