"""The state of the mirror: is it fresh, is it complete, what did the sources disagree on, what was not believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Date, cast, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from parlex.datasets import sessions
from parlex.db.models import DocumentFetchRow, QuarantineRow, RunRow, SweepRow
from parlex.parliament import OTTAWA
from parlex.runs import reads
from parlex.watch import monitor
from parlex.web.pages.site import View, Visit

DAYS = 90
RUNS, PARKED = 20, 50
JUDGED = timedelta(hours=24)  # of runs, as the API's status
_SPANS = (1, 7, DAYS)  # days over which the requests to the sources are counted


@dataclass(frozen=True, slots=True)
class Strip:
    """The looks at a dataset's lists, day by day: how many, and how many were not believed."""

    dataset: str
    days: Sequence[tuple[date, int, int]]

    @property
    def looked(self) -> int:
        return sum(count > 0 for _, count, _ in self.days)

    @property
    def refused(self) -> int:
        return sum(wrong for *_, wrong in self.days)


def read(visit: Visit) -> View:
    datasets = visit.site.datasets
    judged = monitor.overview(visit.db, visit.now - JUDGED, visit.now, datasets, visit.site.settings)
    parked = select(QuarantineRow).where(QuarantineRow.state == "open").order_by(QuarantineRow.seen_at.desc())
    surveys = {name: tuple(one.served.surveys) for name, one in datasets.items() if one.served and one.served.surveys}
    return View(
        "mirror.html",
        str(visit.tongue.say("mirror.title")),
        visit.paths("mirror"),
        {
            "judged": judged,
            "sessions": sessions.sessions(visit.db, datasets.values()),
            "sweeps": _newest(visit),
            "strips": _strips(visit),
            "parked": visit.db.scalars(parked.limit(PARKED)).all(),
            "parked_count": visit.db.scalar(select(func.count()).select_from(parked.subquery())),
            "runs": list(reads.runs(visit.db, RUNS)),
            "spans": _SPANS,
            "answered": _answered(visit),
            "requested": _requested(visit),
            "surveys": surveys,
            "mirror": visit.site.context.poller.mirror,
            "seq": visit.site.context.poller.last,
        },
        about=str(visit.tongue.say("mirror.about")),
        json="status",
    )


def _newest(visit: Visit) -> dict[tuple[str, str], SweepRow]:
    """The newest look at the deciding list of each dataset and scope that was compared to its end."""
    row = SweepRow
    query = select(row).where(row.believed).ext(distinct_on(row.dataset, row.source, row.scope))
    query = query.order_by(row.dataset, row.source, row.scope, row.swept_at.desc())
    deciding = {name: dataset.list_source for name, dataset in visit.site.datasets.items()}
    return {(one.dataset, one.scope): one for one in visit.db.scalars(query) if deciding.get(one.dataset) == one.source}


def _strips(visit: Visit) -> list[Strip]:
    today = visit.now.astimezone(OTTAWA).date()
    first = today - timedelta(days=DAYS - 1)
    row = SweepRow
    day = cast(func.timezone(str(OTTAWA), row.swept_at), Date)
    query = select(row.dataset, day, func.count(), func.count().filter(~row.believed)).group_by(row.dataset, day)
    rows = visit.db.execute(query.where(row.swept_at >= visit.now - timedelta(days=DAYS + 1)))
    found = {(name, when): (count, wrong) for name, when, count, wrong in rows}
    every = [first + timedelta(days=n) for n in range(DAYS)]
    return [Strip(name, [(each, *found.get((name, each), (0, 0))) for each in every]) for name in visit.site.datasets]


def _answered(visit: Visit) -> list[tuple[str, list[int]]]:
    """How many documents each source gave, over some spans of days."""
    row = DocumentFetchRow
    counts = [func.count().filter(row.fetched_at >= visit.now - timedelta(days=days)) for days in _SPANS]
    query = select(row.source, *counts).group_by(row.source).order_by(row.source)
    return [(source, numbers) for source, *numbers in visit.db.execute(query)]


def _requested(visit: Visit) -> list[tuple[str, list[Any]]]:
    """How many requests the runs of each dataset made, over some spans of days."""
    row = RunRow
    within = [row.started_at >= visit.now - timedelta(days=days) for days in _SPANS]
    sums = [func.coalesce(func.sum(row.requests).filter(each), 0) for each in within]
    query = select(row.dataset, *sums).group_by(row.dataset).order_by(row.dataset)
    return [(name, numbers) for name, *numbers in visit.db.execute(query)]


def survey(visit: Visit) -> View:
    """What is surveyed of a session, as where its sources disagree."""
    session = str(visit.session)
    found = [
        (dataset, survey, [row.as_json() for row in survey.read(visit.db, dataset, session)])
        for dataset in visit.site.datasets.values()
        for survey in (dataset.served.surveys.values() if dataset.served else ())
        if session in dataset.scopes(visit.db)
    ]
    if not found:
        raise visit.nothing(session)
    rows = [(dataset.name, row) for dataset, _, every in found for row in every]
    return View(
        "survey.html",
        str(visit.tongue.say("survey.title", session=session)),
        visit.paths("survey", session=session),
        {"session": session, "rows": rows, "sources": [n for n in rows[0][1] if n not in _NAMED] if rows else []},
        json=f"disagreements?session={session}",
        found=False,
    )


_NAMED = ("parliament", "session", "number", "field")
