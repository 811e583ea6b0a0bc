from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from parlex import answers
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.politicians import reads as politician_reads
from parlex.datasets.votes import reads as vote_reads
from parlex.db.clock import Clock
from parlex.db.models import BillStageRow, QuarantineRow, RunKeyRow
from parlex.errors import UsageError
from parlex.mirror import history, sweeps
from parlex.parliament import BillKey, SessionId
from parlex.runs import fetch_logs, pauses
from parlex.runs import reads as run_reads
from parlex.runs.reads import Standing
from tests import rows
from tests.rows import NOON

C2 = BillKey.parse("45-1 C-2")
HOUR = timedelta(hours=1)

# As promised to programs; neither a name nor the order may change.
BILL_KEYS = [
    "parliament",
    "session",
    "number",
    "title_en",
    "title_fr",
    "short_title_en",
    "short_title_fr",
    "status_code",
    "status_en",
    "status_fr",
    "bill_type",
    "chamber",
    "is_government",
    "is_pro_forma",
    "sponsor_person_id",
    "sponsor_name",
    "sponsor_slug",
    "introduced_on",
    "house_first_reading_on",
    "house_second_reading_on",
    "house_third_reading_on",
    "senate_first_reading_on",
    "senate_second_reading_on",
    "senate_third_reading_on",
    "royal_assent_on",
    "statute_year",
    "statute_chapter",
    "reinstated_from",
    "reinstated_as",
    "legisinfo_id",
    "withdrawn",
    "first_seen_at",
    "last_changed_at",
    "last_checked_at",
    # What they gained.
    "bill_type_fr",
    "form",
    "form_en",
    "form_fr",
    "ongoing_stage",
    "ongoing_stage_en",
    "ongoing_stage_fr",
    "last_event_on",
    "last_event_en",
    "last_event_fr",
    "sponsor_title_en",
    "sponsor_title_fr",
    "sponsor_riding_en",
    "sponsor_riding_fr",
    "is_in_pre_study",
    "pre_study_committee",
    "is_dropped",
    "was_debated_last",
]
OF_ONE = ("text_url", "summary_en", "summary_fr", "flags", "stages", "notes_en", "notes_fr")
PARTS = ("events", "publications", "links", "similar")
RUN_KEYS = [
    "run_id",
    "dataset",
    "job",
    "entry",
    "source",
    "status",
    "slot",
    "started_at",
    "finished_at",
    "duration_seconds",
    "bills_fetched",
    "created",
    "updated",
    "unchanged",
    "failed",
    "deferred",
    "requests",
    "bytes",
    "error_count",
    "errors",
]
CHANGE_KEYS = [
    "seq",
    "dataset",
    "key",
    "parliament",
    "session",
    "number",
    "kind",
    "field",
    "old",
    "new",
    "observed_at",
    "run_id",
]


@contextmanager
def statements(db: Session) -> Iterator[list[str]]:
    """The statements sent inside the block."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    engine = db.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def save(db: Session, *found: Any) -> None:
    for row in found:
        db.add(row)
        db.flush()
    db.expire_all()


def test_a_bill_s_json_has_the_promised_keys_and_forms(db: Session) -> None:
    save(db, rows.bill(introduced_on=date(2025, 6, 3), reinstated_from="44-1 C-7"))
    (bill,) = bill_reads.bills(db)
    found = bill.as_json()
    assert list(found) == BILL_KEYS
    assert found["introduced_on"] == "2025-06-03"
    assert found["reinstated_from"] == "44-1 C-7"
    assert found["first_seen_at"] == "2026-06-10T12:00:00.000000+00:00"
    assert found["royal_assent_on"] is None
    assert found["last_checked_at"] is None
    assert found["withdrawn"] is False


def test_instants_are_utc_whatever_zone_they_come_in() -> None:
    ottawa = timezone(timedelta(hours=-4))
    assert answers.as_json(datetime(2026, 6, 10, 20, tzinfo=ottawa)) == "2026-06-11T00:00:00.000000+00:00"


def test_bills_come_in_the_order_of_their_numbers(db: Session) -> None:
    save(db, *(rows.bill(number) for number in ("S-2", "C-10", "C-15B", "C-15A", "C-2")), rows.bill("C-1", session=2))
    assert [b.number for b in bill_reads.bills(db)] == ["C-2", "C-10", "C-15A", "C-15B", "S-2", "C-1"]


def test_bills_of_one_session_status_and_limit(db: Session) -> None:
    save(db, rows.bill("C-2"), rows.bill("C-3", status_code="BillDefeated"), rows.bill("C-2", parliament=44))
    assert [b.number for b in bill_reads.bills(db, SessionId(45, 1))] == ["C-2", "C-3"]
    assert [b.number for b in bill_reads.bills(db, status="BillDefeated")] == ["C-3"]
    assert [str(b.key) for b in bill_reads.bills(db, limit=1)] == ["44-1 C-2"]


@pytest.mark.parametrize(
    ("detail", "swept", "expected"),
    [
        (NOON, None, NOON),
        (NOON, NOON + HOUR, NOON + HOUR),
        (NOON + 2 * HOUR, NOON + HOUR, NOON + 2 * HOUR),
        (None, NOON, NOON),
    ],
)
def test_last_checked_is_the_later_of_detail_and_list(
    db: Session, detail: datetime | None, swept: datetime | None, expected: datetime
) -> None:
    save(db, rows.bill(), rows.listing("C-2"))
    if detail:
        save(db, rows.latest_document("C-2", detail))
    if swept:
        save(db, rows.sweep(swept - HOUR), rows.sweep(swept))
    (bill,) = bill_reads.bills(db, SessionId(45, 1))
    assert bill.last_checked_at == expected


@pytest.mark.parametrize(
    ("listing", "sweep"),
    [
        ({"gone_at": NOON}, {}),
        ({}, {"believed": False}),
        ({}, {"source": "openparliament"}),
        ({}, {"scope": "44-1"}),
    ],
    ids=["left the list", "not believed", "the companion's", "of another session"],
)
def test_a_list_that_does_not_show_the_bill_is_no_look_at_it(
    db: Session, listing: dict[str, Any], sweep: dict[str, Any]
) -> None:
    save(db, rows.bill(), rows.listing("C-2", **listing), rows.latest_document("C-2", NOON))
    save(db, rows.sweep(NOON + HOUR, **sweep))
    (bill,) = bill_reads.bills(db)
    assert bill.last_checked_at == NOON


@pytest.mark.parametrize(
    ("looked", "expected"),
    [
        ({"detail": NOON}, NOON),
        ({"swept": NOON}, NOON),
        ({"detail": NOON, "swept": NOON + HOUR}, NOON + HOUR),
        ({}, None),
    ],
)
@pytest.mark.parametrize("dataset", ["politicians", "votes"])
def test_other_datasets_are_looked_at_alike(
    db: Session, dataset: str, looked: dict[str, datetime], expected: datetime | None
) -> None:
    key, scope = {"politicians": ("jane-doe", "all"), "votes": ("45-1 12", "45-1")}[dataset]
    of = {"dataset": dataset, "source": "openparliament"}
    save(db, rows.politician("jane-doe"), rows.vote(12), rows.listing("-", **of, key=key, scope=scope))
    if "detail" in looked:
        save(db, rows.latest_document("-", looked["detail"], **of, key=key))
    if "swept" in looked:
        save(db, rows.sweep(looked["swept"], **of, scope=scope), rows.sweep(NOON + 9 * HOUR, **of, scope="44-1"))
    (found,) = politician_reads.politicians(db) if dataset == "politicians" else vote_reads.votes(db)
    assert found.last_checked_at == expected


def test_the_companion_s_answer_is_no_look_at_the_bill(db: Session) -> None:
    save(db, rows.bill(), rows.latest_document("C-2", NOON, source="openparliament"))
    (bill,) = bill_reads.bills(db)
    assert bill.last_checked_at is None


@pytest.mark.parametrize(
    ("ask", "count"),
    [
        (lambda db: list(bill_reads.bills(db)), 1),
        (lambda db: bill_reads.bill(db, C2), 6),
        (lambda db: list(history.changes(db)), 1),
        (lambda db: list(run_reads.runs(db)), 1),
    ],
    ids=["bills", "bill", "changes", "runs"],
)
def test_the_number_of_statements_does_not_grow_with_the_rows(
    db: Session, ask: Callable[[Session], Any], count: int
) -> None:
    save(db, *(rows.bill(f"C-{n}") for n in range(2, 30)), *(rows.change(n) for n in range(1, 30)))
    save(db, *(rows.run() for _ in range(30)))
    with statements(db) as sent:
        ask(db)
    assert len(sent) == count


def test_a_bill_s_story_is_flat_and_has_its_stages_in_order(db: Session) -> None:
    save(db, rows.bill(flags=["third reading before second"], text_url="https://www.parl.ca/x"))
    for position, stage in enumerate(["second_reading", "committee"]):
        row = {"chamber": "house", "stage": stage, "state": "completed", "sittings": 3, "committee": "INAN"}
        save(db, BillStageRow(parliament=45, session=1, number="C-2", position=position, **row))
    story = bill_reads.bill(db, C2)
    assert story is not None
    found = story.as_json()
    assert list(found) == [*BILL_KEYS, *OF_ONE, *PARTS]
    assert found["flags"] == ["third reading before second"]
    assert [stage["stage"] for stage in found["stages"]] == ["second_reading", "committee"]
    assert found["stages"][0]["committee"] == "INAN"


def test_a_bill_that_is_not_held_is_none(db: Session) -> None:
    assert bill_reads.bill(db, C2) is None


def test_changes_go_on_after_a_number(db: Session) -> None:
    save(db, *(rows.change(seq, old="a", new={"state": "completed"}) for seq in (3, 1, 2)))
    save(db, rows.change(4, key="45-1 C-3", kind="created", field=None))
    found = [change.as_json() for change in history.changes(db, 1)]
    assert [change["seq"] for change in found] == [2, 3, 4]
    assert list(found[0]) == CHANGE_KEYS
    assert found[0]["new"] == {"state": "completed"}
    assert found[2]["field"] is None
    assert [change.seq for change in history.changes(db, key=str(C2), limit=2)] == [1, 2]
    assert history.last_seq(db) == 4


def test_runs_come_newest_first_with_the_promised_keys(db: Session) -> None:
    old = rows.run(started_at=NOON, attempted=5, created=2, errors=["first", "second"], error_count=7)
    new = rows.run(started_at=NOON + HOUR, entry="hourly", slot=NOON, status="skipped")
    save(db, old, new)
    found = [run.as_json() for run in run_reads.runs(db)]
    assert [run["run_id"] for run in found] == [str(new.run_id), str(old.run_id)]
    assert list(found[0]) == RUN_KEYS
    assert found[0]["slot"] == "2026-06-10T12:00:00.000000+00:00"
    assert found[1]["bills_fetched"] == 5
    assert found[1]["errors"] == ["first", "second"]
    assert [str(run.run_id) for run in run_reads.runs(db, 1)] == [str(new.run_id)]


def test_a_run_s_story_has_its_keys_its_lists_and_its_quarantine(db: Session) -> None:
    run = rows.run(scope="45-1", params={"limit": 5}, listed=3, not_due=1)
    save(db, run, rows.run_key(run, "45-1 C-3", 1, state="failed", outcome="failed", error="a bad document"))
    save(db, rows.run_key(run, "45-1 C-2", 0, state="done", outcome="created"))
    save(db, rows.sweep(NOON, run_id=run.run_id, missing=["45-1 C-9"]), rows.sweep(NOON))
    parked = {"kind": "document", "guard": "malformed", "source": "legisinfo", "reason": "StatusName: unknown"}
    for run_id in (run.run_id, uuid4()):
        save(db, QuarantineRow(dataset="bills", key="45-1 C-3", run_id=run_id, opened_at=NOON, seen_at=NOON, **parked))
    story = run_reads.run_story(db, run.run_id)
    assert story is not None
    assert [(key.key, key.outcome) for key in story.keys] == [("45-1 C-2", "created"), ("45-1 C-3", "failed")]
    found = story.as_json()
    parts = ["keys", "sweeps", "quarantine", "timeline", "changes", "unreached", "paused_at", "eta_seconds"]
    assert list(found) == [*RUN_KEYS, "missed_slots", "scope", "params", "listed", "not_due", *parts]
    assert [sweep["missing"] for sweep in found["sweeps"]] == [["45-1 C-9"]]
    assert [row["reason"] for row in found["quarantine"]] == ["StatusName: unknown"]
    assert found["params"] == {"limit": 5}
    assert run_reads.run_story(db, uuid4()) is None


def test_a_run_s_story_tells_what_happened_when_and_what_it_changed(db: Session) -> None:
    minute = timedelta(minutes=1)
    run = rows.run(scope="45-1", entry="hourly", slot=NOON, status="partial", finished_at=NOON + 9 * minute)
    parked = {"kind": "document", "guard": "malformed", "source": "legisinfo", "reason": "StatusName: unknown"}
    save(
        db,
        run,
        rows.sweep(NOON + minute, run_id=run.run_id, listed=3),
        rows.change(1, run_id=run.run_id, observed_at=NOON + 4 * minute),
        rows.change(2, run_id=run.run_id, observed_at=NOON + 4 * minute),
        rows.change(3, run_id=uuid4()),
        QuarantineRow(
            dataset="bills",
            key="45-1 C-3",
            run_id=run.run_id,
            opened_at=NOON,
            seen_at=NOON + 3 * minute,
            **parked,
        ),
    )
    story = run_reads.run_story(db, run.run_id)
    assert story is not None
    assert [change.seq for change in story.changes] == [1, 2]
    assert [((event.at - NOON) / minute, event.event) for event in story.timeline] == [
        (0, "opened for the slot 2026-06-10T12:00:00+00:00"),
        (1, "legisinfo list of 45-1: 3, believed"),
        (3, "quarantine: 45-1 C-3, malformed"),
        (4, "2 changes saved"),
        (9, "closed: partial"),
    ]


def test_a_run_is_found_by_the_beginning_of_its_id(db: Session) -> None:
    run = rows.run()
    save(db, run)
    assert run_reads.find_run(db, str(run.run_id)[:8].upper()) == run.run_id
    for wrong in ("abc", "no id", "%%%%", "ffffffff-ffff"):
        with pytest.raises(UsageError):
            run_reads.find_run(db, wrong)


def test_an_ambiguous_run_is_refused(db: Session) -> None:
    first = rows.run()
    save(db, first, rows.run(run_id=UUID(int=first.run_id.int ^ 1)))
    with pytest.raises(UsageError, match="several"):
        run_reads.find_run(db, str(first.run_id)[:8])


def test_the_run_that_a_task_waits_for(db: Session) -> None:
    run = rows.run(waiters=["another", "mine"])
    save(db, run, rows.run())
    assert run_reads.run_of_task(db, "mine") == run.run_id
    assert run_reads.run_of_task(db, "nobody's") is None


@pytest.mark.parametrize(
    ("run", "believed", "held"),
    [
        ({"status": "success"}, True, 1),
        ({"status": "partial"}, True, 1),
        ({"status": "failure", "attempted": 3}, True, 1),
        ({"status": "failure"}, True, None),
        ({"status": "success"}, False, None),
        ({"status": "running"}, True, None),
        ({"status": "revoked"}, True, None),
        ({"status": "abandoned"}, True, None),
    ],
)
def test_a_list_that_nobody_compared_has_no_figures(
    db: Session, run: dict[str, Any], believed: bool, held: int | None
) -> None:
    of = rows.run(**run)
    save(db, of, rows.sweep(NOON, run_id=of.run_id, believed=believed, missing=["45-1 C-9"], doubled=["45-1 C-8"]))
    (found,) = run_reads.sweeps(db)
    compared = held is not None
    assert (found.held, found.missing) == (held, ("45-1 C-9",) if compared else None)
    assert (found.extra, found.quarantined) == (((), ()) if compared else (None, None))
    assert found.doubled == ("45-1 C-8",)


def test_sweeps_newest_first(db: Session) -> None:
    save(db, rows.sweep(NOON), rows.sweep(NOON + HOUR), rows.sweep(NOON, scope="44-1"))
    assert [sweep.swept_at for sweep in run_reads.sweeps(db, SessionId(45, 1))] == [NOON + HOUR, NOON]
    assert len(run_reads.sweeps(db)) == 3


def test_the_current_session_is_what_the_last_believed_current_list_held(db: Session) -> None:
    assert sweeps.current_session(db) is None
    save(db, rows.sweep(NOON), rows.sweep(NOON + HOUR, scope="46-1", believed=False))
    save(db, rows.sweep(NOON + HOUR, scope="44-1", is_current=False))
    assert sweeps.current_session(db) == SessionId(45, 1)


def test_the_figures_of_a_run_under_way_are_live(db: Session) -> None:
    run, over = rows.run(status="running"), rows.run(attempted=9, created=9)
    outcomes = {"C-2": "created", "C-3": "created", "C-4": "failed", "C-5": None}
    save(db, run, over)
    for position, (key, outcome) in enumerate(outcomes.items()):
        row = {"key": key, "outcome": outcome, "wants": [], "next_attempt_at": NOON}
        save(db, RunKeyRow(run_id=run.run_id, position=position, **row))
        save(db, RunKeyRow(run_id=over.run_id, position=position, **row))
    found = {record.run_id: record for record in run_reads.runs(db)}
    live = found[run.run_id]
    assert (live.bills_fetched, live.created, live.updated, live.failed) == (3, 2, 0, 1)
    assert (found[over.run_id].bills_fetched, found[over.run_id].created) == (9, 9)
    figures = fetch_logs.live_figures(db, run)
    assert (figures.bills_fetched, figures.created, figures.updated, figures.failed) == (3, 2, 0, 1)


def under_way(db: Session, **changes: Any) -> UUID:
    """A run of four keys, one of which is done; it was planned an hour ago."""
    now = Clock(db).now()
    run = rows.run(**({"status": "running", "counted_since": now - HOUR, "paused_for": timedelta()} | changes))
    db.add(run)
    db.flush()
    states = ("done", "waiting", "fetching", "fetched")
    db.add_all(rows.run_key(run, f"45-1 C-{at}", at, state=state) for at, state in enumerate(states))
    db.flush()
    return run.run_id


def test_how_long_a_run_takes_is_by_the_rate_of_its_keys(db: Session) -> None:
    run_id = under_way(db)
    assert run_reads.standings(db)[run_id].eta_seconds == pytest.approx(3 * 3600, rel=0.05)
    story = run_reads.run_story(db, run_id)
    assert story is not None
    assert story.as_json()["eta_seconds"] == pytest.approx(3 * 3600, rel=0.05)


def test_the_time_of_a_pause_is_not_in_its_rate(db: Session) -> None:
    now = Clock(db).now()
    run_id = under_way(db, counted_since=now - 10 * HOUR)
    pauses.pause(db, run_id, now=now - 9 * HOUR)
    assert run_reads.standings(db)[run_id] == Standing(now - 9 * HOUR, None)
    pauses.resume(db, run_id, now=now)
    assert run_reads.standings(db)[run_id].eta_seconds == pytest.approx(3 * 3600, rel=0.05)


def test_how_long_a_run_takes_is_null_while_nobody_knows(db: Session) -> None:
    unplanned = under_way(db, counted_since=None)
    idle = under_way(db)
    db.execute(update(RunKeyRow).where(RunKeyRow.run_id == idle).values(state="waiting"))
    over = under_way(db, status="success")
    found = run_reads.standings(db)
    assert (found[unplanned].eta_seconds, found[idle].eta_seconds) == (None, None)
    assert over not in found
