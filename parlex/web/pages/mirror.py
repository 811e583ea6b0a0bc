"""The state of the mirror: is it fresh, is it complete, what did the sources disagree on, what was not believed."""

from __future__ import annotations

from sqlalchemy import func, select

from parlex.datasets import sessions
from parlex.db.models import QuarantineRow
from parlex.runs import reads
from parlex.serving.state import JUDGED
from parlex.watch import looks, monitor
from parlex.web.pages.site import View, Visit

DAYS = 90
RUNS, PARKED = 20, 50
_SPANS = (1, 7, DAYS)  # days over which the requests to the sources are counted
_NAMED = ("parliament", "session", "number", "field")


def read(visit: Visit) -> View:
    db, datasets, now = visit.db, visit.site.datasets, visit.now
    parked = select(QuarantineRow).where(QuarantineRow.state == "open").order_by(QuarantineRow.seen_at.desc())
    values = {
        "judged": monitor.overview(db, now - JUDGED, now, datasets, visit.site.settings),
        "sessions": sessions.sessions(db, datasets.values()),
        "sweeps": looks.newest(db, datasets),
        "strips": looks.strips(db, datasets, now, DAYS),
        "parked": db.scalars(parked.limit(PARKED)).all(),
        "parked_count": db.scalar(select(func.count()).select_from(parked.subquery())),
        "runs": list(reads.runs(db, RUNS)),
        "spans": _SPANS,
        "answered": looks.asked(db, now, _SPANS),
        "mirror": visit.site.context.poller.mirror,
        "seq": visit.site.context.poller.last,
    }
    title, about = str(visit.tongue.say("mirror.title")), str(visit.tongue.say("mirror.about"))
    return View("mirror.html", title, visit.paths("mirror"), values, about=about, json="status")


def survey(visit: Visit) -> View:
    """What is surveyed of a session, as where its sources disagree."""
    session = str(visit.session)
    kinds = [one for one in visit.site.datasets.values() if one.served and session in one.scopes(visit.db)]
    if not kinds:
        raise visit.nothing(session)
    rows = [
        (kind.name, row.as_json())
        for kind in kinds
        for survey in (kind.served.surveys.values() if kind.served else ())
        for row in survey.read(visit.db, kind, session)
    ]
    values = {"session": session, "rows": rows, "sources": [n for n in rows[0][1] if n not in _NAMED] if rows else []}
    title, json = str(visit.tongue.say("survey.title", session=session)), f"disagreements?session={session}"
    return View("survey.html", title, visit.paths("survey", session=session), values, json=json, found=False)
