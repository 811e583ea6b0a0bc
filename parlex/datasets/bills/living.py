"""The bills that may have moved although their line of the list did not.

The list shows neither debates nor meetings nor new versions. So the details of all bills that are alive are asked for
again on the morning after each day on which a chamber sat.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from parlex.datasets import sitting
from parlex.datasets.bills.bill import StatusCode
from parlex.datasets.bills.stages import OVER
from parlex.datasets.due import Living
from parlex.db.models import BillRow
from parlex.parliament import OTTAWA, SessionId

# A bill outside the order of precedence that nothing happened to for so long is not about to move.
QUIET_AFTER = timedelta(days=30)
_DONE = (*OVER, StatusCode.ROYAL_ASSENT_GIVEN)


def living(db: Session, scope: str, now: datetime) -> Living | None:
    """The bills of a session that are alive, with their last event; None where no chamber is known to have sat.

    Not alive are those with royal assent, defeated, not proceeded with or dropped from the Senate's order paper, and
    those outside the order of precedence that nothing happened to for thirty days.
    """
    since = sitting.last_morning(db, now)
    if since is None:
        return None
    session, event = SessionId.parse(scope), BillRow.last_event_on
    lately = now.astimezone(OTTAWA).date() - QUIET_AFTER
    outside = BillRow.status_code == StatusCode.OUTSIDE_ORDER_PRECEDENCE
    alive = select(BillRow.key, event).where(
        BillRow.parliament == session.parliament,
        BillRow.session == session.session,
        BillRow.status_code.not_in(_DONE),
        BillRow.is_dropped.is_not(True),
        ~BillRow.withdrawn,
        ~and_(outside, or_(event.is_(None), event < lately)),
    )
    return Living(since, dict(db.execute(alive).all()))
