"""What a test does with a mirror, and how it looks into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, text, update

from parlex.datasets import replay, verify
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.bills.reads import BillStory
from parlex.datasets.replay import Replayed
from parlex.datasets.sitting import MORNING
from parlex.datasets.verify import Completeness, Sample
from parlex.db.models import Base, RunRow
from parlex.mirror import history
from parlex.mirror.history import ChangeRecord
from parlex.parliament import OTTAWA, BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from parlex.runs.work import Request

SESSION = SessionId(45, 1)
LIST = r"/legisinfo/en/bills/json"


def detail(number: str) -> str:
    """Matches the target of a bill's LEGISinfo detail."""
    return rf"/legisinfo/en/bill/45-1/{number.lower()}/json"


def companion(number: str) -> str:
    return rf"^/bills/45-1/{number}/"


def fetch(mirror: Resources) -> Figures:
    return alone.run_session(mirror.pipeline, SESSION)


def fetch_all(mirror: Resources, session: SessionId = SESSION) -> Figures:
    """With OpenParliament's detail of each bill too."""
    return alone.run_here(mirror.pipeline, mirror.pipeline.session_request(session, companion="all"))


def fetch_latest(mirror: Resources, dataset: str) -> Figures:
    return alone.run_latest(mirror.pipeline, dataset=dataset)


def fetch_again(mirror: Resources) -> Figures:
    """With every detail due, as after a change of each bill's line."""
    outdate(mirror)
    return fetch(mirror)


def outdate(mirror: Resources, dataset: str = "bills") -> None:
    """Make every detail due."""
    execute(mirror, "UPDATE listings SET fetched_fingerprint = 'older' WHERE dataset = :name", name=dataset)


def one_by_one(mirror: Resources, request: Request) -> Figures:
    """A run with one key in each message."""
    run = mirror.pipeline.open_run(request, carrier="process").run
    mirror.pipeline.plan(run)
    for key in mirror.pipeline.take_due(run):
        step(mirror, run, key)
    ended = mirror.pipeline.close_if_complete(run)
    assert ended is not None
    return ended


def step(mirror: Resources, run: RunRow, key: str) -> None:
    """Fetch one key of a run, and save it."""
    mirror.pipeline.fetch(run, [key])
    mirror.pipeline.persist(run, [key])


def execute(mirror: Resources, statement: str, **values: Any) -> None:
    with mirror.db() as db:
        db.execute(text(statement), values)


def let_pass(mirror: Resources, **span: float) -> None:
    """Leave the mirror alone for so long: every instant that it holds moves back, since its clock is PostgreSQL's."""
    with mirror.db() as db:
        for table in Base.metadata.sorted_tables:
            instants = [column for column in table.columns if isinstance(column.type, DateTime)]
            if instants:
                db.execute(update(table).values({column: column - timedelta(**span) for column in instants}))


def sat(mirror: Resources) -> None:
    """Have a chamber sit on the day before the last morning in Ottawa, as a bill that is done tells; nobody looked at a
    detail for two days."""
    here = datetime.now(OTTAWA)
    day = here.date() - timedelta(days=1 if here.time() >= MORNING else 2)
    execute(
        mirror, "UPDATE latest_documents SET checked_at = checked_at - interval '2 days' WHERE source = 'legisinfo'"
    )
    execute(
        mirror,
        "INSERT INTO bill_events (parliament, session, number, entry, kind, chamber, day, sitting_number)"
        " SELECT parliament, session, number, 'sitting.of.a.test', 'sitting', 'house', CAST(:day AS date), '999'"
        " FROM bills WHERE status_code = 'RoyalAssentGiven' LIMIT 1"
        " ON CONFLICT (parliament, session, number, entry) DO UPDATE SET day = excluded.day",
        day=day,
    )


def rows(mirror: Resources, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query), values)]


def story(mirror: Resources, number: str) -> BillStory:
    with mirror.db() as db:
        found = bill_reads.bill(db, BillKey(SESSION, number))
    assert found is not None
    return found


def stories(mirror: Resources) -> dict[str, BillStory]:
    with mirror.db() as db:
        numbers = [bill.number for bill in bill_reads.bills(db, SESSION)]
    return {number: story(mirror, number) for number in numbers}


def changes(mirror: Resources, after: int = 0) -> list[ChangeRecord]:
    with mirror.db() as db:
        return list(history.changes(db, after))


def last_seq(mirror: Resources) -> int:
    with mirror.db() as db:
        return history.last_seq(db)


def verified(mirror: Resources, *scopes: str, dataset: str = "bills") -> list[Completeness]:
    with mirror.db() as db:
        return list(verify.verify(db, mirror.datasets[dataset], scopes))


def sampled(mirror: Resources, count: int, *, seed: int | None = None, dataset: str = "bills") -> Sample:
    return verify.sample(mirror.db, mirror.datasets[dataset], mirror.fetchers, count, seed=seed)


def again(mirror: Resources, dataset: str = "bills", **options: Any) -> list[Replayed]:
    """The documents read again, as ``parlex replay`` does."""
    archived = mirror.archive.get if mirror.archive else None
    now = datetime.now(UTC)
    return list(replay.replay(mirror.db, mirror.datasets[dataset], now=now, archived=archived, **options))
