"""What the weekly sweep asks for: every session of every dataset that has sessions."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from parlex.resources import Resources
from parlex.watch import upkeep
from tests import rows
from tests.rows import NOON


def test_every_session_held_of_every_dataset_is_asked_for_the_oldest_first(
    make_resources: Callable[..., Resources], db: Session
) -> None:
    resources = make_resources()
    db.add_all([rows.bill("C-2"), rows.bill("C-2", parliament=44), rows.bill("C-3", parliament=9)])
    for scope in ("45-1", "9-1"):
        db.add(rows.sweep(NOON, dataset="votes", source="openparliament", scope=scope))
    db.add(rows.sweep(NOON, dataset="politicians", source="openparliament", scope="all"))
    db.commit()
    asked = [(request.dataset, request.scope, request.job) for request in upkeep.session_requests(resources)]
    assert asked == [
        *(("bills", scope, "fetch_session_bills") for scope in ("9-1", "44-1", "45-1")),
        *(("votes", scope, "fetch_session_votes") for scope in ("9-1", "45-1")),
    ]
