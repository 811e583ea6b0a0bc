"""A session in figures."""

from __future__ import annotations

from parlex.datasets.bills import figures, reads
from parlex.parliament import OTTAWA
from parlex.web.pages.site import View, Visit


def read(visit: Visit) -> View:
    session = visit.session
    bills = [bill for bill in reads.bills(visit.db, session) if not bill.withdrawn]
    if not bills:
        raise visit.nothing(str(session))
    return View(
        "session.html",
        str(visit.tongue.say("session.title", session=session)),
        visit.paths("session", session=str(session)),
        {
            "session": str(session),
            "months": figures.months(bills, visit.now.astimezone(OTTAWA).date()),
            "steps": figures.STEPS,
            "kinds": figures.kinds(bills),
            "total": len(bills),
            "sessions": visit.sessions(),
        },
        about=str(visit.tongue.say("session.about", session=session)),
        json=f"bills?session={session}",
    )
